"""1,000 lightweight members and one etcd: how long a change of the group takes, and what it asks.

    python benchmarks/scale.py

Each agent is the real rendezvous over a real store; its workers are names, which agree at once. The
time is from the first sign to the last agent that has told its workers of the new group. Those that
are lost at once vanish with SIGKILL, 25 agents with 4 workers each; on each other agent a worker
sees its connections to them break. What the store was asked is what etcd itself has counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from elastic.agent.embedded_etcd import EmbeddedEtcd
from elastic.control import Candidate
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.service import Rendezvous, Site
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.store import StoreSettings
from elastic.world import Member

JOB = "scale"
AGENTS_A_PROCESS = 25
WORKERS_AN_AGENT = 4
DEADLINE_S = 120.0
PATIENCE_S = 30.0
"""Agents have a host each, a lease of 3 s and 2 s for a call. These share a few cores with each
other and the store: that some starve for a while shall cost no lease, as there it costs none."""
COLUMNS = ("seconds", "generations", "transactions", "reads", "news sent")


class Lightweight(Rendezvous):
    """The real service; only the probe asks nobody, for there are no processes to ask."""

    def _do_probe(self, command: do.Probe) -> None:
        self.post(self._probe(command))

    _handlers: ClassVar[dict[type, Any]] = {**Rendezvous._handlers, do.Probe: _do_probe}


class Crew:
    """The agents of one process, which do what the pipe says."""

    def __init__(self, endpoint: str, least: int, pipe: Connection):
        self.endpoint, self.least, self.pipe = endpoint, least, pipe
        self.lock, self.gone = threading.Lock(), set[str]()
        self.running: dict[str, Lightweight] = {}

    def start(self, name: str, workers: int) -> None:
        """Start an agent with so many workers that are ready."""
        store = EtcdStore([self.endpoint], StoreSettings(timeout_s=PATIENCE_S))
        site = Site(JOB, name, PATIENCE_S)

        def deliver(command: Any) -> None:
            self.told(name, command)

        agent = Lightweight(store, site, Settings(self.least), deliver, self.probe)
        self.running[name] = agent
        agent.start()
        ids = (f"{name}-{i}" for i in range(workers))
        agent.post(ev.WorkersReady(tuple(Member(id, f"{name}:1", name) for id in ids)))

    def told(self, name: str, command: Any) -> None:
        """Pass on what an agent would have told its workers."""
        if isinstance(command, do.TellGroup):
            record = command.record
            news: Any = (record.generation, len(record.ids), time.monotonic())
        elif isinstance(command, do.TellCandidates) and command.candidates:
            news = command.candidates
        else:
            return
        with self.lock:
            self.pipe.send((name, news))

    def probe(self, command: do.Probe) -> ev.Verdict:
        """Whoever was killed refuses the connection."""
        member, dead = command.member, command.member.agent in self.gone
        return ev.Verdict(command.generation, member.id, command.by, dead, "asked")

    def post(self, name: str, event: Any) -> None:
        """Give an agent of this process an event, or all of them."""
        for agent in [self.running[name]] if name else self.running.values():
            agent.post(event)

    def lose(self, generation: int, gone: tuple[str, ...]) -> None:
        """A worker of each agent sees its connections to the workers of these agents break."""
        self.gone |= set(gone)
        ids = [f"{name}-{i}" for name in gone for i in range(WORKERS_AN_AGENT)]
        for name, agent in self.running.items():
            for id in ids:
                agent.post(ev.Suspected(generation, id, f"{name}-0", "the connection broke"))

    def end(self) -> None:
        """End all agents."""
        for agent in self.running.values():
            agent.close()
            agent.store.close()


def serve(endpoint: str, least: int, pipe: Connection) -> None:
    """One process of agents."""
    crew = Crew(endpoint, least, pipe)
    pipe.send(("", "ready"))
    while (said := pipe.recv()) is not None:
        verb, *arguments = said
        getattr(crew, verb)(*arguments)
    crew.end()


@dataclass
class Crowd:
    """All processes, and what their agents have last told."""

    endpoint: str
    members: int
    told: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    processes: list[Any] = field(default_factory=list)
    pipes: list[Connection] = field(default_factory=list)
    agreed: set[tuple[Candidate, ...]] = field(default_factory=set)

    def open(self) -> None:
        """Start all processes, without agents."""
        spawn = multiprocessing.get_context("spawn")
        for _ in range(self.members // WORKERS_AN_AGENT // AGENTS_A_PROCESS):
            ours, theirs = spawn.Pipe()
            arguments = (self.endpoint, self.members, theirs)
            process = spawn.Process(target=serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def say(self, *said: Any) -> None:
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
                self.hear(*pipe.recv())  # type: ignore[union-attr]
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(times)} of {agents} agents know of {size} members")

    def hear(self, name: str, news: Any) -> None:
        """What an agent tells its workers: a group, or candidates, on which these agree at once."""
        if isinstance(news[0], int):
            self.told[name] = news
        elif news not in self.agreed:
            self.agreed.add(news)
            self.say("post", "", ev.BoundaryReached(self.generation, 1, news, ()))

    @property
    def generation(self) -> int:
        """The newest generation that anybody was told of."""
        return max((generation for generation, _, _ in self.told.values()), default=0)

    # -- the changes ---------------------------------------------------------------------------

    def all_join(self) -> None:
        """Start all agents, those of a process one after the other."""
        for i in range(self.members // WORKERS_AN_AGENT):
            self.pipes[i // AGENTS_A_PROCESS].send(("start", f"agent-{i}", WORKERS_AN_AGENT))

    def one_joins(self) -> None:
        """Start another agent, with one worker."""
        self.pipes[0].send(("start", "newcomer", 1))

    def one_is_lost(self) -> None:
        """A worker of the first agent exits."""
        self.pipes[0].send(("post", "agent-0", ev.WorkerExited("agent-0-1", "killed")))

    def many_are_lost(self) -> None:
        """Kill the last process, and with it all its agents."""
        count = self.members // WORKERS_AN_AGENT
        names = tuple(f"agent-{i}" for i in range(count - AGENTS_A_PROCESS, count))
        process, pipe = self.processes.pop(), self.pipes.pop()
        process.kill()
        process.join()
        pipe.close()
        for name in names:
            self.told.pop(name, None)
        self.say("lose", self.generation, names)

    def one_leaves(self) -> None:
        """All agree that a worker leaves."""
        event = ev.BoundaryReached(self.generation, 2, (), ("agent-1-1",))
        self.say("post", "", event)

    def end(self) -> None:
        """End all processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(10)
            process.kill()


