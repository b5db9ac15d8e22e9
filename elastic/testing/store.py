"""The store in memory, as an agent far from it sees it: slow answers, late and repeated news."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from elastic.errors import StoreUnavailable
from elastic.rendezvous.memory_store import MemoryLease, MemoryStore, MemoryWatch
from elastic.rendezvous.store import Changed, Compare, Deliver, Listing, Op, Relisted, TxnResult
from elastic.testing.clock import Lane, ManualClock

__all__ = ["FarStore", "Troubles"]


@dataclass(frozen=True)
class Troubles:
    """How likely the store misbehaves, each time, within what it promises."""

    repeats: float = 0.0
    """News that are delivered twice."""
    silences: float = 0.0
    """Requests without an answer; half of them were done."""


@dataclass
class FarStore:
    """One agent's way to the store. `busy` is told how long a call took: the caller is blocked."""

    memory: MemoryStore
    clock: ManualClock
    rng: Random
    busy: Callable[[float], None]
    troubles: Troubles = Troubles()
    delays_s: tuple[float, float] = (0.001, 0.02)
    leases: list[MemoryLease] = field(default_factory=list)

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it, unless the answer is lost."""
        self._wait()
        if self.rng.random() < self.troubles.silences:
            raise StoreUnavailable("the answer was lost")
        return self.memory.range(key, prefix)

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, unless the answer is lost."""
        self._wait()
        silent = self.rng.random() < self.troubles.silences
        if silent and self.rng.random() < 0.5:
            raise StoreUnavailable("the request was lost")
        result = self.memory.txn(compares, then, otherwise)
        if silent:
            raise StoreUnavailable("the answer was lost")
        return result

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> MemoryWatch:
        """Return a watch whose news take their time."""
        lane = Lane(self.clock, self.rng, self.delays_s)
        watch: MemoryWatch

        def late(news: Changed | Relisted) -> None:
            twice = self.rng.random() < self.troubles.repeats
            for _ in range(1 + twice):
                lane.send(lambda: None if watch.closed else deliver(news))

        watch = self.memory.watch(key, prefix, from_revision, late)
        return watch

    def grant(self, ttl_s: float, on_lost: Callable[[], None]) -> MemoryLease:
        """Return a lease that lives as long as its agent."""
        self._wait()
        self.leases.append(self.memory.grant(ttl_s, on_lost))
        return self.leases[-1]

    def abandon(self) -> None:
        """The agent has died: its leases run out in their time."""
        for lease in self.leases:
            lease.on_lost = _nobody
            self.clock.after(lease.ttl_s, lambda id=lease.id: self.memory.expire(id))  # type: ignore[misc]

    def close(self) -> None:
        """Nothing is left open here."""

    def _wait(self) -> None:
        self.busy(self.rng.uniform(*self.delays_s))


def _nobody(*_: Any) -> None:
    return None
