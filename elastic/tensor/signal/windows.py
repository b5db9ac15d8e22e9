"""Windows for spectral analysis (periodic) and for filter design (symmetric).

All take `M`, the number of points, and the keywords `sym` (symmetric, the default), `dtype`
(float32 or float64), `device` and `requires_grad`. The largest value is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._creation import as_tensor, ones, tensor, zeros
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._sequences import arange, linspace
from elastic.tensor._tensor import Tensor
from elastic.tensor._types import strided

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine",
    "general_hamming", "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip


def _checked(name: str, M: int, settings: dict) -> None:
    """Raises: ValueError for a length, layout or dtype that no window has."""
    layout = settings.pop("layout", strided)
    settings["dtype"] = settings.get("dtype") or dtypes.get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if settings["dtype"].name not in ("float32", "float64"):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {settings['dtype']}")


def _points(M: int, start: Any, step: Any, settings: dict) -> Tensor:
    """The M numbers `start`, `start + step`, ..."""
    return linspace(start, start + (M - 1) * step, M, **settings)


def _span(M: int, sym: bool) -> int:
    return M - 1 if sym else M


def bartlett(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """A triangle."""
    _checked("bartlett", M, settings)
    if M < 2:
        return ones(M, **settings)
    return F.sub(1, F.abs(_points(M, -1, 2 / _span(M, sym), settings)))


def cosine(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """Half a wave of the sine."""
    _checked("cosine", M, settings)
    if M == 0:
        return zeros(0, **settings)
    step = math.pi / (M + 1 if not sym and M > 1 else M)
    return F.sin(_points(M, 0.5 * step, step, settings))


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **settings: Any
) -> Tensor:
    """exp(-|n - center| / tau)."""
    _checked("exponential", M, settings)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if M == 0:
        return zeros(0, **settings)
    middle = _middle(M, sym) if center is None else center
    return F.exp(-F.abs(_points(M, -middle / tau, 1 / tau, settings)))


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **settings: Any) -> Tensor:
    """The bell of standard deviation `std`."""
    _checked("gaussian", M, settings)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M == 0:
        return zeros(0, **settings)
    step = 1 / (std * math.sqrt(2))
    return F.exp(-F.square(_points(M, -_middle(M, sym) * step, step, settings)))


def _middle(M: int, sym: bool) -> float:
    return (M if not sym and M > 1 else M - 1) / 2.0


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **settings: Any) -> Tensor:
    """The window of Kaiser and Bessel; `beta` trades the main lobe's width for the side lobes."""
    _checked("kaiser", M, settings)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M < 2:
        return ones(M, **settings)
    edge = as_tensor(beta, dtype=settings["dtype"])
    step = 2.0 * edge / _span(M, sym)
    end = F.minimum(edge, -edge + (M - 1) * step)
    k = linspace(-edge, end, M, **settings)
    return F.div(F.i0(F.sqrt(edge * edge - F.square(k))), F.i0(edge))


def general_cosine(M: int, *, a: Iterable, sym: bool = True, **settings: Any) -> Tensor:
    """The sum of a[i] cos(i t) with alternating signs."""
    _checked("general_cosine", M, settings)
    if M < 2:
        return ones(M, **settings)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = [(-1) ** i * weight for i, weight in enumerate(a)]
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    k = _points(M, 0, 2 * math.pi / _span(M, sym), settings)
    w = F.unsqueeze(tensor(weights, **settings), -1)
    i = F.unsqueeze(arange(len(weights), **settings), -1)
    return F.sum(w * F.cos(i * k), 0)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **settings: Any) -> Tensor:
    """alpha - (1 - alpha) cos(t)."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, **settings)


def hamming(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """0.54 - 0.46 cos(t)."""
    return general_hamming(M, sym=sym, **settings)


def hann(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """A raised cosine: 0.5 - 0.5 cos(t)."""
    return general_hamming(M, alpha=0.5, sym=sym, **settings)


def blackman(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """0.42 - 0.5 cos(t) + 0.08 cos(2 t)."""
    _checked("blackman", M, settings)
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **settings)


def nuttall(M: int, *, sym: bool = True, **settings: Any) -> Tensor:
    """Four cosine terms with low side lobes."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, **settings)


# The older functions of the main namespace: periodic unless told otherwise, of any floating dtype


def _older(name: str, shape: Callable, length: int, periodic: bool, settings: dict) -> Tensor:
    dtype = settings.pop("dtype", None) or dtypes.get_default_dtype()
    requires_grad = settings.pop("requires_grad", False)
    if not dtype.is_floating_point and not dtype.is_complex:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    window = shape(length, sym=not periodic, dtype=wide, **settings).to(dtype)
    return window.requires_grad_(requires_grad)


def hann_window(window_length: int, periodic: bool = True, **settings: Any) -> Tensor:
    """A raised cosine of `window_length` points."""
    return _older("hann_window", hann, window_length, periodic, settings)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    **settings: Any,
) -> Tensor:
    """alpha - beta cos(t) at `window_length` points."""

    def shape(M: int, **named: Any) -> Tensor:
        return general_cosine(M, a=[alpha, beta], **named)

    return _older("hamming_window", shape, window_length, periodic, settings)


def blackman_window(window_length: int, periodic: bool = True, **settings: Any) -> Tensor:
    """0.42 - 0.5 cos(t) + 0.08 cos(2 t) at `window_length` points."""
    return _older("blackman_window", blackman, window_length, periodic, settings)


def bartlett_window(window_length: int, periodic: bool = True, **settings: Any) -> Tensor:
    """A triangle of `window_length` points."""
    return _older("bartlett_window", bartlett, window_length, periodic, settings)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, **settings: Any
) -> Tensor:
    """Kaiser's window of `window_length` points."""

    def shape(M: int, **named: Any) -> Tensor:
        return kaiser(M, beta=beta, **named)

    return _older("kaiser_window", shape, window_length, periodic, settings)
