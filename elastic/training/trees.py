"""Values of State as trees of plain values and numpy arrays, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.errors import StateError
from elastic.tensor import Tensor

__all__ = ["decode", "encode", "host_array", "is_stateful"]

_SCALARS = (type(None), bool, int, float, str, bytes, np.generic)
_CURE = (
    "give it state_dict and load_state_dict, or keep it outside of State; "
    "State holds modules, optimizers, numbers, strings, bytes, arrays, tensors, "
    "and lists, tuples and dicts of these"
)


def is_stateful(part: Any) -> bool:
    """Whether a part saves and loads itself."""
    return (
        callable(getattr(part, "state_dict", None))
        and callable(getattr(part, "load_state_dict", None))
        and not isinstance(part, type)
    )


def encode(value: Any, path: list[Any], numpy_paths: list[list[Any]], copy: bool) -> Any:
    """Return a value with its tensors as arrays; the paths of those that were arrays are listed."""
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Tensor):
        return host_array(value.detach(), copy)
    if isinstance(value, np.ndarray) and value.dtype != object:
        numpy_paths.append(path)
        return np.array(value, order="C", copy=copy or None)
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        return {k: encode(v, [*path, k], numpy_paths, copy) for k, v in value.items()}
    if isinstance(value, list | tuple):
        items = [encode(v, [*path, i], numpy_paths, copy) for i, v in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    where = ".".join(map(str, path))
    if is_stateful(value):
        raise StateError(
            f"State saves a {type(value).__name__} as a part of its own only, got it within "
            f"{where!r}; pass it by name: State(name=…)"
        )
    raise StateError(f"State cannot save {where!r}, a {type(value).__name__}; {_CURE}")


def decode(value: Any, path: tuple, numpy_paths: set[tuple]) -> Any:
    """Return what was encoded; arrays at other paths than these become tensors."""
    if isinstance(value, np.ndarray):
        array = np.array(value, order="C")
        return array if path in numpy_paths else torch.from_numpy(array)
    if isinstance(value, dict):
        return {k: decode(v, (*path, k), numpy_paths) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(decode(v, (*path, i), numpy_paths) for i, v in enumerate(value))
    return value


def host_array(tensor: Tensor, copy: bool) -> np.ndarray:
    """Return a tensor's values in host memory, in C order."""
    return np.array(tensor.cpu().numpy(), order="C", copy=copy or None)
