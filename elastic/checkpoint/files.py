"""Files that are whole or absent: durable writes, checked reads, temporary directories.

A temporary directory is `.tmp-{host}-{pid}-{8 hex digits}` beside what it will become. Its writer
is dead if that process is gone from this host or, on another host, if nothing in it changed for
an hour by the file system's own clock.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from elastic.checkpoint.manifest import Part
from elastic.errors import CheckpointError

__all__ = [
    "discard",
    "make_temp",
    "open_regular",
    "part_of",
    "read_bounded",
    "remove_stale",
    "sync",
    "write_durably",
]

STALE_AFTER_S = 3600.0
_TEMP = re.compile(r"\.tmp-(.+)-(\d+)-[0-9a-f]{8}", re.ASCII)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's entries, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; links, pipes and devices are refused.

    Raises:
        CheckpointError: it is missing, unreadable or not a regular file.
    """
    try:
        with open(path, "rb", opener=_open_without_surprise) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CheckpointError(f"{path.name} is not a regular file")
            yield file
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from None


def _open_without_surprise(path: str, flags: int) -> int:
    """Follow no link, and do not wait for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def part_of(path: Path) -> Part:
    """Return the size and digest of a file, read in pieces."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        return Part(file.tell(), f"sha256:{digest.hexdigest()}")


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Return a file's bytes; a larger one is refused before it is read."""
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limit_bytes:
            raise CheckpointError(f"{path.name} has {size_bytes} bytes of {limit_bytes} allowed")
        return file.read(limit_bytes)


def make_temp(parent: Path) -> Path:
    """Return a new temporary directory in `parent`."""
    temp = _temp_name(parent)
    temp.mkdir()
    return temp


def _temp_name(parent: Path) -> Path:
    return parent / f".tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def discard(path: Path) -> None:
    """Remove a file or directory so that nobody sees half of it; it may be gone already."""
    doomed = _temp_name(path.parent)
    with suppress(FileNotFoundError):
        os.rename(path, doomed)
        _remove(doomed)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_stale(parent: Path, own: Path) -> None:
    """Remove the temporary directories of dead writers; `own` tells the file system's time."""
    now = own.stat().st_mtime
    for path in parent.glob(".tmp-*"):
        found = _TEMP.fullmatch(path.name)
        with suppress(FileNotFoundError):
            if found and _is_stale(path, host=found[1], pid=int(found[2]), now=now):
                _remove(path)


def _is_stale(path: Path, host: str, pid: int, now: float) -> bool:
    if host == socket.gethostname() and not _is_alive(pid):
        return True
    changes = [entry.lstat().st_mtime for entry in [path, *path.glob("*")]]
    return now - max(changes) > STALE_AFTER_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