def asked(endpoint: str) -> Counter[str]:
    """Return what etcd has been asked and has told so far, by kind."""
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    counts: Counter[str] = Counter()
    for name, column in (
        (r'grpc_server_handled_total{[^}]*grpc_method="Txn"[^}]*}', "transactions"),
        (r'grpc_server_handled_total{[^}]*grpc_method="Range"[^}]*}', "reads"),
        (r'grpc_server_msg_sent_total{[^}]*grpc_method="Watch"[^}]*}', "news sent"),
    ):
        counts[column] = sum(int(float(n)) for n in re.findall(rf"(?m)^{name} (\S+)$", text))
    return counts


def changes(crowd: Crowd) -> list[tuple[str, ...]]:
    """Make each change; return a row of the table for each."""
    rows = []

    def change(name: str, act: Callable[[], None], size: int, agents: int) -> None:
        before, generation, t = asked(crowd.endpoint), crowd.generation, time.monotonic()
        act()
        seconds = crowd.until(size, agents) - t
        counts = asked(crowd.endpoint) - before
        cells = [crowd.generation - generation, *(counts[column] for column in COLUMNS[2:])]
        rows.append((name, f"{seconds:.2f}", *(f"{cell:,}" for cell in cells)))

    n, agents = crowd.members, crowd.members // WORKERS_AN_AGENT
    lost = AGENTS_A_PROCESS * WORKERS_AN_AGENT
    change(f"{n:,} join", crowd.all_join, n, agents)
    change("one joins", crowd.one_joins, n + 1, agents + 1)
    change("one is lost", crowd.one_is_lost, n, agents + 1)
    agents -= AGENTS_A_PROCESS
    change(f"{lost} are lost", crowd.many_are_lost, n - lost, agents + 1)
    change("one leaves", crowd.one_leaves, n - lost - 1, agents + 1)
    return rows


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=1000, help="a multiple of 100, from 200")
    options = parser.parse_args()
    etcd = EmbeddedEtcd()
    crowd = Crowd(etcd.start(), options.members)
    agents = options.members // WORKERS_AN_AGENT
    table = Table(title=f"{options.members:,} members of {agents:,} agents, one etcd")
    for column in ("change", *COLUMNS):
        table.add_column(column, justify="right")
    try:
        crowd.open()
        for row in changes(crowd):
            table.add_row(*row)
    finally:
        crowd.end()
        etcd.stop()
    Console().print(table)


if __name__ == "__main__":
    main()
