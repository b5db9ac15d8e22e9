"""Ops on single elements: arithmetic, functions, comparisons, choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from elastic.tensor import _creation, backend, dtypes
from elastic.tensor._dispatch import op
from elastic.tensor._registry import F32

_LN2, _LN10, _DEGREE = math.log(2), math.log(10), math.pi / 180

one = partial(op, operands=(0,), inplace=True)
real = partial(op, operands=(0,), to_float=True, inplace=True)  # integers become floats
two = partial(op, operands=(0, 1), inplace=True)
both = partial(two, tensors=())  # where the first may be a number as well
pair = partial(op, operands=(0, 1), tensors=(0, 1))  # without `name_`, and of tensors alone
tensors = partial(pair, inplace=True)

# Arithmetic


def _whole(divide: Callable) -> Callable:
    """`divide`, which raises RuntimeError where an integer is divided by zero."""

    def forward(xp: Any, x: Any, y: Any) -> Any:
        if getattr(x, "dtype", F32).kind in "iu" and x.size and xp.any(xp.asarray(y) == 0):
            raise RuntimeError("ZeroDivisionError")
        return divide(xp, x, y)

    return forward


def _div_trunc(xp: Any, x: Any, y: Any) -> Any:
    if xp.asarray(x).dtype.kind == "f":
        return xp.trunc(x / y)
    quotient = xp.floor_divide(x, y)  # rounded down: one too low where it is negative and inexact
    return quotient + ((quotient < 0) & (quotient * y != x))


quotient = partial(op, operands=(0, 1), tensors=(), title="DivBackward2", refuses="bc")

both("add", lambda xp, x, y: x + y, lambda F, g: g, lambda F, g: g)
both("sub", lambda xp, x, y: x - y, lambda F, g: g, lambda F, g: -g, subtracts=True)
both(
    "_rsub",
    lambda xp, x, y: y - x,
    lambda F, g: -g,
    lambda F, g: g,
    title="RsubBackward1",
    subtracts=True,
)
both("mul", lambda xp, x, y: x * y, lambda F, g, y: g * y, lambda F, g, x: g * x)
both(
    "div",
    lambda xp, x, y: x / y,
    lambda F, g, y: g / y,
    lambda F, g, x, y: -g * (x / y) / y,
    to_float=True,
)
one("neg", lambda xp, x: -x, lambda F, g: -g, refuses="b")
one("square", lambda xp, x: x * x, lambda F, g, x: g * (2 * x), title="PowBackward0")
real("reciprocal", lambda xp, x: 1 / x, lambda F, g, out: -g * out * out)


def _flat(F: Any, g: Any) -> Any:
    return F.zeros_like(g)  # of steps: the derivative is zero wherever there is one


both("floor_divide", _whole(lambda xp, x, y: xp.floor_divide(x, y)), refuses="bc")
quotient("_div_floor", _whole(lambda xp, x, y: xp.floor_divide(x, y)), _flat, _flat)
quotient("_div_trunc", _whole(_div_trunc), _flat, _flat)
both(
    "remainder",
    _whole(lambda xp, x, y: xp.remainder(x, y)),
    lambda F, g: g,
    lambda F, g, x, y: -g * F._div_floor(x, y),
    refuses="bc",
)
two(
    "fmod",
    _whole(lambda xp, x, y: xp.fmod(x, y)),
    lambda F, g: g,
    lambda F, g, x, y: -g * F._div_trunc(x, y),
    refuses="bc",
)


def _pow_x(F: Any, g: Any, x: Any, y: Any) -> Any:
    if isinstance(y, (int, float, complex)):
        return g * (y * x ** (y - 1)) if y else F.zeros_like(g)
    return F.where(y == 0, 0.0, g * (y * F.pow(x, y - 1)))


def _pow_y(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if isinstance(x, (int, float, complex)):
        return g * (out * F.log(F.zeros_like(out) + x)) if x else F.zeros_like(g)
    zero = F.logical_and(x == 0, F.real(y) >= 0)  # 0 ** y stays 0, though log(0) is not finite
    return F.where(zero, 0.0, g * (out * F.log(F.where(zero, 1.0, x))))


def _pow(xp: Any, x: Any, y: Any) -> Any:
    if not isinstance(y, int) and xp.asarray(y).dtype.kind == "b":
        y = xp.asarray(y, xp.int8)  # numpy has no power of bools
    if getattr(y, "dtype", F32).kind == "i" and xp.asarray(x).dtype.kind in "iu":
        return _integer_power(xp, xp.asarray(x), y)
    return x**y


def _integer_power(xp: Any, x: Any, y: Any) -> Any:
    """Below zero, where only 1 and -1 have a power that is an integer, the others give 0."""
    power = x ** xp.maximum(y, 0)
    return xp.where((y < 0) & (xp.abs(x) != 1), 0, xp.where((y < 0), x ** (y & 1), power))


both("pow", _pow, _pow_x, _pow_y, refuses="b")

# Functions of one number


def _round(xp: Any, x: Any, decimals: int = 0) -> Any:
    if x.dtype.kind in "iu":
        return x.copy()
    scale = 10.0 ** abs(decimals)
    if decimals < 0:
        return xp.rint(x / scale) * scale
    return xp.rint(x * scale) / scale if decimals else xp.rint(x)


def _nan_to_num(xp: Any, x: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    if x.dtype.kind in "biu":
        return x.copy()
    if x.dtype.kind == "c":
        parts = [_nan_to_num(xp, part, nan, posinf, neginf) for part in (x.real, x.imag)]
        return (parts[0] + 1j * parts[1]).astype(x.dtype)
    limits = dtypes.finfo(dtypes.FROM_NUMPY[x.dtype])
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    infinite = xp.where(x > 0, xp.asarray(high, x.dtype), xp.asarray(low, x.dtype))
    number = xp.where(xp.isnan(x), xp.asarray(nan or 0.0, x.dtype), x)
    return xp.where(xp.isinf(x), infinite, number)


one(
    "sign",
    lambda xp, x: x.copy() if x.dtype.kind == "b" else xp.sign(x),
    _flat,
    refuses="c",
)
one("floor", lambda xp, x: xp.floor(x), _flat, refuses="bc")
one("ceil", lambda xp, x: xp.ceil(x), _flat, refuses="bc")
one("trunc", lambda xp, x: xp.trunc(x), _flat, refuses="bc")
one("round", _round, _flat, refuses="bc")
one("frac", lambda xp, x: x - xp.trunc(x), lambda F, g: g, refuses="bic")
one("nan_to_num", _nan_to_num, lambda F, g, x: g * F.isfinite(x), wide=False)
real("exp", lambda xp, x: xp.exp(x), lambda F, g, out: g * out)
real("exp2", lambda xp, x: xp.exp2(x), lambda F, g, out: g * out * _LN2)
real("expm1", lambda xp, x: xp.expm1(x), lambda F, g, out: g * (out + 1))
real("log", lambda xp, x: xp.log(x), lambda F, g, x: g / x)
real("log2", lambda xp, x: xp.log2(x), lambda F, g, x: g / (x * _LN2))
real("log10", lambda xp, x: xp.log10(x), lambda F, g, x: g / (x * _LN10))
real("log1p", lambda xp, x: xp.log1p(x), lambda F, g, x: g / (x + 1), title="Log1PBackward0")
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
real("asinh", lambda xp, x: xp.arcsinh(x), lambda F, g, x: g * F.rsqrt(x * x + 1))
real("acosh", lambda xp, x: xp.arccosh(x), lambda F, g, x: g * F.rsqrt(x - 1) * F.rsqrt(x + 1))
real("atanh", lambda xp, x: xp.arctanh(x), lambda F, g, x: g / (1 - x * x))
real("tanh", lambda xp, x: xp.tanh(x), lambda F, g, out: g * (1 - out * out))
real("deg2rad", lambda xp, x: x * _DEGREE, lambda F, g: g * _DEGREE, refuses="c")
real("rad2deg", lambda xp, x: x / _DEGREE, lambda F, g: g / _DEGREE, refuses="c")
real("sigmoid", lambda xp, x: 1 / (1 + xp.exp(-x)), lambda F, g, out: g * (out * (1 - out)))
one("relu", lambda xp, x: xp.maximum(x, 0), lambda F, g, out: g * (out > 0))

# Two or three numbers


def _larger(F: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (x > y) + (0.5 * g) * (x == y)  # a tie shares the gradient


op(
    "_frexp",
    lambda xp, x: xp.frexp(x),
    lambda F, g, out: g * F.exp2(out[1] * -1.0),
    title="FrexpBackward0",
)
pair(
    "maximum",
    lambda xp, x, y: xp.maximum(x, y),
    _larger,
    lambda F, g, x, y: _larger(F, g, y, x),
    refuses="c",
)
pair(
    "minimum",
    lambda xp, x, y: xp.minimum(x, y),
    lambda F, g, x, y: _larger(F, g, y, x),
    _larger,
    refuses="c",
)


def _first(F: Any, g: Any, x: Any, y: Any) -> Any:
    return g * F.logical_or(x >= y, F.isnan(y + 0 * x))  # a tie gives all to the first


def _second(F: Any, g: Any, x: Any, y: Any) -> Any:
    return g * F.logical_not(F.logical_or(x >= y, F.isnan(y + 0 * x)))


pair("fmax", lambda xp, x, y: xp.fmax(x, y), _first, _second, refuses="c")
pair(
    "fmin",
    lambda xp, x, y: xp.fmin(x, y),
    lambda F, g, x, y: _first(F, g, -x, -y),
    lambda F, g, x, y: _second(F, g, -x, -y),
    refuses="c",
)
tensors(
    "atan2",
    lambda xp, x, y: xp.arctan2(x, y),
    lambda F, g, x, y: g * (y / (x * x + y * y)),
    lambda F, g, x, y: -g * (x / (x * x + y * y)),
    to_float=True,
    refuses="c",
)
tensors(
    "hypot",
    lambda xp, x, y: xp.hypot(x, y),
    lambda F, g, x, out: g * (x / out),
    lambda F, g, y, out: g * (y / out),
    refuses="bic",
)
two(
    "copysign",
    lambda xp, x, y: xp.copysign(x, y),
    lambda F, g, x, out: g * F.where(x == 0, 0.0, out / F.where(x == 0, 1.0, x)),
    _flat,
    to_float=True,
    refuses="c",
)
tensors(
    "nextafter",
    lambda xp, x, y: xp.nextafter(x, y),
    lambda F, g, x, y: g * (x != y),
    lambda F, g, x, y: g * (x == y),
    wide=False,
    refuses="bic",
)
tensors(
    "heaviside",
    lambda xp, x, y: xp.where(x == 0, y, (x > 0).astype(x.dtype)),
    refuses="c",
)
tensors("gcd", lambda xp, x, y: xp.gcd(x, y), refuses="bhfc")
tensors("lcm", lambda xp, x, y: xp.lcm(x, y), refuses="bhfc")


def _logaddexp(xp: Any, x: Any, y: Any) -> Any:
    if xp.asarray(x).dtype.kind != "c":
        return xp.logaddexp(x, y)
    larger = xp.where(x.real >= y.real, x, y)
    smaller = xp.where(x.real >= y.real, y, x)
    return larger + xp.log1p(xp.exp(smaller - larger))


pair(
    "logaddexp",
    _logaddexp,
    lambda F, g, x, out: g * F.exp(x - out),
    lambda F, g, y, out: g * F.exp(y - out),
    refuses="bi",
)
pair(
    "logaddexp2",
    lambda xp, x, y: _logaddexp(xp, x * _LN2, y * _LN2) / _LN2,
    lambda F, g, x, out: g * F.exp2(x - out),
    lambda F, g, y, out: g * F.exp2(y - out),
    refuses="bi",
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
    refuses="c",
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


def _lerp(xp: Any, x: Any, y: Any, weight: Any) -> Any:
    # from the nearer end, so that a weight of 1 gives just y
    return xp.where(xp.abs(weight) < 0.5, x + weight * (y - x), y - (y - x) * (1 - weight))


op(
    "lerp",
    _lerp,
    lambda F, g, weight: g * (1 - weight),
    lambda F, g, weight: g * weight,
    lambda F, g, x, y: g * (y - x),
    operands=(0, 1, 2),
    inplace=True,
    refuses="bi",
)


def _addcmul(xp: Any, x: Any, y: Any, z: Any, value: Any = 1) -> Any:
    if xp.asarray(x).dtype.kind in "iu":
        value = int(value)  # cut, as PyTorch does
    return x + value * (y * z)


op(
    "addcmul",
    _addcmul,
    lambda F, g: g,
    lambda F, g, z, value: g * (z * value),
    lambda F, g, y, value: g * (y * value),
    operands=(0, 1, 2),
    inplace=True,
    refuses="b",
)
op(
    "addcdiv",
    lambda xp, x, y, z, value=1: x + value * (y / z),
    lambda F, g: g,
    lambda F, g, z, value: g * (value / z),
    lambda F, g, y, z, value: -g * (value * y / (z * z)),
    operands=(0, 1, 2),
    inplace=True,
    refuses="bi",
)

# Questions: bool results, nothing to differentiate


def _signbit(xp: Any, x: Any) -> Any:
    return xp.signbit(x) if x.dtype.kind == "f" else x < 0


two("eq", lambda xp, x, y: x == y)
two("ne", lambda xp, x, y: x != y)
two("lt", lambda xp, x, y: x < y, refuses="c")
two("le", lambda xp, x, y: x <= y, refuses="c")
two("gt", lambda xp, x, y: x > y, refuses="c")
two("ge", lambda xp, x, y: x >= y, refuses="c")
tensors("logical_and", lambda xp, x, y: xp.logical_and(x, y))
tensors("logical_or", lambda xp, x, y: xp.logical_or(x, y))
tensors("logical_xor", lambda xp, x, y: xp.logical_xor(x, y))
one("logical_not", lambda xp, x: xp.logical_not(x))
op("isnan", lambda xp, x: xp.isnan(x), operands=(0,))
op("isinf", lambda xp, x: xp.isinf(x), operands=(0,))
op("isfinite", lambda xp, x: xp.isfinite(x), operands=(0,))
op("isposinf", lambda xp, x: x == math.inf, operands=(0,), refuses="c")
op("isneginf", lambda xp, x: x == -math.inf, operands=(0,), refuses="c")
op("isreal", lambda xp, x: x.imag == 0, operands=(0,), wide=False)
op("signbit", _signbit, operands=(0,), refuses="c")
both("bitwise_and", lambda xp, x, y: x & y, refuses="hfc")
both("bitwise_or", lambda xp, x, y: x | y, refuses="hfc")
both("bitwise_xor", lambda xp, x, y: x ^ y, refuses="hfc")
one("bitwise_not", lambda xp, x: ~x, refuses="hfc")
both("bitwise_left_shift", lambda xp, x, y: x << y, refuses="bhfc")
both("bitwise_right_shift", lambda xp, x, y: x >> y, refuses="bhfc")

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


def _clone(xp: Any, x: Any, memory_format: Any = None) -> Any:
    arranged = _creation.arranged(x, memory_format)
    if arranged is not x:
        return arranged
    return x.copy("C" if 0 in x.strides else "K")  # what was expanded lies in C order


op("clone", _clone, lambda F, g: g, wide=False)
op(
    "_transfer",
    lambda xp, x, where, back: backend.to_device(x, where),
    lambda F, g, where, back: F._transfer(g, back, where),
    wide=False,
    title="ToCopyBackward0",
)
op("zeros_like", lambda xp, x: xp.zeros(x.shape, x.dtype), wide=False, method=False)
op("ones_like", lambda xp, x: xp.ones(x.shape, x.dtype), wide=False, method=False)
