"""How a buffer's changes in the micro-batches of a step become one (PROTOCOL B4)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import Enum

import elastic.tensor as torch
from elastic.errors import StateError
from elastic.tensor import Tensor, nn
from elastic.tensor.nn.norm import _NormBase

__all__ = ["Merge", "check_merge", "rule_of"]


class Merge(Enum):
    """The rule for one buffer."""

    MEAN = "mean"
    """The weighted mean of the changes, added along the tree."""
    SUM = "sum"
    """All changes, added along the tree."""
    LARGEST = "largest"
    """The largest change of each element: of integers."""
    LAST = "last"
    """The value after the last micro-batch that changed it."""
    EQUAL = "equal"
    """All must have made the same of it."""


def rule_of(module: nn.Module, tensor: Tensor, asked: str | None) -> Merge:
    """Return the rule for a buffer of a module, asked for or by its kind."""
    if asked is not None:
        return Merge(asked)
    if tensor.is_floating_point():
        return Merge.MEAN if isinstance(module, _NormBase) else Merge.EQUAL
    return Merge.EQUAL if tensor.is_complex() or tensor.dtype == torch.bool else Merge.LARGEST


def check_merge(name: str, how: str, buffers: Mapping[str, Tensor]) -> None:
    """Raise StateError if the buffer of this name cannot be merged so."""
    if name not in buffers:
        near = difflib.get_close_matches(name, buffers, 1)
        known = (
            f"did you mean {near[0]!r}?" if near else f"there are {', '.join(buffers) or 'none'}"
        )
        raise StateError(f"merge expects the path of a buffer, got {name!r}; {known}")
    if how not in ("mean", "sum", "last"):
        raise StateError(f"merge expects 'mean', 'sum' or 'last' for {name!r}, got {how!r}")
    tensor = buffers[name]
    if tensor.dtype == torch.bool and how != "last":
        raise StateError(f"buffer {name!r} is of bool, which has no {how}; use 'last'")
    if how == "mean" and not (tensor.is_floating_point() or tensor.is_complex()):
        raise StateError(f"buffer {name!r} is of {tensor.dtype}, which has no mean; use 'sum'")
