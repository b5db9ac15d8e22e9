"""The rendezvous' inbox in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from elastic.rendezvous.inbox import next_of
from elastic.testing.clock import Lane

__all__ = ["LaneInbox"]


class LaneInbox:
    """What the service's thread would take from its queue comes by a lane, bursts as bursts."""

    def __init__(self, lane: Lane, take: Callable[[Any], None]):
        self._lane, self._take = lane, take
        self._came: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Let this wait behind what is here."""
        self._came.append(item)
        self._lane.send(self._arrive)

    def _arrive(self) -> None:
        if self._came:  # else it was taken with what came before it
            self._take(next_of(self._came))
