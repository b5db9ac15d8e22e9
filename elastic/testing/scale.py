"""What a change of membership costs the store, counted.

    python -m elastic.testing.scale

Agents with their real rendezvous, over a store in memory that counts; workers that agree at once.
One row is one change: all of them join, one more joins, one is lost, a host is lost, one leaves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import track

from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.record import Keys, Record
from elastic.rendezvous.service import Rendezvous, Site
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.store import (
    Changed,
    Compare,
    Deliver,
    Get,
    Listing,
    Op,
    Relisted,
    TxnResult,
)
from elastic.testing.clock import Lane, ManualClock
from elastic.testing.inbox import LaneInbox
from elastic.world import Member

__all__ = ["CHANGES", "Cost", "main", "measure", "table"]

JOB = "scale"
WORKERS = (10, 100, 1_000, 10_000)
HOSTS = (8, 1)
CHANGES = ("all join", "one joins", "one is lost", "a host is lost", "one leaves")
SETTLE_S = 9.0
"""Longer than any change takes, shorter than the pause between two safety re-lists."""


@dataclass
class Cost:
    """What was asked of the store, and what it had to send. Sizes in bytes."""

    transactions: int = 0
    """Those that wrote, and those that lost."""
    keys: int = 0
    """Keys written or deleted."""
    read: int = 0
    """Keys read, one by one or in lists."""
    news: int = 0
    """Messages to watches; one may tell of several keys."""
    news_bytes: int = 0
    generations: int = 0


class CountingStore(MemoryStore):
    """The store in memory, and what it did."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = Cost()

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it."""
        listing = super().range(key, prefix)
        self.cost.read += len(listing.items)
        return listing

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, at once and whole: `then` if all compares hold."""
        self.cost.transactions += any(not isinstance(op, Get) for op in then)
        result = super().txn(compares, then, otherwise)
        self.cost.read += sum(len(listing.items) for listing in result.listings)
        return result

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> Any:
        """Return a watch that delivers each change at or after `from_revision`."""

        def counted(news: Changed | Relisted) -> None:
            if isinstance(news, Changed):
                self.cost.news += 1
                self.cost.news_bytes += sum(len(kv.key) + len(kv.value) for kv in news.puts)
                self.cost.news_bytes += sum(len(key) for key in news.deletes)
            deliver(news)

        return super().watch(key, prefix, from_revision, counted)

    def _publish(self, change: Changed) -> None:
        self.cost.keys += len(change.puts) + len(change.deletes)
        super()._publish(change)


class _Agent(Rendezvous):
    """The service as it is, in virtual time, with workers that only agree."""

    def __init__(self, crowd: _Crowd, host: int):
        super().__init__(
            crowd.store,
            Site(JOB, f"host-{host}:29400"),
            Settings(crowd.least),
            self._tell_workers,
            crowd.verdict,
        )
        self.crowd, self.host, self.gone = crowd, host, False
        self._clock = lambda: crowd.clock.now
        lane = Lane(crowd.clock, crowd.rng, (0.0001, 0.0003))
        self._inbox = LaneInbox(lane, self._take)  # type: ignore[assignment]

    def begin(self, workers: int) -> None:
        self._check_token()
        self.post(self._listed())
        ids = (f"host-{self.host}-{i}" for i in range(workers))
        address, agent = f"host-{self.host}:40000", self.site.agent
        self.post(ev.WorkersReady(tuple(Member(id, address, agent) for id in ids)))

    def _read(self, listing: Listing) -> ev.Listed:
        read = self.crowd.read  # what does not change is shared: else each host holds all of it
        if read is None or read[0] != listing.revision:
            read = self.crowd.read = (listing.revision, super()._read(listing))
        self._seen_revision = listing.revision
        return read[1]

    def _take(self, item: Any) -> None:
        event = item() if callable(item) else item
        if event is not None and not self.gone:
            self._step(event)

    def _tell_workers(self, command: Any) -> None:
        if isinstance(command, do.TellGroup):
            self.crowd.messages += len(command.ids)
        elif isinstance(command, do.TellCandidates) and command.candidates:
            self.crowd.agree(joins=command.candidates)

    def _ask(self, command: do.Probe) -> None:
        self.crowd.clock.after(0.01, lambda: self.post(self._probe(command)))

    def _hello(self, command: do.Greet) -> None:
        greeted = ev.Greeted(command.agents, (), "")
        self.crowd.clock.after(0.01, lambda: self.post(greeted))

    def _wake(self, command: do.WakeAt) -> None:
        self._do_wake(command)
        self.crowd.clock.at(command.t, self._ring)

    def _ring(self) -> None:
        if self._wake_at is not None and self.crowd.clock.now >= self._wake_at:
            self._wake_at = None
            self.post(ev.Tick())

    _handlers: ClassVar[dict[type, Callable[..., Any]]] = {
        **Rendezvous._handlers,
        do.Probe: _ask,
        do.Greet: _hello,
        do.WakeAt: _wake,
    }


