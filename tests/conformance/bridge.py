"""Values from PyTorch's world to ours and back: tensors keep shape, strides and dtype."""

from __future__ import annotations

import collections
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import elastic.tensor as ours
from elastic.tensor import Tensor
from elastic.tensor._tensor import wrap

DTYPES = {getattr(torch, str(d).removeprefix("torch.")): d for d in ours.dtypes.ALL}
BITS = {2: (torch.int16, np.int16)}  # bfloat16 crosses as its bits


def to_ours(value: Any, known: dict | None = None) -> Any:
    """`value` with every tensor, dtype and device of PyTorch replaced by one of ours.

    What shares memory in `value` does so in the result; `known` holds what is there already.
    """
    known = {} if known is None else known
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            known[id(value)] = tensor_to_ours(value, known)
        return known[id(value)]
    if isinstance(value, torch.dtype):
        return DTYPES[value]
    if isinstance(value, torch.device):
        return ours.device(str(value))
    if isinstance(value, (torch.layout, torch.memory_format)):
        return getattr(ours, str(value).removeprefix("torch."))
    if isinstance(value, torch.Generator):
        twin = ours.Generator()
        twin.set_state(to_ours(value.get_state()))
        return twin
    if isinstance(value, torch.nn.Module):  # a distance: it has no parameters
        return getattr(ours.nn, type(value).__name__)()
    return mapped(partial(to_ours, known=known), value)


def to_torch(value: Any) -> Any:
    """`value` with every tensor of ours replaced by one of PyTorch's."""
    if isinstance(value, Tensor):
        return tensor_to_torch(value)
    if isinstance(value, ours.dtype):
        return getattr(torch, str(value).removeprefix("torch."))
    return mapped(to_torch, value)


def mapped(function: Callable, value: Any) -> Any:
    """`value` with `function` applied to what its lists, tuples and dicts hold."""
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(function, value)) if isinstance(value, tuple) else [*map(function, value)]
    if isinstance(value, (dict, collections.OrderedDict)):
        return {name: function(each) for name, each in value.items()}
    return value


def tensor_to_ours(t: torch.Tensor, known: dict) -> Tensor:
    """A leaf on a copy of all its memory, at the same place and with the same strides."""
    plain = t.detach().resolve_conj().resolve_neg()
    place = (plain.untyped_storage().data_ptr(), plain.dtype)
    if not place[0] or plain.data_ptr() != t.data_ptr():
        flat = memory_of(plain)
    elif place not in known:
        flat = known[place] = memory_of(plain)
    else:
        flat = known[place]
    strides = [s * plain.itemsize for s in plain.stride()]
    first = flat[plain.storage_offset() :]
    array = np.lib.stride_tricks.as_strided(first, plain.shape, strides)
    return wrap(array).requires_grad_(t.requires_grad)


def memory_of(t: torch.Tensor) -> np.ndarray:
    """A copy of all the memory that `t` is a view of."""
    count = t.untyped_storage().nbytes() // t.itemsize
    memory = torch.as_strided(t, (count,), (1,), 0).clone()
    if memory.dtype is torch.bfloat16:
        return memory.view(torch.int16).numpy().view(DTYPES[torch.bfloat16].np)
    return memory.numpy()


def tensor_to_torch(t: Tensor) -> torch.Tensor:
    """PyTorch's tensor on a copy of the memory."""
    array = np.array(t.detach()._array, order="C")
    if t.dtype is ours.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def tensors_in(value: Any) -> list:
    """All tensors of either library in `value`, in order."""
    if isinstance(value, (Tensor, torch.Tensor)):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [each for item in value for each in tensors_in(item)]
    return []
