"""Ops on single elements: arithmetic, functions, comparisons, choices."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._registry import is_complex

_LN2, _LN10, _ERF = math.log(2), math.log(10), 2 / math.sqrt(math.pi)

one = partial(op, operands=(0,), inplace=True)
real = partial(op, operands=(0,), to_float=True, inplace=True)  # integers become floats
two = partial(op, operands=(0, 1), inplace=True)
pair = partial(op, operands=(0, 1))  # without `name_`

# Arithmetic

two("add", lambda xp, x, y: x + y, lambda F, g: g, lambda F, g: g)
two("sub", lambda xp, x, y: x - y, lambda F, g: g, lambda F, g: -g)
two("mul", lambda xp, x, y: x * y, lambda F, g, y: g * y, lambda F, g, x: g * x)
two(
    "div",
    lambda xp, x, y: x / y,
    lambda F, g, y: g / y,
    lambda F, g, x, y: -g * (x / y) / y,
    to_float=True,
)
one("neg", lambda xp, x: -x, lambda F, g: -g)
one("square", lambda xp, x: x * x, lambda F, g, x: g * (2 * x), title="PowBackward0")
real("reciprocal", lambda xp, x: 1 / x, lambda F, g, out: -g * out * out)
two("floor_divide", lambda xp, x, y: xp.floor_divide(x, y))
two(
    "remainder",
    lambda xp, x, y: xp.remainder(x, y),
    lambda F, g: g,
    lambda F, g, x, y: -g * F.floor(x / y),
)
two("fmod", lambda xp, x, y: xp.fmod(x, y), lambda F, g: g, lambda F, g, x, y: -g * F.trunc(x / y))


def _pow_x(F: Any, g: Any, x: Any, y: Any) -> Any:
    if isinstance(y, (int, float)):
        return g * (y * x ** (y - 1)) if y else F.zeros_like(g)
    return F.where(y == 0, 0.0, g * (y * F.pow(x, y - 1)))


def _pow_y(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if isinstance(x, (int, float)):
        return g * (out * F.log(F.zeros_like(out) + x)) if x else F.zeros_like(g)
    zero = F.logical_and(x == 0, y >= 0)  # 0 ** y stays 0, though log(0) is not finite
    return F.where(zero, 0.0, g * (out * F.log(F.where(zero, 1.0, x))))


two("pow", lambda xp, x, y: x**y, _pow_x, _pow_y)

# Complex numbers: `conj` has its own rule, so nothing is conjugated for it


def _abs_vjp(F: Any, g: Any, x: Any) -> Any:
    return g * F.sgn(x)


def _sgn_vjp(F: Any, g: Any, x: Any, out: Any) -> Any:
    """The part of `g` across the direction of x, scaled; nothing for real numbers."""
    if not is_complex(x):
        return F.zeros_like(g)
    size = F.abs(x)
    across = g - F.real(F.conj(g) * out) * out
    return F.where(size == 0, 0.0, across / F.where(size == 0, 1.0, size))


plain = partial(op, holomorphic=False)
plain("conj", lambda xp, x: xp.conj(x), lambda F, g: F.conj(g), wide=False)
plain("real", lambda xp, x: x.real, lambda F, g: g, method=False, view=True, wide=False)
plain("imag", lambda xp, x: x.imag, lambda F, g: g * 1j, method=False, view=True, wide=False)
plain("sgn", lambda xp, x: xp.sign(x), _sgn_vjp, operands=(0,), inplace=True)

# Functions of one number

one("abs", lambda xp, x: xp.abs(x), _abs_vjp, holomorphic=False)
one("sign", lambda xp, x: xp.sign(x), lambda F, g: F.zeros_like(g))
one("floor", lambda xp, x: xp.floor(x), lambda F, g: F.zeros_like(g))
one("ceil", lambda xp, x: xp.ceil(x), lambda F, g: F.zeros_like(g))
one("trunc", lambda xp, x: xp.trunc(x), lambda F, g: F.zeros_like(g))
one("round", lambda xp, x: xp.rint(x), lambda F, g: F.zeros_like(g))
one("frac", lambda xp, x: x - xp.trunc(x), lambda F, g: g)
real("exp", lambda xp, x: xp.exp(x), lambda F, g, out: g * out)
real("exp2", lambda xp, x: xp.exp2(x), lambda F, g, out: g * out * _LN2)
real("expm1", lambda xp, x: xp.expm1(x), lambda F, g, out: g * (out + 1))
real("log", lambda xp, x: xp.log(x), lambda F, g, x: g / x)
real("log2", lambda xp, x: xp.log2(x), lambda F, g, x: g / (x * _LN2))
real("log10", lambda xp, x: xp.log10(x), lambda F, g, x: g / (x * _LN10))
real("log1p", lambda xp, x: xp.log1p(x), lambda F, g, x: g / (x + 1))
real("sqrt", lambda xp, x: xp.sqrt(x), lambda F, g, out: g / (2 * out))
real("rsqrt", lambda xp, x: 1 / xp.sqrt(x), lambda F, g, out: g * (-0.5 * (out * out * out)))
real("sin", lambda xp, x: xp.sin(x), lambda F, g, x: g * F.cos(x))
real("cos", lambda xp, x: xp.cos(x), lambda F, g, x: -g * F.sin(x))
real("tan", lambda xp, x: xp.tan(x), lambda F, g, out: g * (out * out + 1))
real("asin", lambda xp, x: xp.arcsin(x), lambda F, g, x: g * F.rsqrt(1 - x * x))
real("acos", lambda xp, x: xp.arccos(x), lambda F, g, x: -g * F.rsqrt(1 - x * x))
real("atan", lambda xp, x: xp.arctan(x), lambda F, g, x: g / (x * x + 1))
real("sinh", lambda xp, x: xp.sinh(x), lambda F, g, x: g * F.cosh(x))
real("cosh", lambda xp, x: xp.cosh(x), lambda F, g, x: g * F.sinh(x))
real("tanh", lambda xp, x: xp.tanh(x), lambda F, g, out: g * (1 - out * out))
real("sigmoid", lambda xp, x: 1 / (1 + xp.exp(-x)), lambda F, g, out: g * (out * (1 - out)))
one("relu", lambda xp, x: xp.maximum(x, 0), lambda F, g, out: g * (out > 0))
real("erf", lambda xp, x: backend.special(xp).erf(x), lambda F, g, x: g * (_ERF * F.exp(-x * x)))
real("erfc", lambda xp, x: backend.special(xp).erfc(x), lambda F, g, x: -g * (_ERF * F.exp(-x * x)))

# Two or three numbers


def _larger(F: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (x > y) + (0.5 * g) * (x == y)  # a tie shares the gradient


pair("maximum", lambda xp, x, y: xp.maximum(x, y), _larger, lambda F, g, x, y: _larger(F, g, y, x))
pair("minimum", lambda xp, x, y: xp.minimum(x, y), lambda F, g, x, y: _larger(F, g, y, x), _larger)
pair("fmax", lambda xp, x, y: xp.fmax(x, y))
pair("fmin", lambda xp, x, y: xp.fmin(x, y))
two(
    "atan2",
    lambda xp, x, y: xp.arctan2(x, y),
    lambda F, g, x, y: g * (y / (x * x + y * y)),
    lambda F, g, x, y: -g * (x / (x * x + y * y)),
    to_float=True,
)
two(
    "hypot",
    lambda xp, x, y: xp.hypot(x, y),
    lambda F, g, x, out: g * (x / out),
    lambda F, g, y, out: g * (y / out),
    to_float=True,
)
pair(
    "logaddexp",
    lambda xp, x, y: xp.logaddexp(x, y),
    lambda F, g, x, out: g * F.exp(x - out),
    lambda F, g, y, out: g * F.exp(y - out),
    to_float=True,
)


def _clamp(xp: Any, x: Any, min: Any = None, max: Any = None) -> Any:
    x = x if min is None else xp.maximum(x, min)
    return x if max is None else xp.minimum(x, max)


def _clamp_mask(x: Any, min: Any, max: Any) -> Any:
    if min is None or max is None:
        return x <= max if min is None else x >= min
    return (x >= min) * (x <= max)


op(
    "clamp",
    _clamp,
    lambda F, g, x, min, max: g * _clamp_mask(x, min, max),
    lambda F, g, x, min, max: g * ((x < min) * (True if max is None else min <= max)),
    lambda F, g, x, min, max: g * ((x > max) if min is None else (x > max) + (min > max)),
    operands=(0, 1, 2),
    inplace=True,
)
op(
    "where",
    lambda xp, condition, x, y: xp.where(condition, x, y),
    None,
    lambda F, g, condition: g * condition,
    lambda F, g, condition: g * F.logical_not(condition),
    operands=(1, 2),
    method=False,
)
op(
    "lerp",
    lambda xp, x, y, weight: x + weight * (y - x),
    lambda F, g, weight: g * (1 - weight),
    lambda F, g, weight: g * weight,
    lambda F, g, x, y: g * (y - x),
    operands=(0, 1, 2),
    inplace=True,
)
op(
    "addcmul",
    lambda xp, x, y, z, value=1: x + value * (y * z),
    lambda F, g: g,
    lambda F, g, z, value: g * (z * value),
    lambda F, g, y, value: g * (y * value),
    operands=(0, 1, 2),
    inplace=True,
)
op(
    "addcdiv",
    lambda xp, x, y, z, value=1: x + value * (y / z),
    lambda F, g: g,
    lambda F, g, z, value: g * (value / z),
    lambda F, g, y, z, value: -g * (value * y / (z * z)),
    operands=(0, 1, 2),
    inplace=True,
)

# Questions: bool results, nothing to differentiate

two("eq", lambda xp, x, y: x == y)
two("ne", lambda xp, x, y: x != y)
two("lt", lambda xp, x, y: x < y)
two("le", lambda xp, x, y: x <= y)
two("gt", lambda xp, x, y: x > y)
two("ge", lambda xp, x, y: x >= y)
two("logical_and", lambda xp, x, y: xp.logical_and(x, y))
two("logical_or", lambda xp, x, y: xp.logical_or(x, y))
two("logical_xor", lambda xp, x, y: xp.logical_xor(x, y))
one("logical_not", lambda xp, x: xp.logical_not(x))
op("isnan", lambda xp, x: xp.isnan(x), operands=(0,))
op("isinf", lambda xp, x: xp.isinf(x), operands=(0,))
op("isfinite", lambda xp, x: xp.isfinite(x), operands=(0,))
op("signbit", lambda xp, x: xp.signbit(x), operands=(0,))
two("bitwise_and", lambda xp, x, y: x & y)
two("bitwise_or", lambda xp, x, y: x | y)
two("bitwise_xor", lambda xp, x, y: x ^ y)
one("bitwise_not", lambda xp, x: ~x)
two("bitwise_left_shift", lambda xp, x, y: x << y)
two("bitwise_right_shift", lambda xp, x, y: x >> y)

# The same values elsewhere or as another dtype; `dtype` is numpy's


def _cast(xp: Any, x: Any, dtype: Any) -> Any:
    return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype)


# `copy_` and `fill_` write these results into a tensor, so nothing is copied before.
op(
    "_copy",
    lambda xp, x, y: y,
    lambda F, g: F.zeros_like(g),
    lambda F, g: g,
    wide=False,
    title="CopySlices",
)
op(
    "fill",
    lambda xp, x, value: xp.broadcast_to(xp.asarray(value, x.dtype), x.shape),
    lambda F, g: F.zeros_like(g),
    lambda F, g: F.sum(g),
    wide=False,
)
op(
    "_cast", _cast, lambda F, g: g, wide=False, title="ToCopyBackward0"
)  # the walker casts the gradient back
op("clone", lambda xp, x: x.copy(), lambda F, g: g, wide=False)
op(
    "_transfer",
    lambda xp, x, where, back: backend.to_device(x, where),
    lambda F, g, where, back: F._transfer(g, back, where),
    wide=False,
    title="ToCopyBackward0",
)
op("zeros_like", lambda xp, x: xp.zeros(x.shape, x.dtype), wide=False, method=False)
op("ones_like", lambda xp, x: xp.ones(x.shape, x.dtype), wide=False, method=False)
op(
    "nan_to_num",
    lambda xp, x, nan=0.0, posinf=None, neginf=None: xp.nan_to_num(x, True, nan, posinf, neginf),
    lambda F, g, x: g * F.isfinite(x),
    inplace=True,
)
