"""Order, choice and placement."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor import backend, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap


@public(out=True)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) of `input` in order along `dim`; equal elements keep their order."""
    return return_types.sort(*F.sort(input, dim, descending))


@public(out=True)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort `input` along `dim`."""
    return F.sort(input, dim, descending)[1]


@public(out=True)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the `k` largest (or smallest) along `dim`, in order."""
    return return_types.topk(*F.topk(input, k, dim, largest))


@public(method=False)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Elements of `input` where `condition` holds, else of `other`; alone, where it holds."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    return F.where(condition, input, other)


@public(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of elements that are not zero: one row each, or one tensor a dimension."""
    found = F.nonzero(input)
    return tuple(wrap(c.copy()) for c in found._array.T) if as_tuple else found


@public(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements of `input` at `indices` along `dim` (without one: of the flattened input)."""
    if dim is None:
        return F.take_along_dim(F.reshape(input, (-1,)), F.reshape(indices, (-1,)), 0)
    return F.take_along_dim(input, indices, dim)


@public(inplace=True, out=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    value: Any = None,
    *,
    reduce: str | None = None,
) -> Tensor:
    """`input` with the elements of `src` (or `value`) placed at `index` along `dim`."""
    src = value if src is None else src
    if reduce == "add":
        return F.scatter_add(input, dim, index, src)
    return F.scatter(input, dim, index, src)


@public()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order; on demand where each came from, and how often."""
    found: Any = np.unique(  # type: ignore[call-overload]
        backend.to_host(input._array), False, return_inverse, return_counts, dim
    )
    if not isinstance(found, tuple):
        return wrap(found)
    return tuple(wrap(np.asarray(each)) for each in found)