@dataclass
class _Crowd:
    """All agents of a job and their store."""

    workers: int
    per_host: int
    clock: ManualClock = field(default_factory=ManualClock)
    rng: Random = field(default_factory=lambda: Random(0))
    store: CountingStore = field(default_factory=CountingStore)
    agents: list[_Agent] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    messages: int = 0
    """How often a worker was told of a group."""
    read: tuple[int, ev.Listed] | None = None
    """The last listing that was decoded, and its revision."""
    _agreed: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.least = self.workers

    @property
    def record(self) -> Record:
        items = MemoryStore.range(self.store, Keys(JOB).record).items  # not counted
        return Record.decode(items[0].value) if items else Record(0, (), "")

    def start(self, workers: int) -> None:
        """Start one more host."""
        agent = _Agent(self, len(self.agents))
        self.agents.append(agent)
        agent.begin(workers)

    def verdict(self, probe: do.Probe) -> ev.Verdict:
        dead = probe.member.id in self.dead
        return ev.Verdict(probe.generation, probe.member.id, probe.by, dead, "it is dead")

    def agree(self, joins: tuple[Any, ...] = (), leaves: tuple[str, ...] = ()) -> None:
        """All members name this in the flags of their next step, and tell their agents."""
        if (joins, leaves) in self._agreed:
            return
        self._agreed.add((joins, leaves))
        event = ev.BoundaryReached(self.record.generation, 1, joins, leaves)

        def tell() -> None:
            for agent in self.agents:
                agent.post(event)

        self.clock.after(0.5, tell)

    # -- the changes -----------------------------------------------------------------------------

    def all_join(self) -> None:
        for host in range(-(-self.workers // self.per_host)):
            many = min(self.per_host, self.workers - host * self.per_host)
            self.clock.after(self.rng.uniform(0, 5), lambda many=many: self.start(many))  # type: ignore[misc]

    def one_joins(self) -> None:
        self.start(1)

    def one_is_lost(self) -> None:
        id = self.record.ids[0]
        agent = next(agent for agent in self.agents if id in agent.standing.mine)
        agent.post(ev.WorkerExited(id, "killed"))
        self._suspect((id,))

    def a_host_is_lost(self) -> None:
        agent = next(agent for agent in self.agents[1:] if agent.standing.mine)
        agent.gone = True
        self._suspect(tuple(agent.standing.mine))

    def one_leaves(self) -> None:
        self.agree(leaves=(self.record.ids[-1],))

    def _suspect(self, ids: tuple[str, ...]) -> None:
        """Each worker sees the connection break."""
        self.dead |= set(ids)
        generation = self.record.generation
        for agent in self.agents:
            mine = next(iter(agent.standing.mine), "")
            for id in ids if mine and not agent.gone else ():
                agent.post(ev.Suspected(generation, id, mine, "the connection broke"))

    def settle(self) -> Cost:
        """Let it happen; return what it cost."""
        self.store.cost, self.messages = Cost(), 0
        before = self.record.generation
        until = self.clock.now + SETTLE_S
        while self.clock.next(until):
            pass
        cost = self.store.cost
        cost.generations = self.record.generation - before
        return cost


def measure(workers: int, per_host: int) -> dict[str, Cost]:
    """Return what each of `CHANGES` costs a job of so many workers."""
    crowd = _Crowd(workers, per_host)
    acts = (crowd.all_join, crowd.one_joins, crowd.one_is_lost, crowd.a_host_is_lost)
    costs = {}
    for change, act in zip(CHANGES, (*acts, crowd.one_leaves), strict=True):
        act()
        costs[change] = crowd.settle()
        crowd.least = 1
    return costs


def table(costs: dict[tuple[int, int], dict[str, Cost]]) -> str:
    """Return the table of docs/scale.md."""
    names = ("transactions", "keys written", "news sent", "MB of news", "keys read")
    lines = [
        f"| change | workers | hosts | generations | {' | '.join(names)} |",
        "|---|" + "---:|" * (3 + len(names)),
    ]
    for change in CHANGES:
        for (workers, per_host), by_change in costs.items():
            c = by_change[change]
            hosts, megabytes = -(-workers // per_host), c.news_bytes / 1e6
            cells = [f"{n:,}" for n in (workers, hosts, c.generations, c.transactions, c.keys)]
            cells += [f"{c.news:,}", f"{megabytes:,.2f}", f"{c.read:,}"]
            lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Count and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m elastic.testing.scale", description=(__doc__ or "").splitlines()[0]
    )
    sizes = ",".join(map(str, WORKERS))
    parser.add_argument("--workers", default=sizes, help=f"(default {sizes})")
    parser.add_argument("--per-host", type=int, default=8, help="workers a host (default 8)")
    options = parser.parse_args(arguments)
    costs = {}
    many = [int(number) for number in options.workers.split(",")]
    for workers in track(many, transient=True, console=Console(stderr=True)):
        costs[workers, options.per_host] = measure(workers, options.per_host)
    print(table(costs))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
