"""Fourier transforms of short pieces of a signal, and back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from elastic.tensor import dtypes
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap


@public()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The transforms of pieces of `n_fft` samples, `hop_length` (a quarter of it) apart.

    Shapes: (time) or (batch, time) gives (..., frequencies, frames), complex; with
    `return_complex=False` real and imaginary parts in a last dimension. By default real input
    gives half of the frequencies, and pieces are centered on their times.
    """
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    hop, length = _lengths(n_fft, hop_length, win_length)
    whole = input.dtype.is_complex or _is_complex(window)
    if return_complex is None and not whole:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will "
            "further require that return_complex=True in a future PyTorch release."
        )
    x = _padded(input, n_fft // 2, pad_mode) if center else input
    said = _said("stft", x, f"torch.{x.dtype.title}Tensor",
        n_fft=n_fft, hop_length=hop, win_length=length, window=window, normalized=normalized,
        onesided=onesided, return_complex=return_complex, align_to_window=align_to_window,
    )  # fmt: skip
    _check_stft(said, x, window, (n_fft, hop, length))
    if onesided and whole:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    x = x if x._array.ndim == 2 else F.unsqueeze(x, 0)
    if align_to_window:
        x = F.constant_pad_nd(x, _sides(n_fft, length))
    pieces = F.unfold(x, -1, n_fft, hop)
    pieces = pieces if window is None else pieces * F.constant_pad_nd(window, _sides(n_fft, length))
    out = _transformed(pieces, int(bool(normalized)), not whole if onesided is None else onesided)
    out = out if input._array.ndim == 2 else F.squeeze(out, 0)
    return out if return_complex in (None, True) else F.view_as_real(out)


def _transformed(pieces: Tensor, scale: int, onesided: bool) -> Tensor:
    if pieces.dtype.is_complex:
        out = F._fft_c2c(pieces, (2,), scale, True)
    else:
        out = F._fft_r2c(pieces, (2,), scale, onesided)
    return F.transpose(out, 1, 2)


def _lengths(n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    return (
        n_fft // 4 if hop_length is None else hop_length,
        n_fft if win_length is None else win_length,
    )


def _sides(n_fft: int, length: int) -> tuple[int, int]:
    """How many zeros go before and after `length` samples in the middle of `n_fft`."""
    left = (n_fft - length) // 2
    return left, n_fft - length - left


def _padded(x: Tensor, pad: int, mode: str) -> Tensor:
    from elastic.tensor.nn.functional import pad as padded

    shape = x._array.shape
    out = padded(F.reshape(x, (1,) * (3 - len(shape)) + shape), (pad, pad), mode)
    return F.reshape(out, out._array.shape[3 - len(shape) :])


def _check_stft(said: str, x: Tensor, window: Tensor | None, sizes: tuple) -> None:
    n_fft, hop, length = sizes
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(f"{said}: expected a tensor of floating point or complex values")
    if x._array.ndim not in (1, 2):
        raise RuntimeError(f"{said}: expected a 1D or 2D tensor")
    if not 0 < n_fft <= x._array.shape[-1]:
        raise RuntimeError(
            f"{said}: expected 0 < n_fft < {x._array.shape[-1]}, but got n_fft={n_fft}"
        )
    if hop <= 0:
        raise RuntimeError(f"{said}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{said}: expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and window._array.shape != (length,):
        raise RuntimeError(
            f"{said}: expected a 1D window tensor of size equal to win_length={length}, but got "
            f"window with size {list(window.shape)}"
        )


def _is_complex(window: Tensor | None) -> bool:
    return window is not None and window.dtype.is_complex


def _said(name: str, x: Tensor, kind: str, **given: Any) -> str:
    """The call as PyTorch's messages repeat it."""
    words = ", ".join(f"{key}={_written(value)}" for key, value in given.items())
    return f"{name}({kind}{list(x.shape)}, {words}) "


def _written(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"torch.{value.dtype.title}Tensor{{{list(value.shape)}}}"
    return "None" if value is None else str(int(value))


@public()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal of which `stft` gives `input`: pieces added up where they overlap.

    Shapes: (..., frequencies, frames), complex, gives (..., time), of `length` samples if given.
    """
    hop, wide = _lengths(n_fft, hop_length, win_length)
    said = _said("istft", input, f"CPU{input.dtype.title}Type",
        n_fft=n_fft, hop_length=hop, win_length=wide, window=window, center=center,
        normalized=normalized, onesided=onesided, length=length, return_complex=return_complex,
    )  # fmt: skip
    _check_istft(said, input, window, (n_fft, hop, wide))
    x = input if input._array.ndim == 3 else F.unsqueeze(input, 0)
    onesided = x._array.shape[1] != n_fft if onesided is None else onesided
    _check_sides(said, x, (n_fft, onesided), return_complex or _is_complex(window))
    pieces = _pieces(F.transpose(x, 1, 2), n_fft, 1 if normalized else 2, return_complex)
    if window is None:
        shape = F.constant_pad_nd(pieces.new_ones((wide,)), _sides(n_fft, wide))
    else:
        shape = F.constant_pad_nd(window, _sides(n_fft, wide))
    y = _overlapped(pieces * shape, hop)
    weights = _overlapped(F.expand(shape * shape, (1, *pieces._array.shape[1:])), hop)
    start = n_fft // 2 if center else 0
    end = length if length is None else start + length
    y = _cut(said, y, weights, start, y._array.shape[1] - start if end is None else end)
    return y if input._array.ndim == 3 else F.squeeze(y, 0)


def _pieces(x: Tensor, n_fft: int, scale: int, return_complex: bool) -> Tensor:
    if return_complex:
        return F._fft_c2c(x, (2,), scale, False)
    return F._fft_c2r(F.narrow(x, 2, 0, n_fft // 2 + 1), (2,), scale, n_fft)


def _overlapped(pieces: Tensor, hop: int) -> Tensor:
    """Pieces (batch, frames, samples) added up, each `hop` after the one before."""
    batch, frames, n = pieces._array.shape
    places = np.arange(frames)[:, None] * hop + np.arange(n)
    zeros = pieces.new_zeros((batch, hop * (frames - 1) + n))
    flat = F.reshape(pieces, (batch, frames * n))
    return zeros.index_add(1, wrap(places.reshape(-1)), flat)


def _cut(said: str, y: Tensor, weights: Tensor, start: int, end: int) -> Tensor:
    full = y._array.shape[1]
    kept = max(min(end, full) - start, 0)
    y, weights = F.narrow(y, 1, start, kept), F.narrow(weights, 1, start, kept)
    if not abs(weights._array).min(initial=1) > 1e-11:
        raise RuntimeError(f"{said}window overlap add min: 1")
    y = y / weights
    if end > full:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded "
            "with zeros in the tail. Please check your center and hop_length settings.",
            UserWarning,
            stacklevel=4,
        )
        y = F.constant_pad_nd(y, (0, end - full))
    return y


def _check_istft(said: str, x: Tensor, window: Tensor | None, sizes: tuple) -> None:
    n_fft, hop, wide = sizes
    if not x.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if not x._array.size:
        raise RuntimeError(f"{said}: input tensor cannot be empty.")
    if x._array.ndim not in (2, 3):
        raise RuntimeError(f"{said}: expected a tensor with 2 or 3 dimensions")
    if not 0 < hop <= wide:
        raise RuntimeError(f"{said}: expected 0 < hop_length <= win_length")
    if not 0 < wide <= n_fft:
        raise RuntimeError(f"{said}: expected 0 < win_length <= n_fft")
    if window is not None and window._array.shape != (wide,):
        raise RuntimeError(
            f"{said}: Invalid window shape. window has to be 1D and length of `win_length`"
        )


def _check_sides(said: str, x: Tensor, sides: tuple, whole: bool) -> None:
    n_fft, onesided = sides
    wanted, name = (n_fft // 2 + 1, "n_fft / 2 + 1") if onesided else (n_fft, "n_fft")
    if x._array.shape[1] != wanted:
        raise RuntimeError(
            f"{said}: expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match {name} when onesided={bool(onesided)}, but got {x._array.shape[1]}"
        )
    if whole and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
