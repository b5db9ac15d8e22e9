"""Tensors put together, repeated, turned and broadcast."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import _creation
from elastic.tensor._dispatch import result_type
from elastic.tensor._errors import broadcast_error
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import Size
from elastic.tensor.functions._outputs import apart
from elastic.tensor.ops.reduce import place

# One after the other


@public(method=False, out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`tensors` of equal shapes along a new dimension."""
    tensors = _promoted("stack", tensors)
    for k, each in enumerate(tensors):
        if each._array.shape != tensors[0]._array.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at "
                f"entry 0 and {list(each.shape)} at entry {k}"
            )
    return F.stack(tensors, dim)


@public(method=False, out=apart)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`tensors` one after the other along `dim`."""
    tensors = _promoted("cat", tensors)
    first = next((t for t in tensors if t._array.shape != (0,)), tensors[0])._array
    for k, each in enumerate(tensors):
        if each._array.shape != first.shape or not first.ndim:
            _check_cat(first, each._array, dim, k)
    return F.cat(tensors, dim)


_EMPTY = {
    "cat": ValueError("torch.cat(): expected a non-empty list of Tensors"),
    "stack": RuntimeError("stack expects a non-empty TensorList"),
}


def _promoted(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(tensors).__name__}"
        )
    if not tensors:
        raise type(_EMPTY[name])(*_EMPTY[name].args)
    for k, each in enumerate(tensors):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"expected Tensor as element {k} in argument 0, but got {type(each).__name__}"
            )
    dtype = tensors[0]._array.dtype
    if not [t for t in tensors if t._array.dtype != dtype]:
        return list(tensors)
    common = result_type(*tensors)
    return [t.to(common) for t in tensors]


def _check_cat(first: Any, array: Any, dim: int, k: int) -> None:
    if not array.ndim:
        raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated")
    if array.shape == (0,):
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


@public(method=False, out=True)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """`tensors` side by side: along dimension 1, vectors along 0."""
    rows = _raised("hstack", tensors, atleast_1d)
    return cat(rows, 0 if rows[0]._array.ndim == 1 else 1)


@public(method=False, out=True)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """`tensors` below each other; vectors become rows."""
    return cat(_raised("vstack", tensors, atleast_2d), 0)


@public(method=False, out=True)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """`tensors` along dimension 2."""
    return cat(_raised("dstack", tensors, atleast_3d), 2)


@public(method=False, out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`tensors` side by side; vectors become columns."""
    columns = [
        F.reshape(t, (t._array.size, 1)) if t._array.ndim <= 1 else t
        for t in _raised("column_stack", tensors, lambda t: t)
    ]
    return hstack(columns)


def _raised(name: str, tensors: Sequence[Tensor], raised: Any) -> list:
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return [raised(each) for each in tensors]


@public(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Each of `tensors`; a number becomes a vector."""
    return _each(lambda t: F.reshape(t, (1,)) if not t._array.ndim else t, tensors)


@public(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Each of `tensors`; numbers and vectors become rows."""
    return _each(lambda t: F.reshape(t, (1, t._array.size)) if t._array.ndim < 2 else t, tensors)


@public(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Each of `tensors` with three dimensions at least; a matrix gets one behind it."""
    return _each(_at_least_3d, tensors)


def _at_least_3d(t: Tensor) -> Tensor:
    if t._array.ndim < 2:
        return F.reshape(t, (1, t._array.size, 1))
    return F.unsqueeze(t, -1) if t._array.ndim == 2 else t


def _each(function: Any, tensors: tuple) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    if len(tensors) == 1:
        tensors = tuple(tensors[0])
    return tuple([function(each) for each in tensors])


@public(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """The matrix with the matrices `tensors` along its diagonal."""
    for k, each in enumerate(tensors):
        if each._array.ndim > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{k} has {each._array.ndim} dimensions"
            )
    blocks = [atleast_2d(each) for each in tensors]
    if not blocks:
        return _creation.empty((1, 0))
    dtype, width = result_type(*blocks), sum(b._array.shape[1] for b in blocks)
    rows, before = [], 0
    for block in blocks:
        after = width - before - block._array.shape[1]
        rows.append(F.constant_pad_nd(block.to(dtype), (before, after)))
        before += block._array.shape[1]
    return F.cat(rows, 0)


# Grids


@public(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of the grid that 1-d `tensors` span."""
    if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if any(t.dtype is not tensors[0].dtype for t in tensors):
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    shape, n = tuple(t._array.size for t in tensors), len(tensors)
    grids = [
        F.expand(F.reshape(t, (1,) * k + (-1,) + (1,) * (n - k - 1)), shape)
        for k, t in enumerate(tensors)
    ]
    return tuple(F.transpose(g, 0, 1) if indexing == "xy" and n > 1 else g for g in grids)


@public(method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, one row each."""
    for each in tensors:
        _check_vector(each)
    if len(tensors) == 1:
        return tensors[0]
    return F.stack([F.reshape(g, (-1,)) for g in meshgrid(*tensors)], 1)


@public(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of `r` elements of a vector, one row each."""
    _check_vector(input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return _creation.empty(0, dtype=input.dtype)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input._array.size), r))
    places = np.asarray(rows, np.int64).reshape(len(rows), r)
    return F._index(input, (places,))


def _check_vector(t: Tensor) -> None:
    if t._array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._array.shape)}")


