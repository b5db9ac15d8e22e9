"""torch.fft: discrete Fourier transforms.

All take `norm`: "backward" (no factor forward, 1/n back; the default), "ortho" (the root of it
both ways) or "forward"; `n` or `s`, to which the input is cut or padded with zeros first; and the
dimensions. Integers become the default float. Raises: RuntimeError, IndexError.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import elastic.tensor as torch
from elastic.tensor import dtypes
from elastic.tensor._errors import dimension_error
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_published = partial(public, function=False, method=False, out=True)
_LAST, _LAST_TWO = -1, (-2, -1)


@_published()
def fft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The transform along one dimension; the result is complex."""
    return _of_complex(input, _one(n), (dim,), norm, True)


@_published()
def ifft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The inverse of `fft`."""
    return _of_complex(input, _one(n), (dim,), norm, False)


@_published()
def fft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The transform along two dimensions."""
    return _of_complex(input, s, dim, norm, True)


@_published()
def ifft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `fft2`."""
    return _of_complex(input, s, dim, norm, False)


@_published()
def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The transform along several dimensions, by default all."""
    return _of_complex(input, s, dim, norm, True)


@_published()
def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _of_complex(input, s, dim, norm, False)


@_published()
def rfft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The first half, n // 2 + 1 numbers, of the transform of real numbers."""
    return _of_real("rfft", input, _one(n), (dim,), norm)


@_published()
def rfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The transform of real numbers along two dimensions, half of it along the last."""
    return _of_real("rfftn", input, s, dim, norm)


@_published()
def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The transform of real numbers along several dimensions, half of it along the last."""
    return _of_real("rfftn", input, s, dim, norm)


@_published()
def irfft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`: real numbers, `n` of them (default 2 * (half - 1))."""
    return _to_real("irfft", input, _one(n), (dim,), norm)


@_published()
def irfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `rfft2`."""
    return _to_real("irfftn", input, s, dim, norm)


@_published()
def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`."""
    return _to_real("irfftn", input, s, dim, norm)


@_published()
def hfft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The transform, which is real, of half of a Hermitian-symmetric signal."""
    return _of_hermitian("hfft", input, _one(n), (dim,), norm)


@_published()
def hfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The real transform along two dimensions of half of a Hermitian-symmetric signal."""
    return _of_hermitian("hfftn", input, s, dim, norm)


@_published()
def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The real transform along several dimensions of half of a Hermitian-symmetric signal."""
    return _of_hermitian("hfftn", input, s, dim, norm)


