"""PyTorch's dtypes and its rules of promotion.

A result's dtype depends on who takes part: tensors with dimensions beat 0-dim tensors, which beat
Python scalars, unless the weaker one is of a higher kind (bool < integer < float < complex).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np


class dtype:
    """A kind of element: `torch.float32` and its siblings. There is one object of each."""

    __slots__ = ("is_complex", "is_floating_point", "name", "np", "title")

    def __init__(self, name: str, title: str, numpy_type: Any):
        self.name = name
        self.title = title  # what PyTorch's messages and type names call it
        self.np = np.dtype(numpy_type)
        self.is_complex = self.np.kind == "c"
        self.is_floating_point = self.np.kind == "f" or name == "bfloat16"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.np.itemsize

    @property
    def is_signed(self) -> bool:
        """Whether values below zero exist."""
        return self.np.kind not in "bu"

    def to_complex(self) -> dtype:
        """The complex dtype whose parts are of this one. Raises: RuntimeError for integers."""
        return self if self.is_complex else _partner(self, "to_complex")

    def to_real(self) -> dtype:
        """The dtype of the parts of a complex one; a real one itself."""
        return _partner(self, "to_real") if self.is_complex else self

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


bool_ = dtype("bool", "Bool", np.bool_)
uint8 = dtype("uint8", "Byte", np.uint8)
int8 = dtype("int8", "Char", np.int8)
int16 = short = dtype("int16", "Short", np.int16)
int32 = int_ = dtype("int32", "Int", np.int32)
int64 = long = dtype("int64", "Long", np.int64)
float16 = half = dtype("float16", "Half", np.float16)
uint16 = dtype("uint16", "UInt16", np.uint16)
uint32 = dtype("uint32", "UInt32", np.uint32)
uint64 = dtype("uint64", "UInt64", np.uint64)
bfloat16 = dtype("bfloat16", "BFloat16", ml_dtypes.bfloat16)
float32 = float_ = dtype("float32", "Float", np.float32)
float64 = double = dtype("float64", "Double", np.float64)
complex64 = cfloat = dtype("complex64", "ComplexFloat", np.complex64)
complex128 = cdouble = dtype("complex128", "ComplexDouble", np.complex128)

_UNSIGNED = (uint16, uint32, uint64)  # few operations know them
_WHOLE = (bool_, uint8, int8, int16, int32, int64)
ALL = (*_WHOLE, *_UNSIGNED, float16, bfloat16, float32, float64, complex64, complex128)
FROM_NUMPY = {d.np: d for d in ALL}
HALVES = frozenset({float16, bfloat16})  # computed in float32 and rounded once, as PyTorch does

_PARTNERS = {float32: complex64, float64: complex128, complex64: float32, complex128: float64}
_OF_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}


def _partner(d: dtype, method: str) -> dtype:
    if d not in _PARTNERS:
        raise RuntimeError(f"{method} is not implemented for {d}")
    return _PARTNERS[d]


def as_dtype(value: Any) -> Any:
    """`value` as a dtype, None as None: Python's number types name the widest of their kind.

    Raises: TypeError for anything else.
    """
    if value is None or isinstance(value, dtype):
        return value
    if value in _OF_PYTHON:
        return _OF_PYTHON[value]
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(value).__name__}")


_default = [float32]


def set_default_dtype(d: dtype) -> None:
    """Makes `d` the dtype of tensors made from Python floats."""
    if not isinstance(d, dtype):
        raise TypeError(
            "invalid dtype object: only floating-point types are supported as the default type"
        )
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default[0] = d


def get_default_dtype() -> dtype:
    """The dtype of tensors made from Python floats."""
    return _default[0]


def from_numpy_dtype(d: Any) -> dtype:
    """The dtype of numpy's `d`. Raises: TypeError for what PyTorch has no dtype for."""
    found = FROM_NUMPY.get(np.dtype(d))
    if found is None:
        known = ", ".join(each.name for each in ALL)
        raise TypeError(f"tensors hold one of {known}; got numpy.{np.dtype(d)}; convert it first")
    return found


