"""The container of saved files: a zip archive whose records lie at multiples of 64."""

from __future__ import annotations

import struct
import sys
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._storage import UntypedStorage

ALIGNMENT = 64
_PIECE = 1 << 20  # bytes read at once
_LOCAL_HEADER = 30  # bytes before the name of a record, which its extra field and data follow
_ZIP64_EXTRA = 20  # what zipfile adds to the extra field of a large record


def is_archive(file: Any) -> bool:
    """Whether a zip archive begins at the position of `file`, which stays there."""
    start = file.tell()
    found = file.read(4) == b"PK\x03\x04"
    file.seek(start)
    return found


def write(file: Any, name: str, data: bytes, storages: Sequence[UntypedStorage]) -> None:
    """Writes an archive of all records, each below the folder `name`."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        put = _Writer(archive, name)
        put.record("data.pkl", data)
        put.record(".format_version", b"1")
        put.record(".storage_alignment", b"%d" % ALIGNMENT)
        put.record("byteorder", sys.byteorder.encode())
        for number, storage in enumerate(storages):
            put.record(f"data/{number}", backend.to_host(storage._array).data)
        put.record("version", b"3\n")
        put.record(".data/serialization_id", b"%040d" % put.fingerprint)


class _Writer:
    """Puts records into an archive, each at a multiple of 64."""

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        self.archive, self.folder = archive, folder
        self.fingerprint = 0  # of all contents so far

    def record(self, name: str, data: Any) -> None:
        """One record."""
        info = zipfile.ZipInfo(f"{self.folder}/{name}", (1980, 1, 1, 0, 0, 0))
        large = len(data) * 1.05 > zipfile.ZIP64_LIMIT
        header = _LOCAL_HEADER + len(info.filename.encode()) + _ZIP64_EXTRA * large
        assert self.archive.fp is not None
        padding = -(self.archive.fp.tell() + header + 4) % ALIGNMENT
        info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        self.archive.writestr(info, data)
        info.extra = b""  # the directory does not need it
        self.fingerprint = self.fingerprint * 31 + info.CRC & (1 << 128) - 1


class Reader:
    """The records of an archive, which may be mapped into memory from a path."""

    def __init__(self, file: Any, mapped_path: str | None = None):
        self._file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
            raise _damaged("zip archive: failed finding central directory") from error
        names = self._zip.namelist()
        self._folder = names[0].partition("/")[0] if names else ""
        self._mapped = np.memmap(mapped_path, np.uint8, "c") if mapped_path else None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._zip.close()

    def _info(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._zip.getinfo(f"{self._folder}/{name}")
        except KeyError:
            raise _damaged(f"file {name}: file not found") from None

    def has(self, name: str) -> bool:
        """Whether there is such a record."""
        return f"{self._folder}/{name}" in self._zip.NameToInfo

    def record(self, name: str) -> bytes:
        """The bytes of one record. Raises: RuntimeError when it is damaged or not there."""
        info = self._info(name)
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, struct.error) as error:
            raise _damaged(f"file {name}: file read failed") from error

    def byte_order(self) -> str:
        """`little` or `big`: what the writer's machine had."""
        order = self.record("byteorder").decode() if self.has("byteorder") else "little"
        if order not in ("little", "big"):
            raise ValueError("Unknown endianness type: " + order)
        return order

    def storage(self, name: str, nbytes: int, dtype: np.dtype, order: str) -> np.ndarray:
        """The first `nbytes` of a record, writable, with elements of `dtype` in our byte order."""
        info = self._info(name)
        if info.file_size < nbytes:
            raise _damaged(f"file {name}: it has {info.file_size} bytes, {nbytes} are wanted")
        memory = self._on_disk(info, nbytes) if self._mapped is not None else self._copy(info)
        memory = memory[:nbytes]
        if order != sys.byteorder:
            swapped = _swappable(memory, dtype).byteswap()
            memory = swapped.view(np.uint8)
        return memory

    def _copy(self, info: zipfile.ZipInfo) -> np.ndarray:
        memory = np.empty(info.file_size, np.uint8)
        got = 0
        try:
            with self._zip.open(info) as record:
                while got < info.file_size:
                    data = record.read(_PIECE)
                    if not data:
                        raise EOFError
                    memory[got : got + len(data)] = np.frombuffer(data, np.uint8)
                    got += len(data)
        except (zipfile.BadZipFile, EOFError, OSError, struct.error) as error:
            raise _damaged(f"file {info.filename}: file read failed") from error
        return memory

    def _on_disk(self, info: zipfile.ZipInfo, nbytes: int) -> np.ndarray:
        mapped = self._mapped
        assert mapped is not None
        header = mapped[info.header_offset : info.header_offset + _LOCAL_HEADER].tobytes()
        name, extra = struct.unpack_from("<HH", header, 26)
        start = info.header_offset + _LOCAL_HEADER + name + extra
        # From a memoryview: a storage of its own, not a view of the whole file.
        return np.frombuffer(mapped.data[start : start + nbytes], np.uint8)


def _swappable(memory: np.ndarray, dtype: np.dtype) -> np.ndarray:
    parts = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    return memory.view(f"u{parts}")


def _damaged(what: str) -> RuntimeError:
    return RuntimeError(
        f"PytorchStreamReader failed reading {what}. The checkpoint file is most likely damaged: "
        "it was not saved completely, not transferred correctly, or changed since."
    )
