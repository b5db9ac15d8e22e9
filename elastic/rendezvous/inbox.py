"""What waits for the rendezvous' thread, in order; what came in a burst is taken at once."""

from __future__ import annotations

import queue
from collections import deque
from typing import Any

from elastic.rendezvous import events as ev

__all__ = ["Inbox", "next_of"]


class Inbox:
    """A queue that any thread may fill and one thread empties."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._came: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Let this wait behind what is here."""
        self._queue.put(item)

    def get(self, timeout_s: float) -> Any:
        """Return what is next; a run of events that may come in bursts is one `Burst`.

        Raises:
            queue.Empty: nothing came in time.
        """
        if not self._came:
            self._came.append(self._queue.get(timeout=timeout_s))
        for _ in range(self._queue.qsize()):  # nobody else takes from it: so many are there
            self._came.append(self._queue.get_nowait())
        return next_of(self._came)


def next_of(came: deque[Any]) -> Any:
    """Take what is next from what came."""
    run = [came.popleft()]
    while came and isinstance(run[0], ev.BURSTS) and isinstance(came[0], ev.BURSTS):
        run.append(came.popleft())
    return run[0] if len(run) == 1 else ev.Burst(tuple(run))
