"""`x[index]` and `x[index] = value`, as PyTorch means them.

Integers, slices, None and `...` make a view; lists, arrays and tensors pick elements (a copy).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor._inplace import overwrite
from elastic.tensor._registry import REGISTRY, TENSORS
from elastic.tensor._tensor import Tensor, wrap

_NESTED = (Tensor, list, tuple, slice, type(None), type(...))
_BASIC = (int, slice, type(None), type(...), np.integer)


def getitem(self: Tensor, index: Any) -> Tensor:
    """The elements at `index`: a view for a basic index, else a copy."""
    if index.__class__ is int and self._array.ndim:
        _check_bounds(self._array.shape, (index,))
        return TENSORS.select(self, 0, index)
    basic, index = normalised(self, index)
    return TENSORS._slice(self, index) if basic else TENSORS._index(self, index)


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Writes `value` to the elements at `index`."""
    basic, index = normalised(self, index)
    if basic:
        copy_(TENSORS._slice(self, index), value)
        return
    value = _as_value(self, value)
    overwrite(self, REGISTRY["index_put"], [self, index, value, False])


def copy_(self: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Itself, overwritten with `source`, which is broadcast and cast."""
    source = _as_value(self, source)
    if source._array.shape != self._array.shape:
        source = TENSORS.expand(_without_leading_ones(source, self), tuple(self._array.shape))
    return overwrite(self, REGISTRY["_copy"], [self, source])


def _without_leading_ones(source: Tensor, target: Tensor) -> Tensor:
    extra = source._array.ndim - target._array.ndim
    if extra > 0 and source._array.shape[:extra] == (1,) * extra:
        return TENSORS.reshape(source, source._array.shape[extra:])
    return source


def _as_value(self: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        same = value._array.dtype == self._array.dtype
        return value if same else TENSORS._cast(value, self._array.dtype)
    return wrap(np.asarray(value).astype(self._array.dtype))


def normalised(self: Tensor, index: Any) -> tuple[bool, tuple]:
    """Whether `index` is basic, and `index` as a tuple that numpy takes for the same."""
    items = index if isinstance(index, tuple) else (index,)
    if isinstance(index, list) and any(isinstance(each, _NESTED) for each in index[:32]):
        items = tuple(index)  # as numpy once did: a list of sequences is a tuple of them
    result = tuple([_item(each) for each in items])
    basic = all(isinstance(each, _BASIC) and not isinstance(each, bool) for each in result)
    _check_bounds(self._array.shape, result)
    if basic and ... not in result:
        result = (*result, ...)  # numpy would give a scalar for a full index; this gives a view
    return basic, result


def _item(item: Any) -> Any:
    if isinstance(item, Tensor):
        return _index_array(item._array)
    if isinstance(item, slice):
        step = _plain_int(item.step)
        if step is not None and step <= 0:
            raise ValueError("step must be greater than zero")
        return slice(_plain_int(item.start), _plain_int(item.stop), step)
    if isinstance(item, (list, np.ndarray, range)):
        return _index_array(np.asarray(item) if len(item) else np.empty(0, np.int64))
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(bool(item))
    if item is None or item is ... or isinstance(item, (int, np.integer)):
        return item
    raise TypeError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})"
    )


def _plain_int(value: Any) -> int | None:
    return None if value is None else int(value.item() if isinstance(value, Tensor) else value)


def _index_array(array: Any) -> Any:
    if array.dtype == np.uint8:
        return array.astype(np.bool_)  # PyTorch's old masks
    if array.dtype.kind not in "bui":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if array.ndim == 0 and array.dtype.kind in "ui":
        return int(array)  # selects, as a Python int does, and stays a view
    return array


def _check_bounds(shape: tuple, index: tuple) -> None:
    """Raises: IndexError with PyTorch's text."""
    if (
        not shape
        and index
        and index[0] is not ...
        and index[0] is not None
        and not _is_mask(index[0])
    ):
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    used = sum(
        getattr(each, "ndim", 1) or 0 if _is_mask(each) else each is not None and each is not ...
        for each in index
    )
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    dim, skip = 0, len(shape) - used
    for each in index:
        if each is ...:
            dim += skip
        elif _is_mask(each):
            _check_mask(each, shape, dim)
            dim += each.ndim
        elif each is not None:
            _check_place(each, shape[dim], dim)
            dim += 1


def _check_place(item: Any, size: int, dim: int) -> None:
    if isinstance(item, slice):
        return
    wrong = np.asarray(item)[(np.asarray(item) < -size) | (np.asarray(item) >= size)]
    if wrong.size:
        raise IndexError(
            f"index {wrong.flat[0]} is out of bounds for dimension {dim} with size {size}"
        )


def _is_mask(item: Any) -> bool:
    return getattr(item, "dtype", None) == np.bool_


def _check_mask(mask: Any, shape: tuple, dim: int) -> None:
    if mask.shape != shape[dim : dim + mask.ndim]:
        wrong = next(k for k in range(mask.ndim) if mask.shape[k] != shape[dim + k])
        raise IndexError(
            f"The shape of the mask {list(mask.shape)} at index {wrong} does not match the shape "
            f"of the indexed tensor {list(shape)} at index {dim + wrong}"
        )
