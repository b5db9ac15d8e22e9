"""What a door refused, counted by reason. A flood costs a few lines, not one each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from elastic.clock import monotonic
from elastic.control import Event

__all__ = ["REFUSED", "Refusals"]

REFUSED = "refused"
"""The name of the event, with `door`, `reason`, and the `count` so far in process `pid`."""


def _tell_nobody(event: Event) -> None:
    """Who listens without an agent has nobody to tell."""


class Refusals:
    """The refusals at one door of this process; from any thread.

    `tell` gets an event at the 1st, 2nd, 4th, 8th, … refusal for a reason, and with `close` the
    last count of each: enough to see a stranger at once and a flood whole. Reasons are words of
    ours, never a stranger's: there are only so many.
    """

    def __init__(self, door: str, tell: Callable[[Event], Any] = _tell_nobody):
        self.door = door
        self._tell = tell
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._told: dict[str, int] = {}

    @property
    def total(self) -> int:
        """All of them together."""
        with self._lock:
            return sum(self._counts.values())

    def count(self, reason: str) -> None:
        """Note one more for this reason."""
        with self._lock:
            count = self._counts[reason] = self._counts.get(reason, 0) + 1
            news = count & (count - 1) == 0
            if news:
                self._told[reason] = count
        if news:
            self._say(reason, count)

    def close(self) -> None:
        """Tell what was not told yet."""
        with self._lock:
            rest = {reason: n for reason, n in self._counts.items() if self._told[reason] != n}
            self._told = dict(self._counts)
        for reason, count in rest.items():
            self._say(reason, count)

    def _say(self, reason: str, count: int) -> None:
        fields = {"door": self.door, "reason": reason, "count": count, "pid": os.getpid()}
        self._tell(Event(REFUSED, monotonic(), fields))
