"""The memory behind tensors: what several views share, and what a file holds once.

numpy has no storage object, so one is made when asked for: the bytes of the array that owns the
memory. As long as it lives, every tensor on that memory gets the same object.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._types import device

_known: WeakValueDictionary[int, UntypedStorage] = WeakValueDictionary()  # by id of the owner


class UntypedStorage:
    """The bytes of one piece of memory: `torch.UntypedStorage`."""

    __slots__ = ("__weakref__", "_array", "_owner")
    dtype = dtypes.uint8

    def __init__(self, size: Any = 0, *, device: Any = None):
        if isinstance(size, int):
            size = backend.module_for(device).empty(size, np.uint8)
        self._array = size  # flat, of uint8
        self._owner = size

    @property
    def device(self) -> device:
        """Where the bytes are."""
        return backend.device_of(self._array)

    @property
    def is_cuda(self) -> bool:
        """Whether the bytes are on a GPU."""
        return self.device.type == "cuda"

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._array.size

    size = __len__ = nbytes

    def element_size(self) -> int:
        """The bytes of one element: 1."""
        return 1

    def data_ptr(self) -> int:
        """The address of the first byte, 0 when there is none."""
        return backend.address(self._array) if self._array.size else 0

    def to(self, device: Any) -> UntypedStorage:
        """These bytes on `device`: itself when they are there."""
        moved = backend.to_device(self._array, _device(device))
        return self if moved is self._array else UntypedStorage(moved)

    def cpu(self) -> UntypedStorage:
        """These bytes on the host."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> UntypedStorage:
        """These bytes on a GPU."""
        return self.to("cuda" if device is None else device)

    def clone(self) -> UntypedStorage:
        """A copy."""
        return UntypedStorage(self._array.copy())

    def tolist(self) -> list[int]:
        """The bytes as numbers."""
        return self._array.tolist()

    def __getitem__(self, index: Any) -> Any:
        found = self._array[index]
        return UntypedStorage(found) if isinstance(index, slice) else int(found)

    def __setitem__(self, index: Any, value: int) -> None:
        self._array[index] = value

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def __reduce__(self) -> tuple:
        return UntypedStorage, (backend.to_host(self._array),)

    def __repr__(self) -> str:
        values = "".join(f" {value}\n" for value in self)
        name = f"torch.storage.UntypedStorage(device={self.device}) of size {len(self)}"
        return f"{values}[{name}]"


class TypedStorage:
    """A storage together with the dtype of its elements."""

    __slots__ = ("_untyped_storage", "dtype")

    def __init__(self, wrap_storage: UntypedStorage, dtype: dtypes.dtype):
        self._untyped_storage = wrap_storage
        self.dtype = dtype

    @property
    def device(self) -> device:
        """Where the elements are."""
        return self._untyped_storage.device

    def untyped(self) -> UntypedStorage:
        """The bytes of the elements."""
        return self._untyped_storage

    def size(self) -> int:
        """How many elements there are."""
        return len(self._untyped_storage) // self.dtype.itemsize

    __len__ = size

    def __reduce__(self) -> tuple:
        return TypedStorage, (self._untyped_storage, self.dtype)


class StorageType:
    """What a file calls the type of a storage: `torch.FloatStorage` and its siblings."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: dtypes.dtype):
        self.dtype = dtype

    @property
    def name(self) -> str:
        """Its name in PyTorch."""
        return f"{self.dtype.title}Storage"

    def __reduce__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


@cache
def storage_type(dtype: dtypes.dtype) -> StorageType:
    """The one StorageType of `dtype`."""
    return StorageType(dtype)


def storage_and_offset(array: Any) -> tuple[UntypedStorage, int] | None:
    """The storage that `array` lies in and the byte where it begins; None where it has no such
    form: PyTorch knows neither negative strides nor strides between elements.
    """
    if any(s < 0 or s % array.itemsize for s in array.strides):
        return None
    owner = backend.owner_of(array)
    storage = _known.get(id(owner))
    if storage is None:
        storage = UntypedStorage(backend.bytes_of(owner))
        storage._owner = owner
        _known[id(owner)] = storage
    offset = backend.address(array) - backend.address(storage._array)
    if not array.size:
        return storage, 0
    last = sum(s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True))
    inside = offset >= 0 and offset + last + array.itemsize <= len(storage)
    return (storage, offset) if inside and offset % array.itemsize == 0 else None


def _device(where: Any) -> device:
    return device("cuda", where) if isinstance(where, int) else device(where)
