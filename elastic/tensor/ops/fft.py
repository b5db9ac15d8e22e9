"""Fourier transforms: of complex numbers, of real ones, and back to real ones.

`scale` says what the sums are multiplied by: 0 nothing, 1 one over the root of n, 2 one over n.
"""

from __future__ import annotations

from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op

_FORWARD, _BACKWARD = ("backward", "ortho", "forward"), ("forward", "ortho", "backward")


def _c2c(xp: Any, x: Any, dim: tuple, scale: int, forward: bool) -> Any:
    if not dim:
        return x.copy()
    module = backend.fft(xp)
    transform = module.fftn if forward else module.ifftn
    return transform(x, axes=dim, norm=(_FORWARD if forward else _BACKWARD)[scale])


def _r2c(xp: Any, x: Any, dim: tuple, scale: int, onesided: bool) -> Any:
    if onesided:
        return backend.fft(xp).rfftn(x, axes=dim, norm=_FORWARD[scale])
    return _c2c(xp, x, dim, scale, True)


def _c2r(xp: Any, x: Any, dim: tuple, scale: int, last: int) -> Any:
    size = [*[x.shape[d] for d in dim[:-1]], last]
    return backend.fft(xp).irfftn(x, size, dim, _BACKWARD[scale])


def _r2c_vjp(F: Any, g: Any, x_shape: tuple, dim: tuple, scale: int, onesided: bool) -> Any:
    if onesided:  # the half that was left out does not count
        d = dim[-1] % len(x_shape)
        size = (*x_shape[:d], x_shape[d], *x_shape[d + 1 :])
        g = F._place(g, size, (slice(None),) * d + (slice(0, g.shape[d]),))
    return F.real(F._fft_c2c(g, dim, scale, False))


def _c2r_vjp(F: Any, g: Any, x_shape: tuple, dim: tuple, scale: int, last: int) -> Any:
    half = F._fft_r2c(g, dim, scale, True)
    d, twice = dim[-1], last - x_shape[dim[-1]]  # so many were taken for their mirror images too
    parts = [F.narrow(half, d, 0, 1), F.narrow(half, d, 1, twice) * 2]
    parts.append(F.narrow(half, d, 1 + twice, half.shape[d] - 1 - twice))
    return F.cat(parts, d)


op(
    "_fft_c2c",
    _c2c,
    lambda F, g, dim, scale, forward: F._fft_c2c(g, dim, scale, not forward),
    title="FftC2CBackward0",
)
op("_fft_r2c", _r2c, _r2c_vjp, title="FftR2CBackward0")
op("_fft_c2r", _c2r, _c2r_vjp, title="FftC2RBackward0")
