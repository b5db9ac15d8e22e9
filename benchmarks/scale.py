"""1,000 lightweight members and one etcd: how long a change of the group takes, and its writes.

    python benchmarks/scale.py

Each agent is the real rendezvous over a real store; its workers are only names. The time is from
the first sign to the last agent that has told its workers of the new group. Those that are lost at
once vanish with SIGKILL, 25 agents with 4 workers each; on each other agent a worker sees its
connections to them break.
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from elastic.agent.embedded_etcd import EmbeddedEtcd
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.service import Rendezvous, Site
from elastic.rendezvous.settings import Settings
from elastic.world import Member

JOB = "scale"
AGENTS_A_PROCESS = 25
WORKERS_AN_AGENT = 4
DEADLINE_S = 300.0


class Lightweight(Rendezvous):
    """The real service; only the probe asks nobody, for there are no processes to ask."""

    def _do_probe(self, command: do.Probe) -> ev.Verdict:
        return self._probe(command)

    _handlers: ClassVar[dict[type, Any]] = {**Rendezvous._handlers, do.Probe: _do_probe}


def agents(first: int, endpoint: str, least: int, pipe: Connection) -> None:
    """One process: so many agents, which do what the pipe says."""
    lock, gone, running = threading.Lock(), set[str](), dict[str, Lightweight]()

    def start(name: str) -> None:
        def deliver(command: Any) -> None:
            if isinstance(command, do.TellGroup):
                with lock:
                    record = command.record
                    pipe.send((name, record.generation, len(record.ids), time.monotonic()))

        def probe(command: do.Probe) -> ev.Verdict:
            dead = command.member.agent in gone
            return ev.Verdict(command.generation, command.member.id, command.by, dead, "asked")

        store, site = EtcdStore([endpoint]), Site(JOB, name)
        running[name] = Lightweight(store, site, Settings(least), deliver, probe)
        running[name].start()
        ids = (f"{name}-{i}" for i in range(WORKERS_AN_AGENT))
        members = tuple(Member(id, f"{name}:1", name) for id in ids)
        running[name].post(ev.WorkersReady(members))

    for i in range(first, first + AGENTS_A_PROCESS):
        start(f"agent-{i}")
    while (said := pipe.recv()) is not None:
        if isinstance(said, set):
            gone |= said
            continue
        name, event = said
        for agent in [running[name]] if name else running.values():
            if isinstance(event, tuple):  # (generation, ids): connections that broke
                for id in event[1]:
                    by = f"{agent.site.agent}-0"
                    agent.post(ev.Suspected(event[0], id, by, "the connection broke"))
            else:
                agent.post(event)
    for agent in running.values():
        agent.close()
        agent.store.close()


@dataclass
class Crowd:
    """All processes, and what their agents have last told."""

    endpoint: str
    members: int
    told: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    processes: list[Any] = field(default_factory=list)
    pipes: list[Connection] = field(default_factory=list)

    def start(self) -> None:
        """Start all processes."""
        spawn = multiprocessing.get_context("spawn")
        for first in range(0, self.members // WORKERS_AN_AGENT, AGENTS_A_PROCESS):
            ours, theirs = spawn.Pipe()
            arguments = (first, self.endpoint, self.members, theirs)
            process = spawn.Process(target=agents, args=arguments, daemon=True)
            process.start()
            self.processes.append(process)
            self.pipes.append(ours)

    def say(self, said: Any) -> None:
        """Tell all processes."""
        for pipe in self.pipes:
            pipe.send(said)

    def until(self, size: int, agents: int) -> float:
        """Return when the last of so many agents knew of a group of so many members."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            times = [t for _, now, t in self.told.values() if now == size]
            if len(times) >= agents:
                return max(times)
            for pipe in wait(self.pipes, timeout=deadline - time.monotonic()):
                name, *news = pipe.recv()  # type: ignore[union-attr]
                self.told[name] = tuple(news)
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(times)} of {agents} agents know of {size} members")

    @property
    def generation(self) -> int:
        """The newest generation that anybody was told of."""
        return max((generation for generation, _, _ in self.told.values()), default=0)


def changes(crowd: Crowd, store: EtcdStore) -> list[tuple[str, float, int, int]]:
    """Make each change; return its name, seconds, writes of the store and generations."""
    count, rows = crowd.members // WORKERS_AN_AGENT, []

    def change(name: str, act: Any, size: int, agents: int) -> None:
        revision, generation, t = store.range("/").revision, crowd.generation, time.monotonic()
        act()
        seconds = crowd.until(size, agents) - t
        writes = store.range("/").revision - revision
        rows.append((name, seconds, writes, crowd.generation - generation))

    def lose_one() -> None:
        crowd.pipes[0].send(("agent-0", ev.WorkerExited("agent-0-1", "killed")))

    def lose_many() -> None:
        first = count - AGENTS_A_PROCESS
        names = {f"agent-{i}" for i in range(first, count)}
        crowd.say(names)
        process, pipe = crowd.processes.pop(), crowd.pipes.pop()
        process.kill()
        process.join()
        pipe.close()
        for name in names:
            crowd.told.pop(name, None)
        ids = [f"{name}-{j}" for name in sorted(names) for j in range(WORKERS_AN_AGENT)]
        crowd.say((None, (crowd.generation, ids)))

    def all_leave() -> None:
        ids = [f"agent-{i}-{j}" for i in range(count) for j in range(WORKERS_AN_AGENT)]
        crowd.say((None, ev.BoundaryReached(crowd.generation, 1, (), tuple(ids))))

    lost = AGENTS_A_PROCESS * WORKERS_AN_AGENT
    change(f"{crowd.members} join", crowd.start, crowd.members, count)
    change("one is lost", lose_one, crowd.members - 1, count)
    remain = count - AGENTS_A_PROCESS
    change(f"{lost} are lost at once", lose_many, crowd.members - 1 - lost, remain)
    change("all leave", all_leave, 0, remain)
    return rows


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=1000, help="a multiple of 100, from 200")
    options = parser.parse_args()
    etcd = EmbeddedEtcd()
    endpoint = etcd.start()
    store, crowd = EtcdStore([endpoint]), Crowd(endpoint, options.members)
    table = Table(title=f"{options.members} members, {options.members // 4} agents, one etcd")
    for column in ("change", "seconds", "writes of the store", "generations"):
        table.add_column(column, justify="right")
    try:
        for name, seconds, writes, generations in changes(crowd, store):
            table.add_row(name, f"{seconds:.2f}", str(writes), str(generations))
        crowd.say(None)
    finally:
        for process in crowd.processes:
            process.join(10)
            process.kill()
        store.close()
        etcd.stop()
    Console().print(table)


if __name__ == "__main__":
    main()
