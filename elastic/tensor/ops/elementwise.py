"""Ops on single elements: arithmetic, functions, comparisons, choices."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op

_LN2, _LN10, _ERF = math.log(2), math.log(10), 2 / math.sqrt(math.pi)

one = partial(op, operands=(0,))
real = partial(op, operands=(0,), to_float=True)
two = partial(op, operands=(0, 1))

# Arithmetic

add = two("add", lambda xp, x, y: x + y, lambda F, g: g, lambda F, g: g)
sub = two("sub", lambda xp, x, y: x - y, lambda F, g: g, lambda F, g: -g)
mul = two("mul", lambda xp, x, y: x * y, lambda F, g, y: g * y, lambda F, g, x: g * x)
div = two(
    "div",
    lambda xp, x, y: x / y,
    lambda F, g, y: g / y,
    lambda F, g, x, y: -g * (x / y) / y,
    to_float=True,
)
neg = one("neg", lambda xp, x: -x, lambda F, g: -g)
square = one("square", lambda xp, x: x * x, lambda F, g, x: g * (2 * x), title="PowBackward0")
reciprocal = real("reciprocal", lambda xp, x: 1 / x, lambda F, g, out: -g * out * out)
floor_divide = two("floor_divide", lambda xp, x, y: xp.floor_divide(x, y))
remainder = two(
    "remainder",
    lambda xp, x, y: xp.remainder(x, y),
    lambda F, g: g,
    lambda F, g, x, y: -g * F.floor(x / y),
)
fmod = two(
    "fmod", lambda xp, x, y: xp.fmod(x, y), lambda F, g: g, lambda F, g, x, y: -g * F.trunc(x / y)
)


def _pow_x(F: Any, g: Any, x: Any, y: Any) -> Any:
    if isinstance(y, (int, float)):
        return g * (y * x ** (y - 1)) if y else F.zeros_like(g)
    return F.where(y == 0, 0.0, g * (y * F.pow(x, y - 1)))


def _pow_y(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if isinstance(x, (int, float)):
        return g * (out * F.log(F.zeros_like(out) + x)) if x else F.zeros_like(g)
    zero = F.logical_and(x == 0, y >= 0)  # 0 ** y stays 0, though log(0) is not finite
    return F.where(zero, 0.0, g * (out * F.log(F.where(zero, 1.0, x))))


pow = two("pow", lambda xp, x, y: x**y, _pow_x, _pow_y)

# Functions of one number

abs = one("abs", lambda xp, x: xp.abs(x), lambda F, g, x: g * F.sign(x))
sign = one("sign", lambda xp, x: xp.sign(x), lambda F, g: F.zeros_like(g))
floor = one("floor", lambda xp, x: xp.floor(x), lambda F, g: F.zeros_like(g))
ceil = one("ceil", lambda xp, x: xp.ceil(x), lambda F, g: F.zeros_like(g))
trunc = one("trunc", lambda xp, x: xp.trunc(x), lambda F, g: F.zeros_like(g))
round = one("round", lambda xp, x: xp.rint(x), lambda F, g: F.zeros_like(g))
frac = one("frac", lambda xp, x: x - xp.trunc(x), lambda F, g: g)
exp = real("exp", lambda xp, x: xp.exp(x), lambda F, g, out: g * out)
exp2 = real("exp2", lambda xp, x: xp.exp2(x), lambda F, g, out: g * out * _LN2)
expm1 = real("expm1", lambda xp, x: xp.expm1(x), lambda F, g, out: g * (out + 1))
log = real("log", lambda xp, x: xp.log(x), lambda F, g, x: g / x)
log2 = real("log2", lambda xp, x: xp.log2(x), lambda F, g, x: g / (x * _LN2))
log10 = real("log10", lambda xp, x: xp.log10(x), lambda F, g, x: g / (x * _LN10))
log1p = real("log1p", lambda xp, x: xp.log1p(x), lambda F, g, x: g / (x + 1))
sqrt = real("sqrt", lambda xp, x: xp.sqrt(x), lambda F, g, out: g / (2 * out))
rsqrt = real(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x), lambda F, g, out: g * (-0.5 * (out * out * out))
)
sin = real("sin", lambda xp, x: xp.sin(x), lambda F, g, x: g * F.cos(x))
cos = real("cos", lambda xp, x: xp.cos(x), lambda F, g, x: -g * F.sin(x))
tan = real("tan", lambda xp, x: xp.tan(x), lambda F, g, out: g * (out * out + 1))
asin = real("asin", lambda xp, x: xp.arcsin(x), lambda F, g, x: g * F.rsqrt(1 - x * x))
acos = real("acos", lambda xp, x: xp.arccos(x), lambda F, g, x: -g * F.rsqrt(1 - x * x))
atan = real("atan", lambda xp, x: xp.arctan(x), lambda F, g, x: g / (x * x + 1))
sinh = real("sinh", lambda xp, x: xp.sinh(x), lambda F, g, x: g * F.cosh(x))
cosh = real("cosh", lambda xp, x: xp.cosh(x), lambda F, g, x: g * F.sinh(x))
tanh = real("tanh", lambda xp, x: xp.tanh(x), lambda F, g, out: g * (1 - out * out))
sigmoid = real(
    "sigmoid", lambda xp, x: 1 / (1 + xp.exp(-x)), lambda F, g, out: g * (out * (1 - out))
)
relu = one("relu", lambda xp, x: xp.maximum(x, 0), lambda F, g, out: g * (out > 0))
erf = real(
    "erf", lambda xp, x: backend.special(xp).erf(x), lambda F, g, x: g * (_ERF * F.exp(-x * x))
)
erfc = real(
    "erfc", lambda xp, x: backend.special(xp).erfc(x), lambda F, g, x: -g * (_ERF * F.exp(-x * x))
)
softplus = real("softplus", lambda xp, x: xp.logaddexp(x, 0), lambda F, g, x: g * F.sigmoid(x))
logsigmoid = real(
    "logsigmoid", lambda xp, x: -xp.logaddexp(-x, 0), lambda F, g, x: g * F.sigmoid(-x)
)

# Two or three numbers


def _larger(F: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (x > y) + (0.5 * g) * (x == y)  # a tie shares the gradient


maximum = two(
    "maximum", lambda xp, x, y: xp.maximum(x, y), _larger, lambda F, g, x, y: _larger(F, g, y, x)
)
minimum = two(
    "minimum", lambda xp, x, y: xp.minimum(x, y), lambda F, g, x, y: _larger(F, g, y, x), _larger
)
fmax = two("fmax", lambda xp, x, y: xp.fmax(x, y))
fmin = two("fmin", lambda xp, x, y: xp.fmin(x, y))
atan2 = two(
    "atan2",
    lambda xp, x, y: xp.arctan2(x, y),
    lambda F, g, x, y: g * (y / (x * x + y * y)),
    lambda F, g, x, y: -g * (x / (x * x + y * y)),
    to_float=True,
)
hypot = two(
    "hypot",
    lambda xp, x, y: xp.hypot(x, y),
    lambda F, g, x, out: g * (x / out),
    lambda F, g, y, out: g * (y / out),
    to_float=True,
)
logaddexp = two(
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


clamp = op(
    "clamp",
    _clamp,
    lambda F, g, x, min, max: g * _clamp_mask(x, min, max),
    lambda F, g, x, min, max: g * ((x < min) * (True if max is None else min <= max)),
    lambda F, g, x, min, max: g * ((x > max) if min is None else (x > max) + (min > max)),
    operands=(0, 1, 2),
)
where = op(
    "where",
    lambda xp, condition, x, y: xp.where(condition, x, y),
    None,
    lambda F, g, condition: g * condition,
    lambda F, g, condition: g * F.logical_not(condition),
    operands=(1, 2),
)
lerp = op(
    "lerp",
    lambda xp, x, y, weight: x + weight * (y - x),
    lambda F, g, weight: g * (1 - weight),
    lambda F, g, weight: g * weight,
    lambda F, g, x, y: g * (y - x),
    operands=(0, 1, 2),
)
addcmul = op(
    "addcmul",
    lambda xp, x, y, z, value=1: x + value * (y * z),
    lambda F, g: g,
    lambda F, g, z, value: g * (z * value),
    lambda F, g, y, value: g * (y * value),
    operands=(0, 1, 2),
)
addcdiv = op(
    "addcdiv",
    lambda xp, x, y, z, value=1: x + value * (y / z),
    lambda F, g: g,
    lambda F, g, z, value: g * (value / z),
    lambda F, g, y, z, value: -g * (value * y / (z * z)),
    operands=(0, 1, 2),
)

# Questions: bool results, nothing to differentiate

eq = two("eq", lambda xp, x, y: x == y)
ne = two("ne", lambda xp, x, y: x != y)
lt = two("lt", lambda xp, x, y: x < y)
le = two("le", lambda xp, x, y: x <= y)
gt = two("gt", lambda xp, x, y: x > y)
ge = two("ge", lambda xp, x, y: x >= y)
logical_and = two("logical_and", lambda xp, x, y: xp.logical_and(x, y))
logical_or = two("logical_or", lambda xp, x, y: xp.logical_or(x, y))
logical_xor = two("logical_xor", lambda xp, x, y: xp.logical_xor(x, y))
logical_not = one("logical_not", lambda xp, x: xp.logical_not(x))
isnan = one("isnan", lambda xp, x: xp.isnan(x))
isinf = one("isinf", lambda xp, x: xp.isinf(x))
isfinite = one("isfinite", lambda xp, x: xp.isfinite(x))
signbit = one("signbit", lambda xp, x: xp.signbit(x))
bitwise_and = two("bitwise_and", lambda xp, x, y: x & y)
bitwise_or = two("bitwise_or", lambda xp, x, y: x | y)
bitwise_xor = two("bitwise_xor", lambda xp, x, y: x ^ y)
bitwise_not = one("bitwise_not", lambda xp, x: ~x)
bitwise_left_shift = two("bitwise_left_shift", lambda xp, x, y: x << y)
bitwise_right_shift = two("bitwise_right_shift", lambda xp, x, y: x >> y)

# The same values elsewhere or as another dtype; `dtype` is numpy's


def _cast(xp: Any, x: Any, dtype: Any) -> Any:
    return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype)


# `copy_` and `fill_` write these results into a tensor, so nothing is copied before.
copy = op(
    "copy",
    lambda xp, x, y: y,
    lambda F, g: F.zeros_like(g),
    lambda F, g: g,
    wide=False,
    title="CopySlices",
)
fill = op(
    "fill",
    lambda xp, x, value: xp.broadcast_to(xp.asarray(value, x.dtype), x.shape),
    lambda F, g: F.zeros_like(g),
    lambda F, g: F.sum(g),
    wide=False,
)
cast = op(
    "cast", _cast, lambda F, g: g, wide=False, title="ToCopyBackward0"
)  # the walker casts the gradient back
clone = op("clone", lambda xp, x: x.copy(), lambda F, g: g, wide=False)
transfer = op(
    "transfer",
    lambda xp, x, where, back: backend.to_device(x, where),
    lambda F, g, where, back: F.transfer(g, back, where),
    wide=False,
    title="ToCopyBackward0",
)
zeros_like = op("zeros_like", lambda xp, x: xp.zeros(x.shape, x.dtype), wide=False)
ones_like = op("ones_like", lambda xp, x: xp.ones(x.shape, x.dtype), wide=False)
nan_to_num = op(
    "nan_to_num",
    lambda xp, x, nan=0.0, posinf=None, neginf=None: xp.nan_to_num(x, True, nan, posinf, neginf),
    lambda F, g, x: g * F.isfinite(x),
)
