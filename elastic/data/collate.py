"""A list of samples to a batch, with PyTorch's rules, results and errors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.data import channel
from elastic.tensor._tensor import wrap

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

_TEXTS_AND_OBJECTS = "SaUO"
_NOTHING_TO_COLLATE = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_collate(batch: Sequence[Any]) -> Any:
    """Return the samples with a new first axis.

    Tensors and arrays are stacked, numbers become a tensor (floats of 64 bits), texts stay as they
    are; dicts, named tuples, tuples and lists are collated member by member, tuples to lists.
    `default_collate_fn_map` says how, and may be extended.

    Raises:
        TypeError: the samples are something else.
        RuntimeError: sequences of different lengths.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(
    batch: Sequence[Any], *, collate_fn_map: Mapping[Any, Callable[..., Any]] | None = None
) -> Any:
    """Return the batch that the functions of `collate_fn_map` make, members of containers first.

    A key of the map is a type or several; the samples' own type is looked up before its bases.
    Each function is called with the batch, and the map as `collate_fn_map`.
    """
    first = batch[0]
    function = _function_for(first, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        members: Any = {
            key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map)
            for key in first
        }
        return _mapping_like(first, members)
    if _is_named_tuple(first):
        columns = zip(*batch, strict=False)
        return type(first)(*(collate(column, collate_fn_map=collate_fn_map) for column in columns))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = zip(*batch, strict=False)
        members = [collate(column, collate_fn_map=collate_fn_map) for column in columns]
        return _sequence_like(first, members)
    raise TypeError(_NOTHING_TO_COLLATE.format(type(first)))


def _function_for(first: Any, functions: Mapping[Any, Callable[..., Any]]) -> Any:
    function = functions.get(type(first))
    if function is not None:
        return function
    return next((f for kind, f in functions.items() if isinstance(first, kind)), None)


def default_convert(data: Any) -> Any:
    """Return one sample with every numpy array and number in it as a tensor, the rest as it is.

    It stands in for collating where a loader has no batches (`batch_size=None`).
    """
    if isinstance(data, torch.Tensor):
        return data
    if type(data).__module__ == "numpy" and type(data).__name__ != "str_":
        plain = isinstance(data, np.ndarray) and data.dtype.kind in _TEXTS_AND_OBJECTS
        return data if plain else torch.as_tensor(data)
    if isinstance(data, Mapping):
        return _mapping_like(data, {key: default_convert(data[key]) for key in data})
    if _is_named_tuple(data):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence_like(data, [default_convert(member) for member in data])
    return data


# -- containers keep their class, where it can be made again ---------------------------------------


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _mapping_like(first: Mapping[Any, Any], members: dict[Any, Any]) -> Any:
    """A mutable mapping is copied first: it may have attributes of its own."""
    try:
        if isinstance(first, MutableMapping):
            clone = copy.copy(first)
            clone.update(members)
            return clone
        return type(first)(members)  # type: ignore[call-arg]
    except TypeError:
        return members


def _sequence_like(first: Sequence[Any], members: list[Any]) -> Any:
    if isinstance(first, tuple):
        return members
    try:
        if isinstance(first, MutableSequence):
            clone = copy.copy(first)
            for i, member in enumerate(members):
                clone[i] = member
            return clone
        return type(first)(members)  # type: ignore[call-arg]
    except TypeError:
        return members


# -- what is collated as a whole -------------------------------------------------------------------


def _tensors(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """In a worker process they are stacked where the loader's process can read them."""
    arrays = [tensor._array for tensor in batch]
    first = arrays[0]
    alike = all(array.shape == first.shape and array.dtype == first.dtype for array in arrays)
    if alike and not any(tensor.requires_grad for tensor in batch):
        shared = channel.shared_empty((len(arrays), *first.shape), first.dtype)
        if shared is not None:
            return wrap(np.stack(arrays, out=shared))
    return torch.stack(list(batch), 0)


def _arrays(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    dtype = batch[0].dtype
    if dtype.kind in _TEXTS_AND_OBJECTS:
        raise TypeError(_NOTHING_TO_COLLATE.format(dtype))
    return collate([torch.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def _numpy_numbers(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    return torch.as_tensor(batch)


def _floats(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    return torch.tensor(batch, dtype=torch.float64)


def _integers(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    return torch.tensor(batch)


def _texts(batch: Iterable[Any], *, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    torch.Tensor: _tensors,
    np.ndarray: _arrays,
    (np.bool_, np.number, np.object_): _numpy_numbers,
    float: _floats,
    int: _integers,
    str: _texts,
    bytes: _texts,
}
"""How `default_collate` makes a batch of samples of a type; a user's type may be added."""


def stacks_rows(collate_fn: Any) -> bool:
    """Return whether a batch of tensors is collated by stacking them, and no otherwise."""
    return collate_fn is default_collate and default_collate_fn_map.get(torch.Tensor) is _tensors
