"""One job under the faults of a schedule, and what must hold when it has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from elastic.audit import verify
from tests.e2e.job import Agent, Jobs
from tests.e2e.soak_leaks import Leaks
from tests.e2e.soak_schedule import Fault, Schedule
from tests.etcd import EtcdServer

__all__ = ["EPOCHS", "LIMIT_S", "Run"]

LIMIT_S = 420.0
EPOCHS = ("--epochs=60",)
PACE = "--pace=0.015"
MOST_AGENTS = 4
LOOK_S = 0.02
MEASURE_S = 1.0


class Run:
    """One job and what is done to it."""

    def __init__(
        self, jobs: Jobs, etcd: EtcdServer, schedule: Schedule, struck: Callable[[], None]
    ):
        self.jobs, self.etcd, self.schedule = jobs, etcd, schedule
        self.done: list[str] = []
        """What was done, when and to whom."""
        self.leaks = Leaks()
        self._struck = struck
        self._hurt: dict[Agent, tuple[int, ...]] = {}
        """Agents that were ended, with the exit codes that they may have."""
        self._later: list[tuple[float, Callable[[], Any]]] = []
        """What was stopped or ended goes on, and when."""
        self._etcd_serves = True
        self._dash = jobs.folder / "dash"
        self._began = self._measured = time.monotonic()

    def play(self) -> None:
        """Return when all agents have ended."""
        for workers in self.schedule.first:
            self._start(workers)
        self._wait_until("the first step", self._trains)
        for fault in self.schedule.faults:
            due = time.monotonic() + fault.after_s
            self._wait_until("the next fault", lambda due=due: time.monotonic() >= due)
            if not self._living():
                break
            self._strike(fault)
        self._wait_until("all to go on", lambda: not self._later)
        self._dash.touch()
        self._wait_until("the end of all agents", lambda: not self._living())

    def check(self, reference: dict[str, Any]) -> None:
        """All that were left alone ended well, with the bits of the reference, and did not grow."""
        unhurt = [agent for agent in self.jobs.agents if agent not in self._hurt]
        assert unhurt, "a schedule leaves at least one agent alone"
        for at, agent in enumerate(self.jobs.agents):
            code, owed = agent.process.returncode, self._hurt.get(agent, (0,))
            late = code == 1 and "the job is done, but after it" in agent.output
            assert late or code in {0, *owed}, f"agent {at} ended with {code}, not {owed}"
        for agent in unhurt:
            for name in ("steps", "digest", "state_digest"):
                assert agent.report[name] == reference[name], f"another {name}: {agent.report}"
            assert agent.report["audit"] in ("ok", None), agent.report["audit"]
            assert verify(agent.folder / "audit").ok
        grown = [leak for growth in self.leaks.grown for leak in growth.leaks]
        assert not grown, "; ".join(grown)

    @property
    def goodput(self) -> float:
        """The least that an agent which was left alone reports."""
        unhurt = [agent for agent in self.jobs.agents if agent not in self._hurt]
        return min(agent.report["goodput"] for agent in unhurt)

    def abandon(self) -> None:
        """Let all go on and end all agents at once."""
        for _, go_on in self._later:
            with suppress(OSError, AssertionError):
                go_on()
        for agent in self._living():
            agent.process.kill()

    # -- faults --------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        strikes: dict[str, Callable[[Fault], str]] = {
            "kill a worker": lambda fault: self._kill(self._some_workers(fault, 1)),
            "kill rank 0": lambda fault: self._kill(self._rank_0()),
            "kill two workers": lambda fault: self._kill(self._some_workers(fault, 2)),
            "kill all workers of an agent": lambda f: self._kill(workers_of(self._pick(f))),
            "kill an agent": lambda fault: self._end(fault, signal.SIGKILL),
            "kill a node": lambda fault: self._end(fault, signal.SIGKILL, node=True),
            "stop a worker": lambda fault: self._stop(fault, self._some_workers(fault, 1)),
            "stop an agent": lambda fault: self._stop(fault, [self._pick(fault).process.pid]),
            "stop a node": lambda fault: self._stop(fault, _node(self._pick(fault))),
            "terminate an agent": lambda fault: self._end(fault, signal.SIGTERM),
            "start an agent": self._join,
            "kill etcd": lambda fault: self._etcd_away(fault, self.etcd.kill, self.etcd.start),
            "pause etcd": lambda fault: self._etcd_away(fault, self.etcd.pause, self.etcd.resume),
        }
        did = strikes[fault.what](fault)
        if did:
            self.done.append(f"{time.monotonic():.3f} {fault.what}: {did}")
            self._struck()

    def _join(self, fault: Fault) -> str:
        if len(self._living()) >= MOST_AGENTS:
            return ""
        return self._start(fault.workers)

    def _start(self, workers: int) -> str:
        args = (*EPOCHS, PACE, f"--pace-until={self._dash}")
        if self.schedule.checkpoints:
            args += (f"--checkpoint-dir={self.jobs.folder / 'checkpoints'}",)
        flags = (f"--nproc-per-node={workers}", "--max-restarts=1000", "--rdzv-timeout=60")
        agent = self.jobs.start(*flags, args=args, store=self.etcd.endpoint)
        return f"{workers} workers, agent pid {agent.process.pid}"

    def _end(self, fault: Fault, number: signal.Signals, node: bool = False) -> str:
        if len([agent for agent in self._living() if agent not in self._hurt]) < 2:
            return ""
        agent = self._pick(fault)
        self._hurt[agent] = (-number, 128 + number)  # the first: before it listened for signals
        for pid in _node(agent) if node else [agent.process.pid]:
            _send(pid, number)
        return f"agent pid {agent.process.pid}"

    def _kill(self, pids: list[int]) -> str:
        for pid in pids:
            _send(pid, signal.SIGKILL)
        return f"pids {pids}" if pids else ""

    def _stop(self, fault: Fault, pids: list[int]) -> str:
        def go_on() -> None:
            for pid in pids:
                _send(pid, signal.SIGCONT)

        for pid in pids:
            _send(pid, signal.SIGSTOP)
        self._in(fault.for_s, go_on)
        return f"pids {pids} for {fault.for_s:.2f} s"

    def _etcd_away(self, fault: Fault, away: Callable[[], None], back: Callable[[], None]) -> str:
        if not self._etcd_serves:
            return ""

        def serve() -> None:
            back()
            self._etcd_serves = True

        away()
        self._etcd_serves = False
        self._in(fault.for_s, serve)
        return f"for {fault.for_s:.2f} s"

    def _in(self, seconds: float, action: Callable[[], Any]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    # -- whom ----------------------------------------------------------------------------------

    def _living(self) -> list[Agent]:
        return [agent for agent in self.jobs.agents if agent.process.poll() is None]

    def _pick(self, fault: Fault) -> Agent:
        """An agent that was not hurt, if there are two; the last one must end well."""
        living = [agent for agent in self._living() if agent not in self._hurt] or self._living()
        return living[int(fault.whom * len(living))]

    def _workers(self) -> list[int]:
        return [pid for agent in self._living() for pid in workers_of(agent)]

    def _some_workers(self, fault: Fault, count: int) -> list[int]:
        pids = self._workers()
        first = int(fault.whom * len(pids))
        return [*pids[first:], *pids[:first]][:count]

    def _rank_0(self) -> list[int]:
        synced = [event for agent in self._living() for event in agent.all("sync")]
        newest = max((event for event in synced if event["rank"] == 0), key=_age, default=None)
        return [newest["pid"]] if newest and newest["pid"] in self._workers() else []

    # -- waiting -------------------------------------------------------------------------------

    def _trains(self) -> bool:
        return any(agent.all("step") for agent in self.jobs.agents)

    def _wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        while not holds():
            now = time.monotonic()
            passed_s = now - self._began
            assert passed_s < LIMIT_S, f"waited for {what}, {passed_s:.0f} s after the start"
            for each in [each for each in self._later if each[0] <= now]:
                self._later.remove(each)
                each[1]()
            self._measure(now)
            time.sleep(LOOK_S)

    def _measure(self, now: float) -> None:
        if now < self._measured + MEASURE_S:
            return
        self._measured, wall = now, time.time()
        workers = self._workers()
        for agent in (agent for agent in self._living() if agent.all("ready")):
            self.leaks.measure("agent", agent.process.pid, len(workers), wall)
        trained = {event["pid"] for agent in self._living() for event in agent.all("sync")}
        for pid in trained.intersection(workers):  # the others still import and connect
            self.leaks.measure("worker", pid, len(workers), wall)


def _age(event: dict[str, Any]) -> tuple[int, float]:
    return event["generation"], event["t"]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _node(agent: Agent) -> list[int]:
    """Process ids of an agent and its workers, its own first: nobody of it can react."""
    return [agent.process.pid, *workers_of(agent)]


def workers_of(agent: Agent) -> list[int]:
    """Return the process ids of an agent's workers."""
    try:
        children = psutil.Process(agent.process.pid).children()
        return [c.pid for c in children if any("elastic.agent.bootstrap" in w for w in c.cmdline())]
    except psutil.Error:
        return []
