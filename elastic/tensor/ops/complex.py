"""Ops on complex numbers. Their vjps write the whole rule: nothing is conjugated for them.

The gradient of a real function of z is the direction in which it grows, d/dx + i d/dy.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor._registry import is_complex

plain = partial(op, holomorphic=False)


def _sgn_vjp(F: Any, g: Any, x: Any, out: Any) -> Any:
    """The part of `g` across the direction of x, scaled; nothing for real numbers."""
    if not is_complex(x):
        return F.zeros_like(g)
    size = F.abs(x)
    across = g - F.real(F.conj(g) * out) * out
    return F.where(size == 0, 0.0, across / F.where(size == 0, 1.0, size))


def _sgn(xp: Any, x: Any) -> Any:
    return x.copy() if x.dtype.kind == "b" else xp.sign(x)


def _angle(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        return xp.angle(x)
    return xp.where(xp.isnan(x), x, xp.where(x < 0, xp.asarray(xp.pi, x.dtype), 0 * x))


def _angle_vjp(F: Any, g: Any, x: Any) -> Any:
    if not is_complex(x):
        return F.zeros_like(g)
    size = F.abs(x)
    unit = 1j * x / F.where(size == 0, 1.0, size * size)
    return F.where(size == 0, 0.0, g * unit)


def _to_pairs(xp: Any, x: Any) -> Any:
    """The real and imaginary parts along a new last dimension, on the same memory."""
    real = x.real
    strides = (*real.strides, real.itemsize)
    return xp.lib.stride_tricks.as_strided(real, (*real.shape, 2), strides)


def _from_pairs(xp: Any, x: Any) -> Any:
    return x.view(xp.complex64 if x.itemsize == 4 else xp.complex128)[..., 0]


def _join(xp: Any, real: Any, imag: Any) -> Any:
    out = xp.empty(
        xp.broadcast_shapes(real.shape, imag.shape), xp.result_type(real.dtype, xp.complex64)
    )
    out.real, out.imag = real, imag
    return out


plain("conj_physical", lambda xp, x: xp.conj(x), lambda F, g: F.conj(g), wide=False, inplace=True)
plain("conj", lambda xp, x: xp.conj(x), lambda F, g: F.conj(g), wide=False)
plain("real", lambda xp, x: x.real, lambda F, g: g, method=False, view=True, wide=False)
plain("imag", lambda xp, x: x.imag, lambda F, g: g * 1j, method=False, view=True, wide=False)
plain("sgn", _sgn, _sgn_vjp, operands=(0,), inplace=True)
plain("abs", lambda xp, x: xp.abs(x), lambda F, g, x: g * F.sgn(x), operands=(0,), inplace=True,
      refuses="b")  # fmt: skip
plain("angle", _angle, _angle_vjp, operands=(0,), to_float=True)
plain(
    "view_as_real",
    _to_pairs,
    lambda F, g: F.complex(F.select(g, -1, 0), F.select(g, -1, 1)),
    view=True,
    wide=False,
    method=False,
)
plain(
    "view_as_complex",
    _from_pairs,
    lambda F, g: F.stack([F.real(g), F.imag(g)], -1),
    view=True,
    wide=False,
    method=False,
)
plain(
    "complex",
    _join,
    lambda F, g: F.real(g),
    lambda F, g: F.imag(g),
    operands=(0, 1),
    method=False,
)
plain(
    "polar",
    lambda xp, abs, angle: _join(xp, abs * xp.cos(angle), abs * xp.sin(angle)),
    lambda F, g, out: F.real(F.conj(g) * F.sgn(out)),
    lambda F, g, out: F.real(F.conj(g) * out * 1j),
    operands=(0, 1),
    method=False,
)
