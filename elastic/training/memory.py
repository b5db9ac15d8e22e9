"""Memory that is there before it is needed: no step waits for the kernel to find and zero it."""

from __future__ import annotations

import mmap
import os

import numpy as np

__all__ = ["apart", "warm"]

WARM_BYTES = 4 << 30
"""No more is held in advance: it might be more than the host has."""


def warm(nbytes: int) -> None:
    """Hold so much free memory, if this process keeps what it frees (its agent sees to that)."""
    if os.environ.get("MALLOC_MMAP_MAX_") == "0":
        np.empty(min(nbytes, WARM_BYTES), np.uint8).fill(0)


def apart(nbytes: int) -> np.ndarray:
    """Return so many bytes, in memory that the kernel takes back when they are dropped."""
    block = np.frombuffer(mmap.mmap(-1, max(1, nbytes)), np.uint8, nbytes)
    block.fill(0)
    return block
