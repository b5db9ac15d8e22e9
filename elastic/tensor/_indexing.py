"""`x[index]` and `x[index] = value`, as PyTorch means them.

Integers, slices, None and `...` make a view; of that view lists, arrays and tensors then pick
elements (a copy). The two steps are PyTorch's: numpy would count an integer among the arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._errors import TRANSLATED
from elastic.tensor._inplace import is_recorded, overwrite, write_error
from elastic.tensor._registry import REGISTRY, TENSORS
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.ops.index import is_mask

_NESTED = (Tensor, list, tuple, slice, type(None), type(...))
_ALL = slice(None)


def getitem(self: Tensor, index: Any) -> Tensor:
    """The elements at `index`: a view for a basic index, else a copy."""
    if index.__class__ is int and self._array.ndim:
        _check_int(index, self._array.shape[0], 0)
        return TENSORS.select(self, 0, index)
    basic, arrays = parted(self._array.shape, index)
    x = self if basic is None else _viewed(self, basic)
    return x if arrays is None else _picked(x, arrays)


def _viewed(self: Tensor, basic: tuple) -> Tensor:
    """The view at a basic index, by the op that PyTorch names for its last step."""
    for item in reversed(basic):
        if item is None:
            return TENSORS._slice_unsqueeze(self, basic)
        if item.__class__ is int:
            return TENSORS._slice_select(self, basic)
        if item is not ... and item != _ALL:
            return TENSORS._slice(self, basic)
    return TENSORS._alias(self)


def _is_whole(basic: tuple) -> bool:
    return all(item is ... or item == _ALL for item in basic)


def _picked(x: Tensor, arrays: tuple) -> Tensor:
    try:
        return TENSORS._index(x, arrays)
    except IndexError as error:
        raise _index_error(error, x, arrays) from None


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Writes `value` to the elements at `index`."""
    if index is False:
        return
    basic, arrays = parted(self._array.shape, None if index is True else index)
    target = self if basic is None or _is_whole(basic) else _viewed(self, basic)
    if arrays is None:
        copy_(target, _without_leading_ones(_as_value(self, value)))
        return
    if isinstance(value, Tensor) and value.dtype is not self.dtype and not _is_one_mask(arrays):
        _picked(target, arrays)  # a wrong index is the first thing to be told
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{self.dtype.title} for the destination and {value.dtype.title} for the source."
        )
    _put(target, arrays, _without_leading_ones(_as_value(self, value)))


def _is_one_mask(arrays: tuple) -> bool:
    picks = [each for each in arrays if each.__class__ is not slice]
    return len(picks) == 1 and is_mask(picks[0])


def _put(target: Tensor, arrays: tuple, value: Tensor) -> None:
    try:
        if is_recorded(target, (value,)):
            overwrite(target, REGISTRY["_index_put"], [target, arrays, value, False])
        else:
            target._array[arrays] = value._array
            target._cell[0] += 1
    except TRANSLATED as error:
        raise put_error(error, target, arrays, value) from None


def _without_leading_ones(value: Tensor) -> Tensor:
    shape = value._array.shape
    if not shape or shape[0] != 1:
        return value
    kept = next((k for k, n in enumerate(shape) if n != 1), len(shape))
    return TENSORS.reshape(value, shape[kept:])