@public(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """`tensors`, each expanded to the shape that they broadcast to."""
    if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
        tensors = tuple(tensors[0])
    shape: tuple = ()
    for each in tensors:
        error = broadcast_error(shape, each._array.shape)
        if error is not None:
            raise error
        shape = np.broadcast_shapes(shape, each._array.shape)
    return tuple(t if t._array.shape == shape else F.expand(t, shape) for t in tensors)


@public(method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes broadcast to."""
    result: list = []
    for k, shape in enumerate(shapes):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        result = [1] * (len(shape) - len(result)) + result
        for d in range(-1, -len(shape) - 1, -1):
            if shape[d] in (1, result[d]):
                continue
            if result[d] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[d]} at {d}! Mismatching "
                    f"argument at index {k} had {shape}; but expected shape should be "
                    f"broadcastable to {result}"
                )
            result[d] = shape[d]
    return Size(result)


# Repeated and turned


@public()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """`input` repeated `dims` times; missing leading counts are 1."""
    dims = tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return F.repeat(input, (1,) * (input._array.ndim - len(dims)) + dims)


@public()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """`input` with each slice along `dim` (or each element) repeated; alone, each index."""
    if repeats is None:
        return wrap(np.repeat(np.arange(input._array.size), _counts(input)))
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        return F._repeat_interleave(input, repeats, dim)
    x = F.reshape(input, (-1,)) if dim is None else input
    axis = 0 if dim is None else place(dim, x._array.ndim)
    counts, length = _counts(repeats), x._array.shape[axis] if x._array.ndim else 1
    if counts.size not in (1, length):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({axis}) = {length}"
        )
    rows = np.repeat(np.arange(length), counts)
    if output_size is not None and output_size != rows.size:
        raise RuntimeError("allocated size does not match required size")
    return F.index_select(x, axis, wrap(rows))


def _counts(repeats: Tensor) -> Any:
    counts = repeats._array
    if counts.dtype.kind not in "iu":
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.title}'"
        )
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts.reshape(-1)


@public()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """`input` turned `k` quarters of a circle, from the first of `dims` to the second."""
    ndim, dims = input._array.ndim, tuple(dims)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if place(dims[0], ndim) == place(dims[1], ndim):
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    if k % 4 == 1:
        return F.transpose(F.flip(input, (dims[1],)), *dims)
    if k % 4 == 2:
        return F.flip(input, dims)
    return F.flip(F.transpose(input, *dims), (dims[1],)) if k % 4 else F.clone(input)


@public()
def fliplr(input: Tensor) -> Tensor:
    """`input` with its columns in reverse order."""
    if input._array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return F.flip(input, (1,))


@public()
def flipud(input: Tensor) -> Tensor:
    """`input` with its rows in reverse order."""
    if input._array.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return F.flip(input, (0,))
