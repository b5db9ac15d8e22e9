"""Pieces put together and taken apart."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor._dispatch import result_type
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor


@public()
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along `dim`: of one size (the last may be smaller), or of given sizes."""
    length = tensor.shape[dim]
    size = split_size_or_sections
    if isinstance(size, int):
        sections = [builtins.min(size, length - k) for k in range(0, length, size)] or [0]
    else:
        sections = list(size)
        if builtins.sum(sections) != length:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {length} (input tensor's "
                f"size at dimension {dim}), but got split_sizes={sections}"
            )
    starts = [builtins.sum(sections[:k]) for k in range(len(sections))]
    return tuple(F.narrow(tensor, dim, s, n) for s, n in zip(starts, sections, strict=True))


@public()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`; the last may be smaller."""
    return split(input, builtins.max(1, -(-input.shape[dim] // chunks)), dim)


@public()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along `dim`."""
    return tuple(F.select(input, dim, k) for k in range(input.shape[dim]))


@public()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """`input` repeated `dims` times; missing leading counts are 1."""
    dims = tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return F.repeat(input, (1,) * (input._array.ndim - len(dims)) + dims)


@public(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix as a copy, or the matrix with `input` on its diagonal."""
    if input._array.ndim == 2:
        return F.clone(F.diagonal(input, diagonal))
    if input._array.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._array.ndim}D")
    n = input._array.size + abs(diagonal)
    return F.diagonal_scatter(input, (n, n), diagonal, 0, 1)


@public(method=False)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None) -> Tensor:
    """`tensors` of equal shapes along a new dimension."""
    tensors = _promoted(tensors)
    for k, each in enumerate(tensors):
        if each._array.shape != tensors[0]._array.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at "
                f"entry 0 and {list(each.shape)} at entry {k}"
            )
    return F.stack(tensors, dim, out=out)


@public(method=False)
def cat(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None, axis: int | None = None
) -> Tensor:
    """`tensors` one after the other along `dim`."""
    tensors, dim = _promoted(tensors), dim if axis is None else axis
    first = next((t for t in tensors if t._array.shape != (0,)), tensors[0])._array
    for k, each in enumerate(tensors):
        _check_cat(first, each._array, dim, k)
    return F.cat(tensors, dim, out=out)


def _promoted(tensors: Sequence[Tensor]) -> list[Tensor]:
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    dtype = tensors[0]._array.dtype
    if all_same(dtype, tensors):
        return list(tensors)
    common = result_type(*tensors)
    return [t.to(common) for t in tensors]


def all_same(dtype: Any, tensors: Sequence[Tensor]) -> bool:
    """Whether all `tensors` have numpy's `dtype`."""
    return not [t for t in tensors if t._array.dtype != dtype]


def _check_cat(first: Any, array: Any, dim: int, k: int) -> None:
    if array.shape == (0,) or first.shape == array.shape:
        return
    if first.ndim != array.ndim:
        raise RuntimeError(
            f"Tensors must have same number of dimensions: got {first.ndim} and {array.ndim}"
        )
    for d in range(first.ndim):
        if d != dim % first.ndim and first.shape[d] != array.shape[d]:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size "
                f"{first.shape[d]} but got size {array.shape[d]} for tensor number {k} in the list."
            )


@public(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of the grid that 1-d `tensors` span."""
    tensors = (
        tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    )
    shape = tuple(t._array.size for t in tensors)
    n = len(tensors)
    grids = [
        F.expand(F.reshape(t, (1,) * k + (-1,) + (1,) * (n - k - 1)), shape)
        for k, t in enumerate(tensors)
    ]
    return tuple(F.transpose(g, 0, 1) if indexing == "xy" and n > 1 else g for g in grids)


@public(method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`tensors`, each expanded to the shape that they broadcast to."""
    shape = np.broadcast_shapes(*[t._array.shape for t in tensors])
    return tuple(F.expand(t, shape) for t in tensors)
