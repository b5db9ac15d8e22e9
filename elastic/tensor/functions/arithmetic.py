"""Arithmetic whose arguments choose the op."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor._dispatch import result_type
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap


@public()
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other."""
    return F.add(input, other if alpha == 1 else F.mul(_tensor(other), alpha), out=out)


@public()
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
    return F.sub(input, other if alpha == 1 else F.mul(_tensor(other), alpha), out=out)


@public()
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """input / other, or rounded: "floor" down, "trunc" towards zero."""
    if rounding_mode is None:
        return F.div(input, other, out=out)
    if rounding_mode == "floor":
        return F.floor_divide(input, other, out=out)
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    dtype = result_type(input, other)
    return F.trunc(F.div(input, other)).to(dtype)


def _tensor(value: Any) -> Any:
    return value if isinstance(value, Tensor) else wrap(np.asarray(value))


@public(inplace=True)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` with values below `min` and above `max` set to these."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return F.clamp(input, min, max, out=out)
