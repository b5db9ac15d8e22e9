"""Reading the files that PyTorch wrote before 1.6: pickles, one after the other, then the bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

from elastic.tensor import _pickle
from elastic.tensor._storage import TypedStorage, UntypedStorage

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_TORN = (IndexError, KeyError, ValueError, AttributeError, TypeError, struct.error)


def read(file: Any, restore: Callable, module: Any, settings: dict) -> Any:
    """What is in `file`, from its position on. Raises: RuntimeError when it is no such file."""
    storages = _Storages(restore)

    def load() -> Any:
        return _pickle.unpickler(file, storages.persistent_load, module, settings).load()

    start = file.tell()
    if not file.read(1):
        raise EOFError("Ran out of input: the file is empty")
    file.seek(start)
    try:
        magic = load()
    except (EOFError, UnpicklingError, *_TORN):
        magic = None
    if magic != _MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = load()
    if version != _PROTOCOL:
        raise RuntimeError(f"Invalid protocol version: {version}")
    load()  # sizes of C types on the writer's machine
    try:
        result = load()
        for key in load():
            storages.fill(key, file)
    except (EOFError, *_TORN) as error:
        raise RuntimeError("unexpected end of file: the checkpoint was cut short") from error
    return result


class _Storages:
    """Storages that the pickle has named, and whose bytes come after it."""

    def __init__(self, restore: Callable):
        self._restore = restore
        self._roots: dict[str, tuple[UntypedStorage, UntypedStorage, int]] = {}

    def persistent_load(self, pid: Any) -> Any:
        """What stands for an object outside the pickle: a storage, or the source of a class."""
        what = pid[0].decode() if isinstance(pid[0], bytes) else pid[0]
        if what == "module":
            return pid[1]
        if what != "storage":
            raise RuntimeError(f"Unknown saved id type: {what}")
        kind, key, location, count, view = pid[1:]
        size = kind.dtype.itemsize
        if key not in self._roots:
            place = location.decode() if isinstance(location, bytes) else location
            read = UntypedStorage(count * size)
            self._roots[key] = read, self._restore(read, place), size
        placed = self._roots[key][1]
        if view is not None:
            _, start, length = view
            placed = placed[start * size : (start + length) * size]
        return TypedStorage(placed, kind.dtype)

    def fill(self, key: str, file: Any) -> None:
        """Reads the bytes of one storage."""
        read, placed, size = self._roots[key]
        (count,) = struct.unpack("<q", file.read(8))
        data = file.read(count * size)
        if len(data) != len(read) or count * size != len(read):
            raise EOFError(f"{len(read)} bytes are wanted, {len(data)} are left")
        read._array[:] = np.frombuffer(data, np.uint8)
        if placed is not read:
            placed._array[:] = read.to(placed.device)._array
