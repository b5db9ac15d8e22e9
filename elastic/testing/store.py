"""The store in memory, as an agent far from it sees it: slow answers, late and repeated news.

While the network between the two is dark, calls fail after `TIMEOUT_S`, news wait, and a lease that
is not renewed for its time to live is ended by the store, which its owner hears when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from elastic.errors import StoreUnavailable
from elastic.rendezvous.memory_store import MemoryLease, MemoryStore, MemoryWatch
from elastic.rendezvous.store import (
    Changed,
    Compare,
    Deliver,
    Listing,
    Op,
    Relisted,
    StoreSettings,
    TxnResult,
)
from elastic.testing.clock import Lane, ManualClock

__all__ = ["FarStore", "FarWatch", "Troubles"]

TIMEOUT_S = StoreSettings().timeout_s
DELAYS_S = (0.001, 0.02)
"""Between which bounds an answer's time is, as a rule."""


@dataclass(frozen=True)
class Troubles:
    """How likely the store misbehaves, each time, within what it promises."""

    repeats: float = 0.0
    """News that are delivered twice."""
    silences: float = 0.0
    """Requests without an answer; half of them were done."""


def _never() -> float:
    """Return a time that is past: nothing is dark."""
    return 0.0


@dataclass
class FarStore:
    """One agent's way to the store. `busy` is told how long a call took: the caller is blocked."""

    memory: MemoryStore
    clock: ManualClock
    rng: Random
    busy: Callable[[float], None]
    troubles: Troubles = Troubles()
    to_store: Callable[[], float] = _never
    """Until when nothing gets through to the store."""
    from_store: Callable[[], float] = _never
    slow: tuple[float, float] = (1.0, 0.0)
    """How many times its time every answer takes, and until when."""
    leases: list[MemoryLease] = field(default_factory=list)
    watches: list[FarWatch] = field(default_factory=list)

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it, unless the answer is lost."""
        self._wait()
        if self._answer_is_lost():
            raise StoreUnavailable("the answer was lost")
        return self.memory.range(key, prefix)

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, unless the answer is lost."""
        self._wait()
        silent = self._answer_is_lost()
        if silent and self.rng.random() < 0.5:
            raise StoreUnavailable("the request was lost")
        result = self.memory.txn(compares, then, otherwise)
        if silent:
            raise StoreUnavailable("the answer was lost")
        return result

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> FarWatch:
        """Return a watch whose news take their time."""
        self.watches = [watch for watch in self.watches if not watch.closed]
        self.watches.append(FarWatch(self, (key, prefix), from_revision, deliver))
        return self.watches[-1]

    def grant(self, ttl_s: float, on_lost: Callable[[], None]) -> MemoryLease:
        """Return a lease that lives as long as its agent."""
        self._wait()
        if self._answer_is_lost():
            raise StoreUnavailable("the answer was lost")
        self.leases.append(self.memory.grant(ttl_s, on_lost))
        return self.leases[-1]

    def abandon(self) -> None:
        """The agent has died: its leases run out in their time."""
        for lease in self.leases:
            lease.on_lost = _nobody
            self.clock.after(lease.ttl_s, lambda id=lease.id: self.memory.expire(id))  # type: ignore[misc]

    def starve(self, until: float) -> None:
        """Until then no lease is renewed; its owner hears of its end only afterwards."""
        for lease in self.leases:
            ends = self.clock.now + lease.ttl_s * self.rng.uniform(2 / 3, 1)
            if ends < until:
                self.clock.at(ends, lambda lease=lease: self._expire(lease, until))  # type: ignore[misc]

    def lose_leases(self) -> None:
        """The store forgets the leases; their owner hears of it when it next renews them."""
        for lease in self.leases:
            self._expire(lease, self.clock.now + self.rng.uniform(0, lease.ttl_s / 3))

    def _expire(self, lease: MemoryLease, told_at: float) -> None:
        if lease in self.leases:
            self.leases.remove(lease)
            on_lost, lease.on_lost = lease.on_lost, _nobody
            self.memory.expire(lease.id)
            self.clock.at(told_at, on_lost)

    def is_dark(self) -> bool:
        """Whether the store does not answer now."""
        return self.clock.now < max(self.to_store(), self.from_store())

    def slow_down(self, factor: float, seconds: float) -> None:
        """For so long every answer takes so many times its time."""
        self.slow = (factor, max(self.slow[1], self.clock.now + seconds))

    @property
    def delays_s(self) -> tuple[float, float]:
        """Between which bounds an answer's time is now."""
        factor, until = self.slow
        factor = factor if self.clock.now < until else 1.0
        return (factor * DELAYS_S[0], factor * DELAYS_S[1])

    def close(self) -> None:
        """Nothing is left open here."""

    def _wait(self) -> None:
        if self.clock.now < self.to_store():
            self.busy(TIMEOUT_S)
            raise StoreUnavailable("the store does not answer")
        self.busy(self.rng.uniform(*self.delays_s))

    def _answer_is_lost(self) -> bool:
        if self.clock.now < self.from_store():
            self.busy(TIMEOUT_S)
            return True
        return self.rng.random() < self.troubles.silences


class FarWatch:
    """A watch whose news are late; opened again, it goes on after what it has delivered."""

    def __init__(
        self, far: FarStore, watched: tuple[str, bool], from_revision: int, deliver: Deliver
    ):
        self._far, self._watched, self._deliver = far, watched, deliver
        self._next, self.closed = from_revision, False
        self._open()

    def close(self) -> None:
        """Deliver no more."""
        self.closed = True
        self._stream.close()

    def reopen(self, after_s: float) -> None:
        """The stream breaks; another is opened a while later."""
        self._stream.close()
        self._far.clock.after(after_s, lambda: None if self.closed else self._open())

    def _open(self) -> None:
        far = self._far
        lane = Lane(far.clock, far.rng, far.delays_s, far.from_store)
        streams: list[MemoryWatch] = []

        def late(news: Changed | Relisted) -> None:
            twice = far.rng.random() < far.troubles.repeats
            for _ in range(1 + twice):
                lane.send(lambda: None if streams[0].closed else self._tell(news))

        streams.append(far.memory.watch(*self._watched, self._next, late))
        self._stream = streams[0]

    def _tell(self, news: Changed | Relisted) -> None:
        revision = news.revision if isinstance(news, Changed) else news.listing.revision
        self._next = revision + 1
        self._deliver(news)


def _nobody(*_: Any) -> None:
    return None