@_published()
def ihfft(input: Tensor, n: int | None = None, dim: int = _LAST, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`."""
    return _to_hermitian("ihfft", input, _one(n), (dim,), norm)


@_published()
def ihfft2(input: Tensor, s: Any = None, dim: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """The inverse of `hfft2`."""
    return _to_hermitian("ihfftn", input, s, dim, norm)


@_published()
def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `hfftn`."""
    return _to_hermitian("ihfftn", input, s, dim, norm)


# The order of frequencies


def fftfreq(n: int, d: float = 1.0, *, out: Any = None, **options: Any) -> Tensor:
    """The frequencies that `fft` of `n` samples, `d` apart, stands for: 0, 1, ..., -2, -1."""
    counts = _counts("fftfreq", n, options)
    half = (n + 1) // 2
    frequencies = torch.where(counts < half, counts, counts - n) * (1.0 / (n * d))
    return frequencies if out is None else out.copy_(frequencies)


def rfftfreq(n: int, d: float = 1.0, *, out: Any = None, **options: Any) -> Tensor:
    """The frequencies that `rfft` of `n` samples, `d` apart, stands for: 0, 1, ..., n / 2."""
    frequencies = (_counts("rfftfreq", n // 2 + 1, options)) * (1.0 / (n * d))
    return frequencies if out is None else out.copy_(frequencies)


def _counts(name: str, n: int, options: dict) -> Tensor:
    dtype = options.get("dtype") or dtypes.get_default_dtype()
    if dtypes.rank(dtype) < 2:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    return torch.arange(n, **options | {"dtype": dtype})


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """`input` with the frequency 0 moved to the middle of the dimensions (default all)."""
    dims = _dims(input, dim)
    return F.roll(input, [input._array.shape[d] // 2 for d in dims], dims)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    dims = _dims(input, dim)
    return F.roll(input, [(input._array.shape[d] + 1) // 2 for d in dims], dims)


# The four kinds of transforms


def _of_complex(x: Tensor, s: Any, dim: Any, norm: str | None, forward: bool) -> Tensor:
    x = _complex(_floating(x))
    size, dims = _sizes(x, s, dim)
    return F._fft_c2c(_resized(x, size, dims), dims, _scale(norm, forward), forward)


def _of_real(name: str, x: Tensor, s: Any, dim: Any, norm: str | None) -> Tensor:
    x = _real(name, x)
    size, dims = _sizes(x, s, dim)
    _check_some(name, dims)
    return F._fft_r2c(_resized(x, size, dims), dims, _scale(norm, True), True)


def _to_real(name: str, x: Tensor, s: Any, dim: Any, norm: str | None) -> Tensor:
    x, dims, last = _half(name, x, s, dim)
    return F._fft_c2r(x, dims, _scale(norm, False), last)


def _of_hermitian(name: str, x: Tensor, s: Any, dim: Any, norm: str | None) -> Tensor:
    x, dims, last = _half(name, x, s, dim)
    scale = _scale(norm, True)
    if len(dims) > 1:
        x = F._fft_c2c(x, dims[:-1], scale, True)
    return F._fft_c2r(F.conj(x), dims[-1:], scale, last)


def _to_hermitian(name: str, x: Tensor, s: Any, dim: Any, norm: str | None) -> Tensor:
    x = _real(name, x)
    size, dims = _sizes(x, s, dim)
    _check_some(name, dims)
    scale = _scale(norm, False)
    half = F.conj(F._fft_r2c(_resized(x, size, dims), dims[-1:], scale, True))
    return half if len(dims) == 1 else F._fft_c2c(half, dims[:-1], scale, False)


def _half(name: str, x: Tensor, s: Any, dim: Any) -> tuple[Tensor, tuple, int]:
    """The half of a spectrum that is read, its dimensions, and how long the result will be."""
    x = _complex(_floating(x))
    size, dims = _sizes(x, s, dim, halved=True)
    _check_some(name, dims)
    last = size[-1]
    return _resized(x, [*size[:-1], last // 2 + 1], dims), dims, last


# Arguments


def _one(n: int | None) -> Any:
    if n is not None and n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return None if n is None else (n,)


def _floating(x: Tensor) -> Tensor:
    if dtypes.rank(x.dtype) < 2:
        return x.to(dtypes.get_default_dtype())
    if x.dtype in dtypes.HALVES:
        raise RuntimeError(f"Unsupported dtype {x.dtype.title}")
    return x


def _real(name: str, x: Tensor) -> Tensor:
    if x.dtype.is_complex:
        if name == "ihfftn":
            raise RuntimeError(f"Only supports floating-point dtypes, but found: {x.dtype.title}")
        kind = "real-valued" if name == "rfftn" else "real"
        raise RuntimeError(f"{name} expects a {kind} input tensor, but got {x.dtype.title}")
    return _floating(x)


def _complex(x: Tensor) -> Tensor:
    return x if x.dtype.is_complex else x.to(dtypes.promote_types(x.dtype, dtypes.complex64))


def _scale(norm: str | None, forward: bool) -> int:
    if norm not in (None, "backward", "ortho", "forward"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1
    return 2 if (norm == "forward") == forward else 0


def _check_some(name: str, dims: tuple) -> None:
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")


def _dims(x: Tensor, dim: Any) -> tuple:
    """`dim`, from 0; all dimensions for None."""
    ndim = x._array.ndim
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    for d in dims:
        if not ndim:
            raise IndexError(f"Dimension specified as {d} but tensor has no dimensions")
        if not -ndim <= d < ndim:
            raise dimension_error(d, ndim)
    return tuple(d % ndim for d in dims)


def _sizes(x: Tensor, s: Any, dim: Any, halved: bool = False) -> tuple[list, tuple]:
    """How long each transform is, and its dimensions."""
    shape = x._array.shape
    s = (s,) if isinstance(s, int) else s
    dims = _dims(x, dim)
    if len(set(dims)) < len(dims):
        raise RuntimeError("FFT dims must be unique")
    if s is not None and dim is None:
        if len(s) > len(shape):
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {len(shape)} dimensions."
            )
        dims = tuple(range(len(shape) - len(s), len(shape)))
    elif s is not None and len(s) != len(dims):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    size = [shape[d] for d in dims]
    if halved and dims and (s is None or s[-1] == -1):
        size[-1] = 2 * (size[-1] - 1)
    if s is not None:
        size = [own if n == -1 else n for own, n in zip(size, s, strict=True)]
    for n in size:
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return size, dims


def _resized(x: Tensor, size: Any, dims: tuple) -> Tensor:
    """`x` cut off or padded with zeros along `dims`."""
    for n, d in zip(size, dims, strict=True):
        shape = x._array.shape
        if n < shape[d]:
            x = F.narrow(x, d, 0, n)
        elif n > shape[d]:
            place = (slice(None),) * d + (slice(0, shape[d]),)
            x = F._place(x, (*shape[:d], n, *shape[d + 1 :]), place)
    return x
