"""What is on its way to one member, and how that ends. No gRPC, no decisions of the protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from elastic.collectives.frames import Outgoing

__all__ = ["CUT_OFF", "Ending", "Outbox"]

Queue = SimpleQueue["Outgoing | None"]


@dataclass(frozen=True)
class Ending:
    """How a stream ends; by default with a goodbye.

    `code` is the name of a gRPC status, `generation` the newer one if that is the reason.
    """

    code: str = "OK"
    reason: str = ""
    generation: int | None = None


CUT_OFF = Ending("UNAVAILABLE", "cut off for a test")


class Outbox:
    """What is on its way to one member. Its newest subscription gets it.

    A subscription is a queue of its own: a SimpleQueue wakes its thread at a fraction of what a
    Condition costs. None in it is the end. Whole messages may overtake each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: Queue = SimpleQueue()
        self._now: Outgoing | None = None
        self._begun = -1
        """The last generation of which anything was sent."""
        self.generation = -1
        """That of the newest hello: whoever subscribes may be ahead of this member."""
        self.ending = Ending("ABORTED", "another stream has taken over")
        """How the subscription ends."""

    def put(self, outgoing: Outgoing) -> None:
        """Send this after what is waiting."""
        with self._lock:
            self._queue.put(outgoing)

    def subscribe(self, generation: int) -> Queue | Ending:
        """Return the queue of a new subscription, which ends the one before it.

        What was sent on a stream that broke is lost, so it cannot go on in the same generation.
        """
        with self._lock:
            if self._begun >= generation:
                lost = f"what was sent in generation {self._begun} may be lost"
                return Ending("DATA_LOSS", lost)
            self.generation = generation
            return self._renew()

    def frames(self, queue: Queue) -> Iterator[bytes]:
        """Yield the frames for one subscription until it ends."""
        while (outgoing := self._next(queue)) is not None:
            yield from outgoing.frames()

    def _next(self, queue: Queue) -> Outgoing | None:
        outgoing = queue.get()
        with self._lock:
            if queue is not self._queue:
                if outgoing:
                    self._queue.put(outgoing)
                return None
            self._now = outgoing
            if outgoing:
                self._begun = max(self._begun, outgoing.header.generation)
            return outgoing

    def hang_up(self, queue: Queue) -> None:
        """This subscription is gone: end its thread."""
        with self._lock:
            if queue is self._queue:
                self._renew()

    def end(self, ending: Ending) -> None:
        """Let the subscription end so, after what is waiting."""
        with self._lock:
            self.ending = ending
            self._queue.put(None)

    def purge(self, generation: int) -> None:
        """Forget what belongs to earlier generations."""
        with self._lock:
            for outgoing in self._drain():
                if outgoing is None or outgoing.header.generation >= generation:
                    self._queue.put(outgoing)

    def abandon(self) -> None:
        """Let the blobs of everything here be written again."""
        with self._lock:
            waiting = self._drain()
            for outgoing in (self._now, *waiting):
                if outgoing:
                    outgoing.abandon()
            for outgoing in waiting:
                self._queue.put(outgoing)

    def _renew(self) -> Queue:
        """Move what is waiting to a new queue, and end whoever reads the old one."""
        old, waiting = self._queue, self._drain()
        self._queue = SimpleQueue()
        for outgoing in waiting:
            self._queue.put(outgoing)
        old.put(None)
        return self._queue

    def _drain(self) -> list[Outgoing | None]:
        waiting: list[Outgoing | None] = []
        with suppress(Empty):
            while True:
                waiting.append(self._queue.get_nowait())
        return waiting
