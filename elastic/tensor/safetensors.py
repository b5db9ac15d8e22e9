"""Tensors in files of the safetensors format, through the package of that name: no pickle.

The functions are those of `safetensors.torch`, for our tensors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors as _package
import safetensors.numpy as _numpy

from elastic.tensor import backend, dtypes
from elastic.tensor._storage import storage_and_offset
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import device as _device

__all__ = ["load", "load_file", "save", "save_file"]

_DTYPES = {
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "U16": dtypes.uint16,
    "U32": dtypes.uint32,
    "U64": dtypes.uint64,
    "BF16": dtypes.bfloat16,
    "C64": dtypes.complex64,
    **{f"I{8 * d.itemsize}": d for d in (dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)},
    **{f"F{8 * d.itemsize}": d for d in (dtypes.float16, dtypes.float32, dtypes.float64)},
}


def save_file(
    tensors: Mapping[str, Tensor], filename: Any, metadata: dict[str, str] | None = None
) -> None:
    """Writes `tensors` by name to a file; `metadata` are texts beside them.

    Raises: RuntimeError when tensors share memory, since the format has no shared storages.
    """
    _numpy.save_file(_arrays(tensors), os.fspath(filename), metadata)


def save(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a file with `tensors`."""
    return _numpy.save(_arrays(tensors), metadata)


def load_file(filename: Any, device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors in a file, by name, on `device`."""
    with open(filename, "rb") as file:
        return _moved(load(file.read()), device)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a file, by name. Raises: SafetensorError when damaged."""
    return {name: _tensor(entry) for name, entry in _package.deserialize(data)}


def _tensor(entry: dict[str, Any]) -> Tensor:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        known = ", ".join(sorted(_DTYPES))
        raise ValueError(f"safetensors of dtype {known} can be read, got {entry['dtype']}")
    memory = np.frombuffer(bytearray(entry["data"]), np.uint8)
    return wrap(memory.view(dtype.np).reshape(entry["shape"]))


def _moved(tensors: dict[str, Tensor], device: Any) -> dict[str, Tensor]:
    where = _device("cuda", device) if isinstance(device, int) else _device(device)
    if where.type == "cpu":
        return tensors
    return {name: wrap(backend.to_device(t._array, where)) for name, t in tensors.items()}


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    _check(tensors)
    return {name: backend.to_host(t._array) for name, t in tensors.items()}


def _check(tensors: Mapping[str, Tensor]) -> None:
    if not isinstance(tensors, Mapping):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    places: dict[int, list[str]] = {}
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise ValueError(
                f"Key `{name}` is invalid, expected torch.Tensor but received {type(t)}"
            )
        if not t.is_contiguous():
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "It either means you are trying to save tensors which are reference of each other "
                "in which case it's recommended to save only the full tensors, and reslice at load "
                "time, or simply call `.contiguous()` on your tensor to pack it before saving."
            )
        found = storage_and_offset(t._array)
        if found is not None and t.numel():
            places.setdefault(found[0].data_ptr(), []).append(name)
    shared = [set(names) for names in places.values() if len(names) > 1]
    if shared:
        raise RuntimeError(
            f"Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {shared}. A potential way to correctly save "
            "your model is to use `save_model`. More information at "
            "https://huggingface.co/docs/safetensors/torch_shared_tensors"
        )
