"""What a worker does now, told in a page of memory that it shares with its agent (PROTOCOL S8).

A message for each micro-batch would cost tens of microseconds on the step path, and could not be
sent by a worker that hangs. A page costs one, and is read whatever the worker does.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from elastic.clock import monotonic
from elastic.control import ENV_ACTIVITY_FD, ENV_AGENT_PID

__all__ = ["Activity", "ActivityPage", "Doing", "doing"]

_BETWEEN, _WAITING = "", "waiting"
_NAMES = (_BETWEEN, _WAITING, "train_step", "update", "sync", "on_step", "on_epoch")
_CODES = {name: code for code, name in enumerate(_NAMES)}
_HEAD = struct.Struct("<QBddqqH")
"""Sequence number, name, since, slowest, step, micro-batch, length of `whom`."""
_SEQUENCE = struct.Struct("<Q")
_SIZE = 4096
_WHOM_BYTES = 1024


@dataclass(frozen=True)
class Activity:
    """What a worker does, and since when (CLOCK_MONOTONIC)."""

    name: str
    """A function of the user's, 'waiting', or '' between two of these."""
    since: float
    slowest_s: float = 0.0
    """The longest that this user code has taken so far; 0: it has never ended."""
    step: int = 0
    leaf: int = -1
    whom: str = ""
    """Whom it waits for, if it has waited long enough to ask."""

    @property
    def in_user_code(self) -> bool:
        """Whether only the user's code can end this."""
        return self.name not in (_BETWEEN, _WAITING)

    def __str__(self) -> str:
        if not self.in_user_code:
            return f"waiting for {self.whom}" if self.whom else self.name or "between two steps"
        leaf = f" micro-batch {self.leaf}" if self.leaf >= 0 else ""
        return f"{self.name} (step {self.step}{leaf})"


class ActivityPage:
    """The page: one process writes, another reads; a sequence number tells a torn reading."""

    def __init__(self, memory: Any):
        self._memory = memory
        self._sequence = 0

    @classmethod
    def create(cls) -> tuple[ActivityPage, int]:
        """Return a new page and its descriptor, which another process maps; it has no name."""
        fd = os.memfd_create("elastic-activity")
        os.ftruncate(fd, _SIZE)
        return cls(mmap.mmap(fd, _SIZE)), fd

    def write(self, told: Activity) -> None:
        """Replace what the page says."""
        memory, whom = self._memory, told.whom.encode()[:_WHOM_BYTES]
        _SEQUENCE.pack_into(memory, 0, self._sequence + 1)  # odd: being written
        fields = (_CODES[told.name], told.since, told.slowest_s, told.step, told.leaf, len(whom))
        _HEAD.pack_into(memory, 0, self._sequence + 1, *fields)
        if whom:
            memory[_HEAD.size : _HEAD.size + len(whom)] = whom
        self._sequence += 2
        _SEQUENCE.pack_into(memory, 0, self._sequence)

    def read(self) -> Activity | None:
        """Return what the page says; None if nothing yet, or if it is being written or closed."""
        try:
            return self._read()
        except ValueError:  # closed by another thread
            return None

    def _read(self) -> Activity | None:
        sequence, code, since, slowest_s, step, leaf, length = _HEAD.unpack_from(self._memory, 0)
        whom = bytes(self._memory[_HEAD.size : _HEAD.size + min(length, _WHOM_BYTES)])
        torn = sequence % 2 or _SEQUENCE.unpack_from(self._memory, 0)[0] != sequence
        if torn or not sequence or code >= len(_NAMES):
            return None
        text = whom.decode(errors="replace")
        return Activity(_NAMES[code], since, slowest_s, step, leaf, text)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class Doing:
    """The worker's end. Only what the thread of the outermost user code does is told."""

    def __init__(self, page: ActivityPage):
        self._page = page
        self._slowest_s: dict[str, float] = {}
        self._now = Activity(_BETWEEN, 0.0)
        self._longest_s = 0.0
        """The longest stretch of this user code between two waits."""
        self._thread = 0

    @contextmanager
    def user_code(self, name: str, step: int, leaf: int = -1) -> Iterator[None]:
        """Tell that user code runs until the block ends."""
        self._thread, self._longest_s = threading.get_ident(), 0.0
        self._tell(Activity(name, monotonic(), self._slowest_s.get(name, 0.0), step, leaf))
        try:
            yield
        finally:
            self._end_stretch()
            self._slowest_s[name] = max(self._slowest_s.get(name, 0.0), self._longest_s)
            self._tell(Activity(_BETWEEN, monotonic()))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell that others are waited for until the block ends: no hang of the user's code."""
        if self._now.name == _WAITING or self._thread != threading.get_ident():
            yield
            return
        before = self._now
        self._end_stretch()
        self._tell(Activity(_WAITING, monotonic(), step=before.step))
        try:
            yield
        finally:
            self._tell(
                Activity(before.name, monotonic(), before.slowest_s, before.step, before.leaf)
            )

    def waits_for(self, whom: str) -> None:
        """Tell whom, within `waiting`."""
        now = self._now
        if now.name == _WAITING and self._thread == threading.get_ident():
            self._tell(Activity(_WAITING, now.since, step=now.step, whom=whom))

    def _end_stretch(self) -> None:
        self._longest_s = max(self._longest_s, monotonic() - self._now.since)

    def _tell(self, activity: Activity) -> None:
        self._now = activity
        self._page.write(activity)


@cache
def doing() -> Doing:
    """Return this process's one teller: to its agent, or to nobody if no agent started it."""
    number = os.environ.get(ENV_ACTIVITY_FD)
    if number is None or os.environ.get(ENV_AGENT_PID) != str(os.getppid()):
        return Doing(ActivityPage(bytearray(_SIZE)))
    memory = mmap.mmap(int(number), _SIZE)
    os.close(int(number))
    return Doing(ActivityPage(memory))