def rank(d: dtype) -> int:
    """The kind of `d` as a number: 0 bool, 1 integer, 2 float, 3 complex."""
    if d.is_complex:
        return 3
    return 2 if d.is_floating_point else int(d is not bool_)


def kind(d: dtype) -> str:
    """The kind of `d` in a letter: bool, integer, half precision, float or complex."""
    return "h" if d in HALVES else "bifc"[rank(d)]


def largest_exact(d: dtype) -> int:
    """The largest n such that `d` holds all integers from 0 to n."""
    if rank(d) < 2:
        return 1 if d is bool_ else int(np.iinfo(d.np).max)
    bits: Any = ml_dtypes.finfo(d.np) if d is bfloat16 else np.finfo(d.np)
    return 2 ** (bits.nmant + 1)


@cache
def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that holds both."""
    if a is b:
        return a
    low, high = sorted((a, b), key=lambda d: (rank(d), d.itemsize))
    if rank(high) < 2 and (low in _UNSIGNED or high in _UNSIGNED):
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{a.title} and {b.title}"
        )
    if rank(high) == 3:
        return complex128 if float64 in (low, high) or complex128 in (low, high) else complex64
    if rank(low) == rank(high) == 2:
        return float32 if {low, high} == HALVES else high
    if (high is uint8 and low is int8) or (high is int8 and low is uint8):
        return int16
    return high


def can_cast(source: dtype, target: dtype) -> bool:
    """Whether an in-place result of dtype `source` may be written into `target`."""
    return rank(source) <= rank(target) or {rank(source), rank(target)} == {1}


def scalar_dtype(value: Any) -> dtype:
    """The dtype that a Python number takes part with."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default[0]
    return promote_types(_default[0], complex64)


def combine(high: dtype | None, low: dtype | None) -> dtype | None:
    """The result of a stronger and a weaker class of participants, each already promoted."""
    if high is None or low is None:
        return high or low
    if rank(low) <= rank(high) and rank(high) > 0:
        return high
    if rank(low) == 3 and rank(high) == 2:
        return complex128 if high is float64 else complex64
    return promote_types(high, low)


@dataclass(frozen=True, repr=False)
class FloatLimits:
    """What `finfo` tells."""

    bits: int
    eps: float  # the distance from 1 to the next number
    max: float
    min: float
    tiny: float  # the smallest normal number
    resolution: float
    dtype: str

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number of full precision."""
        return self.tiny

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        limits = ", ".join(f"{name}={getattr(self, name):.6g}" for name in names)
        return f"finfo({limits}, dtype={self.dtype})"


@dataclass(frozen=True, repr=False)
class IntegerLimits:
    """What `iinfo` tells."""

    bits: int
    max: int
    min: int
    dtype: str

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def finfo(type: dtype | None = None) -> FloatLimits:
    """The limits of a floating-point dtype, or of the parts of a complex one."""
    d = (type or _default[0]).to_real()
    if not d.is_floating_point:
        raise TypeError(
            "torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
            "'torch.finfo'"
        )
    found: Any = ml_dtypes.finfo(d.np) if d is bfloat16 else np.finfo(d.np)
    names = ("eps", "max", "min", "tiny", "resolution")
    limits = {each: float(getattr(found, each)) for each in names}
    return FloatLimits(bits=found.bits, dtype=d.name, **limits)


def iinfo(type: dtype) -> IntegerLimits:
    """The limits of an integer dtype."""
    if rank(type) > 1:
        raise TypeError(
            "torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'"
        )
    if type is bool_:
        raise TypeError("torch.bool is not supported by torch.iinfo")
    found = np.iinfo(type.np)
    return IntegerLimits(found.bits, int(found.max), int(found.min), type.name)
