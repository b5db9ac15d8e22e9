"""Choice and placement by index and mask: the checks, and what is made of the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import dtypes
from elastic.tensor._errors import broadcast_error
from elastic.tensor._indexing import index_arrays, put_error
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.functions._outputs import apart, c_name, exact
from elastic.tensor.ops.reduce import place


@public(method=False, out=True)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Elements of `input` where `condition` holds, else of `other`; alone, where it holds."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition.dtype.name not in ("bool", "uint8"):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{condition.dtype.title}"
        )
    return F.where(condition, input, other)


@public(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of elements that are not zero: one row each, or one tensor a dimension."""
    if not as_tuple:
        return F.nonzero(input)
    found = F.nonzero(input if input._array.ndim else F.reshape(input, (1,)))
    return tuple(wrap(column.copy()) for column in found._array.T)


@public()
def argwhere(input: Tensor) -> Tensor:
    """The indices of elements that are not zero, one row each."""
    return F.nonzero(input)


@public(out=True)
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` rows of nonzero(input); where there are fewer, rows of `fill_value`."""
    found = F.nonzero(input)._array
    rows = np.full((size, found.shape[1]), fill_value, np.int64)
    rows[: len(found)] = found[:size]
    return wrap(rows)


@public(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Where the elements at `indices` of a flattened tensor of `shape` lie: one tensor a dimension.

    Raises: TypeError for what are no integers, ValueError for a negative shape.
    """
    if indices._array.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not isinstance(shape, (int, Sequence)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in sizes:
        if not isinstance(n, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(n)}")
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    flat, found = indices.to(dtypes.int64), []
    for n in reversed(sizes):
        found.append(F.remainder(flat, n))
        flat = F.floor_divide(flat, n)
    return tuple(reversed(found))


# By arrays of indices


@public(inplace=True)
def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False
) -> Tensor:
    """`input` with `values` at `indices`; `accumulate` adds them up instead."""
    if values.dtype is not input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.dtype.title} for the destination and {values.dtype.title} for the source."
        )
    for k, each in enumerate(indices):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"expected Tensor as element {k} in argument 1, but got {type(each).__name__}"
            )
    arrays = index_arrays(input._array.shape, indices)
    try:
        return F._index_put(input, arrays, values, accumulate)
    except (ValueError, IndexError) as error:
        raise put_error(error, input, arrays, values) from None


@public(out=apart)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened `input` at `index`."""
    if index._array.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.title}")
    _check_flat(input, index)
    return F._index(F.reshape(input, (-1,)), (index._array,))


@public(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `source` at `index`, counted in the flattened input."""
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.title} and source.dtype = {source.dtype.title}"
        )
    _check_flat(input, index)
    flat, where = F.reshape(input, (-1,)), (index._array.reshape(-1),)
    placed = F._index_put(flat, where, F.reshape(source, (-1,)), accumulate)
    return F.reshape(placed, input._array.shape)


def _check_flat(input: Tensor, index: Tensor) -> None:
    count, places = input._array.size, index._array
    wrong = places[(places < -count) | (places >= count)]
    if wrong.size:
        raise IndexError(
            f"out of range: tried to access index {wrong.flat[0]} on a tensor of {count} elements."
        )


@public(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements of `input` at `indices` along `dim` (without one: of the flattened input)."""
    if indices._array.dtype != np.int64:
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.title}"
        )
    if dim is None:
        return F.gather(F.reshape(input, (-1,)), 0, F.reshape(indices, (-1,)))
    shapes = [list(input._array.shape), list(indices._array.shape)]
    if len(shapes[0]) != len(shapes[1]):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {len(shapes[0])} dimensions for input, and {len(shapes[1])} dimensions for "
            "indices"
        )
    axis = place(dim, len(shapes[0]))
    lengths = [shape[axis] for shape in shapes]
    for shape in shapes:
        shape[axis] = 1
    common = np.broadcast_shapes(*shapes)
    both = [(*common[:axis], n, *common[axis + 1 :]) for n in lengths]
    indices = F.where(indices < 0, indices + lengths[0], indices)
    return F.gather(F.expand(input, both[0]), axis, F.expand(indices, both[1]))


# Slices along a dimension


@public(out=apart)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of `input` at `index` along `dim`."""
    place(dim, input._array.ndim)
    if index._array.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index._array.dtype.name not in ("int32", "int64"):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    return F.index_select(input, dim, index)


@public(inplace=True, out=True)
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """`input` with the slices of `alpha` * `source` added at `index` along `dim`."""
    axis, shape = place(dim, input._array.ndim), list(input._array.shape)
    given, count = list(source._array.shape), index._array.size
    if index._array.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {index._array.ndim} "
            f"with type: {index.dtype.title} and size: {list(index._array.shape)}"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_add_(): self ({input.dtype.title}) and source ({source.dtype.title}) must have "
            "the same scalar type"
        )
    if count != (given[axis] if axis < len(given) else 1):
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): "
            f"({given[axis] if axis < len(given) else 1}), for dim: {dim}"
        )
    if _but(given, axis) != _but(shape, axis):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {shape} source.shape = {given}"
        )
    _check_slices(index._array, shape[axis] if shape else 1, axis, RuntimeError)
    return F._index_add(input, dim, index, source, alpha)


def _but(shape: list, axis: int) -> list:
    return shape[:axis] + shape[axis + 1 :]


def _check_slices(index: Any, size: int, axis: int, kind: type, prefix: str = "") -> None:
    wrong = index[(index < 0) | (index >= size)]
    if wrong.size:
        raise kind(
            f"{prefix}index {wrong.flat[0]} is out of bounds for dimension {axis} with size {size}"
        )


@public(inplace=True, out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices of `source` at `index` along `dim`."""
    axis, shape = place(dim, input._array.ndim), list(input._array.shape)
    given, count = list(source._array.shape), index._array.size
    if index._array.ndim > 1:
        raise IndexError(
            f"index_copy_(): Index should have dimension 1 or 0 (got {index._array.ndim})"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{input.dtype.title} and (source) {source.dtype.title}"
        )
    if _but(given, axis) != _but(shape, axis):
        own, other = (" ".join(map(str, _but(s, axis))) for s in (shape, given))
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {own} at dimension {axis} and source slice shape: {other} at dimension "
            f"{0 if not given else axis}."
        )
    if count != (given[axis] if given else 1):
        raise IndexError(
            f"index_copy_(): Number of indices ({count}) should be equal to source.size(dim) "
            f"({given[axis]})"
        )
    _check_slices(index._array, shape[axis] if shape else 1, axis, IndexError, "index_copy_(): ")
    return F._index_copy(input, dim, index, source)


@public(inplace=True, out=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with `value` in the slices at `index` along `dim`."""
    if isinstance(value, Tensor):
        if value._array.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._array.ndim} dimension(s)."
            )
        value = value.to(input.dtype)
    shape, axis = input._array.shape, place(dim, input._array.ndim)
    size, places = shape[axis] if shape else 1, index._array
    wrong = places[(places < -size) | (places >= size)]
    if wrong.size:
        raise IndexError(
            f"index {wrong.flat[0]} is out of bounds for dimension {axis} with size {size}"
        )
    places = np.unique(np.where(places < 0, places + size, places))
    return F._index_fill(input, dim, wrap(places), value)


@public(inplace=True, out=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """`input` with the slices of `source` folded in at `index` along `dim` by `reduce`."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    axis, shape = place(dim, input._array.ndim), source._array.shape
    rows = F.reshape(index, [-1 if d == axis else 1 for d in range(len(shape))])
    return F._scatter_reduce(input, dim, F.expand(rows, shape), source, reduce, include_self)


# One index an element


@public(out=exact)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """The elements of `input` that `index` names along `dim`."""
    shape, wanted = input._array.shape, index._array.shape
    axis = place(dim, len(shape))
    _check_index("gather", index)
    if max(len(shape), 1) != max(len(wanted), 1) and index._array.size:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for d, (n, size) in enumerate(zip(wanted, shape, strict=False)):
        if d != axis and n > size and index._array.size:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(wanted)} to be no "
                f"larger than self {list(shape)} apart from dimension {dim}"
            )
    return F.gather(input, dim, index)


def _check_index(name: str, index: Tensor) -> None:
    if index._array.size and index._array.dtype.name not in ("int32", "int64"):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


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
    _check_scatter(input, dim, index, src)
    if reduce is None:
        return F.scatter(input, dim, index, src)
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not isinstance(src, Tensor):
        src = wrap(np.full(index._array.shape, src, input._array.dtype))
    return F._scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod", True)


@public(inplace=True, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with the elements of `src` added at `index` along `dim`."""
    if not isinstance(src, Tensor):
        raise TypeError(
            f"scatter_add(): argument 'src' (position 3) must be Tensor, not {type(src).__name__}"
        )
    _check_scatter(input, dim, index, src)
    return F.scatter_add(input, dim, index, src)


@public(inplace=True, out=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`input` with the elements of `src` folded in at `index` along `dim` by `reduce`."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    _check_scatter(input, dim, index, src)
    return F._scatter_reduce(input, dim, index, src, reduce, include_self)


def _check_scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> None:
    shape, wanted = input._array.shape, index._array.shape
    axis = place(dim, len(shape))
    _check_index("scatter", index)
    given = src._array.shape if isinstance(src, Tensor) else None
    if given is not None and src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if not index._array.size:
        return
    for name, other in (("self", shape), ("src", given)):
        if other is not None and max(len(other), 1) != max(len(wanted), 1):
            raise RuntimeError(
                f"Index tensor must have the same number of dimensions as {name} tensor"
            )
    beyond = any(
        d != axis and n > size for d, (n, size) in enumerate(zip(wanted, shape, strict=False))
    )
    short = given is not None and any(n > size for n, size in zip(wanted, given, strict=False))
    if beyond or short:
        more = "" if given is None else f" and to be no larger size than src {list(given)}"
        raise RuntimeError(
            f"Expected index {list(wanted)} to be no larger than self {list(shape)} apart from "
            f"dimension {axis}{more}"
        )


# Masks


@public(inplace=True, out=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value` where `mask` holds."""
    if mask._array.dtype != bool:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{c_name(mask.dtype)}"
        )
    wrong = broadcast_error(mask._array.shape, input._array.shape)
    if wrong is not None:
        raise wrong
    if isinstance(value, Tensor) and value._array.ndim:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._array.ndim} dimension(s)."
        )
    kind = value._array.dtype.kind if isinstance(value, Tensor) else None
    if (isinstance(value, complex) or kind == "c") and input._array.dtype.kind != "c":
        raise RuntimeError(
            "value cannot be converted to type "
            f"{_C_TYPES.get(input.dtype.name, input.dtype.name)} without overflow"
        )
    if isinstance(value, Tensor):
        value = value.to(input.dtype)
    return F.masked_fill(input, mask, value)


_C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t", "int32": "int"}


@public(out=apart)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements of `input` where `mask` holds, in one dimension."""
    if mask._array.dtype != bool:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    return F.masked_select(input, mask)


@public(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the first elements of `source`, in order, where `mask` holds."""
    if mask._array.dtype != bool:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{mask.dtype.title}"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{input.dtype.title} and {source.dtype.title}"
        )
    shape = np.broadcast_shapes(input._array.shape, mask._array.shape)
    if int(np.broadcast_to(mask._array, shape).sum()) > source._array.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return F._masked_scatter(input, mask, source)