def copy_(self: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Itself, overwritten with `source`, which is broadcast and cast."""
    source = _as_value(self, source)
    if is_recorded(self, (source,)):
        shape = tuple(self._array.shape)
        source = source if source._array.shape == shape else TENSORS.expand(source, shape)
        return overwrite(self, REGISTRY["_copy"], [self, source])
    try:
        self._array[...] = backend.beside(self._array, source._array)
    except TRANSLATED as error:
        TENSORS.expand(source, tuple(self._array.shape))
        raise write_error(self, error, source._array.shape) from None
    self._cell[0] += 1
    return self


def _as_value(self: Tensor, value: Any) -> Tensor:
    """`value` as a tensor of the dtype of `self`. Raises: TypeError, RuntimeError."""
    if isinstance(value, Tensor):
        same = value._array.dtype == self._array.dtype
        return value if same else TENSORS._cast(value, self._array.dtype)
    if isinstance(value, complex) and self._array.dtype.kind != "c":
        raise RuntimeError(
            f"value cannot be converted to type {_C_NAMES.get(self.dtype.name, self.dtype.name)} "
            "without overflow"
        )
    if not isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)):
        raise TypeError(f"can't assign a {type(value).__name__} to a {self.type()}")
    return wrap(np.asarray(value).astype(self._array.dtype))


_C_NAMES = {"float32": "float", "float64": "double", "int64": "int64_t", "int32": "int"}

# Reading an index


def parted(shape: tuple, index: Any) -> tuple[Any, Any]:
    """`index` as a basic one, and as one of arrays and `:` into that view; None for neither."""
    items = index if isinstance(index, tuple) else (index,)
    if isinstance(index, list) and any(isinstance(each, _NESTED) for each in index[:32]):
        items = tuple(index)  # as numpy once did: a list of sequences is a tuple of them
    items = tuple([_item(each) for each in items])
    used = sum([_dims_used(each) for each in items])
    if used > len(shape):
        _too_many(items, shape)
    basic: list = []
    arrays: list = []
    dim = 0
    for number, item in enumerate(items):
        if item is ...:
            free, used = len(shape) - used, len(shape)  # a second `...` stands for nothing
            basic += [_ALL] * free
            arrays += [_ALL] * free
            dim += free
        elif isinstance(item, int):
            _check_int(item, shape[dim], number)
            basic.append(item)
            dim += 1
        else:
            dim += _add_item(item, shape, basic, arrays)
    _check_masks(arrays, basic, shape)
    plain = all(each == _ALL for each in basic if each.__class__ is slice)
    picks = any(each.__class__ is not slice for each in arrays)
    trivial = picks and plain and all(each.__class__ is slice for each in basic)
    # `...` last: numpy would give a scalar for a full index, this gives a view
    return None if trivial else (*basic, ...), tuple(arrays) if picks else None


def _add_item(item: Any, shape: tuple, basic: list, arrays: list) -> int:
    """Notes what a slice, None or array means; returns how many dimensions it uses."""
    if item is None or item.__class__ is slice:
        if item is not None and not shape:
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        basic.append(item)
        arrays.append(_ALL)
        return int(item is not None)
    if is_mask(item) and not item.ndim:  # True keeps all, in a new dimension; False nothing
        basic.append(None)
        arrays.append(np.zeros(int(item), np.int64))
        return 0
    ndim = item.ndim if is_mask(item) else 1
    basic += [_ALL] * ndim
    arrays.append(item)
    return ndim


def _dims_used(item: Any) -> int:
    if item is None or item is ...:
        return 0
    return item.ndim if is_mask(item) else 1


def _too_many(items: tuple, shape: tuple) -> None:
    if not shape and len(items) == 1 and isinstance(items[0], int):
        _check_int(items[0], 1 if items[0] == 0 else 0, 0)
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    if not shape and len(items) == 1 and isinstance(items[0], slice):
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    raise IndexError(f"too many indices for tensor of dimension {len(shape)}")


def _item(item: Any) -> Any:
    """`item` as an int, a slice of ints, None, `...` or an index array."""
    if item.__class__ is int or item is None or item is ...:
        return item
    if isinstance(item, Tensor):
        return _index_array(item._array)
    if isinstance(item, slice):
        return _checked_slice(item)
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(bool(item))
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, (list, tuple, np.ndarray, range)):
        return _index_array(_nested_array(item))
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})"
    )


def _nested_array(item: Any) -> Any:
    if not len(item):
        return np.empty(0, np.int64)
    if isinstance(item, (list, tuple)):
        item = [each._array if isinstance(each, Tensor) else each for each in item]
    return np.asarray(item)


def _checked_slice(item: slice) -> slice:
    if item.start is item.stop is item.step is None:
        return item
    start, stop, step = (_plain_int(each) for each in (item.start, item.stop, item.step))
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero" if step else "slice step cannot be zero")
    return slice(start, stop, step)


def _plain_int(value: Any) -> int | None:
    if value is None or value.__class__ is int:
        return value
    if not hasattr(value, "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return value.__index__()


def _index_array(array: Any) -> Any:
    if array.dtype == np.uint8:
        return array.astype(np.bool_)  # PyTorch's old masks
    if array.dtype.kind not in "bui":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if array.ndim == 0 and array.dtype.kind in "ui":
        return int(array)  # selects, as a Python int does, and stays a view
    return array


def index_arrays(shape: tuple, indices: Iterable) -> tuple:
    """The arrays of `indices` (tensors), checked. Raises: IndexError."""
    arrays = tuple(_index_array(np.atleast_1d(each._array)) for each in indices)
    if sum(_dims_used(each) for each in arrays) > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    return arrays


# What is wrong


def _check_int(index: int, size: int, dim: int) -> None:
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def _check_masks(arrays: list, basic: list, shape: tuple) -> None:
    if not any(is_mask(each) for each in arrays):
        return
    seen = np.broadcast_to(np.False_, shape)[(*basic, ...)].shape
    dim = 0
    for each in arrays:
        used = _dims_used(each) if each.__class__ is not slice else 1
        for k in range(used if is_mask(each) else 0):
            if each.shape[k] != seen[dim + k]:
                raise IndexError(
                    f"The shape of the mask {list(each.shape)} at index {k} does not match the "
                    f"shape of the indexed tensor {list(seen)} at index {dim + k}"
                )
        dim += used


def _index_error(error: Exception, x: Tensor, arrays: tuple) -> Exception:
    """What PyTorch says where numpy refused to index."""
    shapes = [
        shape
        for each in arrays
        if each.__class__ is not slice
        for shape in ([[int(each.sum())]] * each.ndim if is_mask(each) else [list(each.shape)])
    ]
    if str(error).startswith("shape mismatch"):
        return IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(map(str, shapes))
        )
    text = re.sub(r"axis (\d+)", lambda m: f"dimension {_number(arrays, int(m[1]))}", str(error))
    return IndexError(text)


def _number(arrays: tuple, axis: int) -> int:
    """How many dimensions before `axis` have an index array: PyTorch counts these alone."""
    dims = [each for each in arrays for _ in range(max(_dims_used(each), 1))]
    return sum(each.__class__ is not slice for each in dims[:axis])


def put_error(error: Exception, target: Tensor, arrays: tuple, value: Tensor) -> Exception:
    """What PyTorch says where numpy refused to write."""
    if isinstance(error, IndexError):
        return _index_error(error, target, arrays)
    if not target._array.flags.writeable:
        return write_error(target, error, ())
    found = list(target._array[arrays].shape)
    if str(error).startswith(("shape mismatch", "NumPy boolean")):
        return RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to "
            f"indexing result of shape {found}"
        )
    return error
