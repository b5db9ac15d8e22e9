"""Memory that is there before it is needed: no step waits for the kernel to find and zero it."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

__all__ = ["apart", "warm"]

WARM_BYTES = 4 << 30
"""No more is held in advance."""
CONTAINER = Path("/sys/fs/cgroup")


def warm(nbytes: int) -> None:
    """Hold so much free memory, if this process keeps what it frees (its agent sees to that).

    It is less where the host or the container has less: its workers get half of what is free.
    """
    if os.environ.get("MALLOC_MMAP_MAX_") == "0":
        np.empty(min(nbytes, WARM_BYTES, spare_bytes()), np.uint8).fill(0)


def spare_bytes() -> int:
    """Return this worker's part of half of the memory that is free here."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no container, or one without a limit: "max"
        limit = int((CONTAINER / "memory.max").read_text())
        free = min(free, limit - int((CONTAINER / "memory.current").read_text()))
    return max(0, free) // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def apart(nbytes: int) -> np.ndarray:
    """Return so many bytes, in memory that the kernel takes back when they are dropped."""
    block = np.frombuffer(mmap.mmap(-1, max(1, nbytes)), np.uint8, nbytes)
    block.fill(0)
    return block
