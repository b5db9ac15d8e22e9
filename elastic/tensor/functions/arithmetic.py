"""Arithmetic whose arguments choose the op."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elastic.tensor import dtypes, return_types
from elastic.tensor._dispatch import result_type
from elastic.tensor._publish import public
from elastic.tensor._refusals import refusal
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap


@public()
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other."""
    return F.add(input, scaled(input, other, alpha), out=out)


@public()
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
    return F.sub(input, scaled(input, other, alpha), out=out)


@public(method=False)
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    _check_tensors("rsub", input)
    return F._rsub(scaled(other, input, alpha), other)


def scaled(input: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, for `input` + or - it. Raises: RuntimeError for an alpha of a higher kind."""
    if type(alpha) is int and alpha == 1:
        return other
    rank = dtypes.rank(result_type(input, other))
    if isinstance(alpha, bool) and rank:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and rank < 2:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, complex) and rank < 3:
        raise RuntimeError(
            "For non-complex input tensors, argument alpha must not be a complex number."
        )
    return F.mul(_tensor(other), alpha if rank else bool(alpha))


@public()
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """input / other, or rounded: "floor" down, "trunc" towards zero."""
    if rounding_mode is None:
        return F.div(input, other, out=out)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return (F._div_floor if rounding_mode == "floor" else F._div_trunc)(input, other, out=out)


def _tensor(value: Any) -> Any:
    return value if isinstance(value, Tensor) else wrap(np.asarray(value))


@public(inplace=True)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` with values below `min` and above `max` set to these."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if None not in (min, max) and isinstance(min, Tensor) != isinstance(max, Tensor):
        raise TypeError(
            "clamp() received an invalid combination of arguments: min and max are both numbers "
            "or both tensors"
        )
    return F.clamp(input, min, max, out=out)


@public(inplace=True, out=True)
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """`input` with values below `min` set to it."""
    _check_tensors("clamp_min", input)
    _no_complex("maximum_cpu", input, min)
    return F.clamp(input, min, None)


@public(inplace=True, out=True)
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """`input` with values above `max` set to it."""
    _check_tensors("clamp_max", input)
    _no_complex("minimum_cpu", input, max)
    return F.clamp(input, None, max)


def _check_tensors(name: str, *given: Any) -> None:
    for k, each in enumerate(given):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"{name}(): argument '{('input', 'other')[k]}' (position {k + 1}) must be Tensor, "
                f"not {type(each).__name__}"
            )


def _no_complex(kernel: str, *operands: Any) -> None:
    dtype = result_type(*operands)
    if dtype.is_complex:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.title}'")


@public(inplace=True, out=True)
def square(input: Tensor) -> Tensor:
    """input * input; bools count as integers."""
    return F.square(input.long() if input.dtype is dtypes.bool_ else input)


@public()
def positive(input: Tensor) -> Tensor:
    """`input` itself. Raises: RuntimeError for bools."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@public(inplace=True, out=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, computed in float64 or complex128."""
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise TypeError("float_power(): one of the arguments must be Tensor, not two numbers")
    is_complex = dtypes.rank(result_type(input, exponent)) == 3
    wide = dtypes.complex128 if is_complex else dtypes.float64
    base = _tensor(input).to(wide)
    return F.pow(base, exponent.to(wide) if isinstance(exponent, Tensor) else exponent)


@public(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other."""
    _check_tensors("ldexp", input, other)
    result = F.mul(input, F.pow(2.0, other))
    return result.to(input.dtype) if input.is_floating_point() else result


@public(out=True)
def frexp(input: Tensor) -> Any:
    """(mantissa, exponent): input = mantissa * 2 ** exponent, the mantissa in (-1, 1)."""
    if not input.is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return return_types.frexp(*F._frexp(input))


@public(inplace=True, out=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 where `input` is negative, 1 where it is positive, `values` where it is 0."""
    _check_tensors("heaviside", input, values)
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return F.heaviside(input, values)


@public(inplace=True, out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """`input` to the nearest integers (even ones at halves), or to `decimals` places."""
    if decimals and dtypes.rank(input.dtype) < 2:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{input.dtype.title}'")
    return F.round(input, decimals)


@public(inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight * (end - input). Raises: RuntimeError when the dtypes differ."""
    for name, each in (("end", end), ("weight", weight)):
        if isinstance(each, Tensor) and each.dtype is not input.dtype:
            raise RuntimeError(
                f"expected dtype {_c_name(input)} for `{name}` but got dtype {_c_name(each)}"
            )
    if dtypes.rank(input.dtype) < 2:
        raise refusal("lerp", input.dtype)
    return F.lerp(input, end, weight)


def _c_name(t: Tensor) -> str:
    names = {"float64": "double", "float32": "float", "float16": "c10::Half"}
    integers = {"int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char"}
    return (names | integers | {"uint8": "unsigned char"}).get(t.dtype.name, t.dtype.name)


@public(inplace=True, out=True)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The derivative of order `n` of digamma. Raises: RuntimeError for a negative order."""
    if isinstance(n, Tensor):  # called as the method x.polygamma(n)
        n, input = input, n
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return F._polygamma(input, n) if n else F.digamma(input)


@public(inplace=True, out=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the gamma function of dimension `p`."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    shifts = wrap(np.arange(p, dtype=np.int64) * -0.5).to(_floating(input))
    terms = F.lgamma(F.add(F.unsqueeze(input, -1), shifts))
    return F.add(F.sum(terms, -1), p * (p - 1) / 4 * math.log(math.pi))


def _floating(input: Tensor) -> dtypes.dtype:
    return input.dtype if input.is_floating_point() else dtypes.get_default_dtype()
