"""`save` and `load`: PyTorch's files, readable both ways.

A file is a zip archive, nothing compressed: `data.pkl` holds the objects, and one record of
`data/` each the bytes of a storage, at a multiple of 64 so that a file can be mapped into memory.
Tensors that share memory share their storage in the file and after loading.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from elastic.tensor import _archive, _legacy_files, _pickle, backend
from elastic.tensor._archive import Reader
from elastic.tensor._pickle import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from elastic.tensor._storage import TypedStorage, UntypedStorage, storage_type
from elastic.tensor._types import device
from elastic.tensor.dtypes import uint8

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_safe_globals",
    "load",
    "location_tag",
    "safe_globals",
    "save",
]


def save(obj: Any, f: Any, pickle_module: Any = pickle, pickle_protocol: int = 2) -> None:
    """Writes `obj` and all tensors in it to `f`, a path or a file open for writing.

    With a `pickle_module` other than `pickle` only elastic can read the file.

    Raises: RuntimeError when two tensors see one memory as different dtypes.
    """
    is_path = isinstance(f, (str, os.PathLike))
    if not is_path and not hasattr(f, "write"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    storages = _Storages()
    data = BytesIO()
    _pickle.pickler(data, storages.persistent_id, pickle_module, pickle_protocol).dump(obj)
    name = Path(f).stem if is_path else "archive"
    with _opened(f, "wb") as file:
        _archive.write(file, name, data.getvalue(), storages.found)
        file.flush()


class _Storages:
    """The storages that a pickler meets, numbered in that order."""

    def __init__(self) -> None:
        self.found: list[UntypedStorage] = []
        self._numbers: dict[int, tuple[int, Any]] = {}  # by id: number and dtype

    def persistent_id(self, obj: Any) -> tuple | None:
        """What stands for a storage in the pickle."""
        kind: Any
        if isinstance(obj, TypedStorage):
            storage, dtype, kind = obj.untyped(), obj.dtype, storage_type(obj.dtype)
        elif isinstance(obj, UntypedStorage):
            storage, dtype, kind = obj, uint8, UntypedStorage
        else:
            return None
        number, first = self._numbers.setdefault(id(storage), (len(self.found), dtype))
        if number == len(self.found):
            self.found.append(storage)
        if first is not dtype and len(storage):
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different "
                "types"
            )
        count = len(storage) // dtype.itemsize
        return "storage", kind, str(number), location_tag(storage), count


def location_tag(storage: UntypedStorage) -> str:
    """What a file calls the place of `storage`: `cpu`, or `cuda:0`."""
    return str(storage.device)


def default_restore_location(storage: UntypedStorage, location: str) -> UntypedStorage:
    """`storage`, which was just read, at the place that the file names.

    Raises: RuntimeError when there is no such place.
    """
    if location == "cpu":
        return storage
    if not re.match(r"cuda(:|[0-9]|$)", location):
        raise RuntimeError(
            "don't know how to restore data location of torch.storage.UntypedStorage (tagged with "
            f"{location})"
        )
    where, count = device(location), backend.gpu_count()
    if not count:
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is "
            "False. If you are running on a CPU-only machine, please use torch.load with "
            "map_location=torch.device('cpu') to map your storages to the CPU."
        )
    if (where.index or 0) >= count:
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {where.index} but "
            f"torch.cuda.device_count() is {count}. Please use torch.load with map_location to map "
            "your storages to an existing device."
        )
    return storage.to(where)


def _restorer(map_location: Any) -> Callable:
    """The function that brings a storage to where `map_location` wants it."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda s, tag: default_restore_location(s, map_location.get(tag, tag))
    if isinstance(map_location, bytes):
        map_location = map_location.decode()
    if isinstance(map_location, (str, device)):
        return lambda s, tag: default_restore_location(s, str(map_location))

    def restore(storage: UntypedStorage, location: str) -> UntypedStorage:
        placed = map_location(storage, location)
        return default_restore_location(storage, location) if placed is None else placed

    return restore


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What `save` (ours or PyTorch's) wrote to `f`, a path or a seekable file.

    By default only tensors, numbers, strings and containers are read: `weights_only=False` runs
    whatever the file says, so it is for files that you trust. `map_location` moves the tensors: a
    device, a dict of places, or a function of a storage and its place. `mmap` leaves the bytes of a
    path on disk until they are used.

    Raises: pickle.UnpicklingError for what is not weights; RuntimeError for a damaged file.
    """
    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if weights_only and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    is_path = isinstance(f, (str, os.PathLike))
    if is_path and os.fspath(f).endswith(".safetensors"):
        return _load_safetensors(f, map_location)
    settings = {"encoding": "utf-8"} | pickle_load_args
    module = None if weights_only else pickle_module or pickle
    restore = _restorer(map_location)
    with _opened(f, "rb") as file, _explained_refusal(weights_only):
        _check_seekable(file)
        if not _archive.is_archive(file):
            if mmap:
                raise RuntimeError(
                    "mmap can only be used with files saved with `torch.save("
                    f"{f'{f}, ' if isinstance(f, str) else ''}"
                    "_use_new_zipfile_serialization=True), please torch.save your checkpoint with "
                    "this option in order to use mmap."
                )
            return _legacy_files.read(file, restore, module, settings)
        if mmap and not is_path:
            raise ValueError("f must be a file path in order to use the mmap argument")
        with Reader(file, os.fspath(f) if mmap else None) as archive:
            return _read(archive, restore, module, settings)


def _read(archive: Reader, restore: Callable, module: Any, settings: dict) -> Any:
    loaded: dict[str, UntypedStorage] = {}
    order = archive.byte_order()

    def persistent_load(pid: Any) -> TypedStorage:
        _, kind, key, location, count = pid
        dtype = kind.dtype
        if key not in loaded:
            memory = archive.storage(f"data/{key}", count * dtype.itemsize, dtype.np, order)
            place = location.decode() if isinstance(location, bytes) else location
            loaded[key] = restore(UntypedStorage(memory), place)
        return TypedStorage(loaded[key], dtype)

    data = BytesIO(archive.record("data.pkl"))
    return _pickle.unpickler(data, persistent_load, module, settings).load()


def _load_safetensors(f: Any, map_location: Any) -> dict:
    from elastic.tensor import safetensors

    if map_location is not None and not isinstance(map_location, (str, bytes, device)):
        kind = "dict" if isinstance(map_location, dict) else "callable"
        raise RuntimeError(
            f"Loading safetensors file with {kind} map_location is not supported. Use a device "
            "string or torch.device instead."
        )
    return safetensors.load_file(f, device="cpu" if map_location is None else map_location)


@contextmanager
def _opened(f: Any, mode: str) -> Any:
    """`f` itself, or the file at that path, which is closed afterwards."""
    if not isinstance(f, (str, os.PathLike)):
        yield f
        return
    if mode == "wb" and not Path(f).parent.is_dir():
        raise RuntimeError(f"Parent directory {Path(f).parent} does not exist.")
    with open(f, mode) as file:
        yield file


def _check_seekable(file: Any) -> None:
    try:
        file.seek(file.tell())
    except (OSError, AttributeError) as error:
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the "
            "data into a buffer like io.BytesIO and try to load from it instead."
        ) from None


@contextmanager
def _explained_refusal(weights_only: bool) -> Any:
    try:
        yield
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise pickle.UnpicklingError(_refusal(str(error))) from None


_UNSAFE = (
    "In PyTorch 2.6, we changed the default value of the `weights_only` argument in `torch.load` "
    "from `False` to `True`. Re-running `torch.load` with `weights_only` set to `False` will "
    "likely succeed, but it can result in arbitrary code execution. Do it only if you got the file "
    "from a trusted source."
)


def _refusal(message: str) -> str:
    """PyTorch's long text around what the unpickler refused."""
    if " was not an allowed global by default." in message:
        text = (
            "Weights only load failed. This file can still be loaded, to do so you have two "
            "options, \033[1mdo those steps only if you trust the source of the checkpoint"
            f"\033[0m. \n\t(1) {_UNSAFE}\n\t(2) Alternatively, to load with `weights_only=True` "
            "please check the recommended steps in the following error message.\n"
            f"\tWeightsUnpickler error: {message}"
        )
    else:
        text = f"Weights only load failed. {_UNSAFE}\n"
        if " is blocked" not in message:
            text += (
                "Please file an issue with the following so that we can make `weights_only=True` "
                "compatible with your use case: WeightsUnpickler error: "
            )
        text += "\n\n" + message
    return text + (
        "\n\nCheck the documentation of torch.load to learn more about types accepted by default "
        "with weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
    )
