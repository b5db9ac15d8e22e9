"""Threads that step back behind those that train."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

__all__ = ["step_back"]

NICENESS = 10
"""About a tenth of the share that a thread at work gets: little, but no standstill."""


def step_back() -> None:
    """Let this thread have what processor time others leave, for good (Linux).

    Threads that it starts inherit this. Without privileges there is no way back.
    """
    if sys.platform == "linux":  # elsewhere a process has one niceness, not each thread
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
