"""A soak: random faults against real jobs. Whatever happens, each must end with the same bits.

    python tests/e2e/soak.py --seeds 0:20

A seed draws how many agents and workers there are and what is done to them, when. The same seed
draws the same schedule; where exactly it strikes is the machine's to decide, so a failing seed may
need some repetitions. After a failure all that is known of it is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("ELASTIC_TEST", str(os.getpid()))

import psutil

from elastic.audit import verify
from tests.e2e.job import Agent, Jobs
from tests.etcd import etcd_server

LIMIT_S = 60.0
EPOCHS = ("--epochs=10",)
PACE = ("--pace=0.015",)
FAULTS = {
    "kill a worker": 6,
    "kill rank 0": 3,
    "kill two workers": 3,
    "kill all workers of an agent": 1,
    "kill an agent": 2,
    "terminate an agent": 2,
    "start an agent": 4,
}
"""How often each is drawn."""


@dataclass(frozen=True)
class Fault:
    """Do `what` when `after_s` have passed since the fault before; `whom` lies in [0, 1)."""

    after_s: float
    what: str
    whom: float
    workers: int

    def __str__(self) -> str:
        return f"after {self.after_s:.3f} s {self.what} ({self.whom:.3f}, {self.workers} workers)"


@dataclass(frozen=True)
class Schedule:
    """What a seed does."""

    first: tuple[int, ...]
    """Workers of each agent that the job begins with."""
    faults: tuple[Fault, ...]
    checkpoints: bool

    def __str__(self) -> str:
        lines = [f"agents of {self.first} workers, checkpoints: {self.checkpoints}"]
        return "\n  ".join([*lines, *map(str, self.faults)])


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)
    first = tuple(rng.randint(1, 3) for _ in range(rng.randint(2, 3)))
    faults = tuple(_fault(rng) for _ in range(rng.randint(2, 7)))
    return Schedule(first, faults, checkpoints=rng.random() < 0.3)


def _fault(rng: random.Random) -> Fault:
    # Half of the faults fall into the recovery from the one before.
    after_s = rng.uniform(0.0, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, 2.0)
    (what,) = rng.choices(list(FAULTS), list(FAULTS.values()))
    return Fault(after_s, what, rng.random(), rng.randint(1, 3))


class Run:
    """One job and what is done to it."""

    def __init__(self, jobs: Jobs, store: str, schedule: Schedule):
        self.jobs, self.store, self.schedule = jobs, store, schedule
        self.done: list[str] = []
        """What was done, when and to whom."""
        self._hurt: dict[Agent, tuple[int, ...]] = {}
        """Agents that were ended, with the exit codes that they may have."""
        self._began = time.monotonic()

    def play(self) -> None:
        """Return when all agents have ended."""
        for workers in self.schedule.first:
            self._start(workers)
        self._wait_for_training()
        for fault in self.schedule.faults:
            time.sleep(fault.after_s)
            if not self._living():
                break
            self._strike(fault)
        for agent in self.jobs.agents:
            self._wait(agent)

    def check(self, reference: dict[str, Any]) -> None:
        """All that were left alone ended well, and with the bits of the reference."""
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

    def abandon(self) -> None:
        """End all agents at once."""
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
            "terminate an agent": lambda fault: self._end(fault, signal.SIGTERM),
            "start an agent": lambda fault: self._start(fault.workers),
        }
        did = strikes[fault.what](fault)
        self._note(f"{fault.what}: {did}")

    def _start(self, workers: int) -> str:
        args = EPOCHS + PACE
        if self.schedule.checkpoints:
            args += (f"--checkpoint-dir={self.jobs.folder / 'checkpoints'}",)
        flags = (f"--nproc-per-node={workers}", "--max-restarts=100")
        agent = self.jobs.start(*flags, args=args, store=self.store)
        return f"{workers} workers, agent pid {agent.process.pid}"

    def _end(self, fault: Fault, number: signal.Signals) -> str:
        if len([agent for agent in self._living() if agent not in self._hurt]) < 2:
            return "no agent, since one must be left alone"
        agent = self._pick(fault)
        self._hurt[agent] = (-number, 128 + number)  # the first: before it listened for signals
        agent.process.send_signal(number)
        return f"agent pid {agent.process.pid}"

    def _kill(self, pids: list[int]) -> str:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return f"pids {pids}"

    def _living(self) -> list[Agent]:
        return [agent for agent in self.jobs.agents if agent.process.poll() is None]

    def _pick(self, fault: Fault) -> Agent:
        """An agent that was not hurt, if there are two; the last one must end well."""
        living = [agent for agent in self._living() if agent not in self._hurt] or self._living()
        return living[int(fault.whom * len(living))]

    def _some_workers(self, fault: Fault, count: int) -> list[int]:
        pids = [pid for agent in self._living() for pid in workers_of(agent)]
        first = int(fault.whom * len(pids))
        return [*pids[first:], *pids[:first]][:count]

    def _rank_0(self) -> list[int]:
        synced = [event for agent in self._living() for event in agent.all("sync")]
        newest = max((event for event in synced if event["rank"] == 0), key=_age, default=None)
        living = {pid for agent in self._living() for pid in workers_of(agent)}
        return [newest["pid"]] if newest and newest["pid"] in living else []

    # -- waiting -------------------------------------------------------------------------------

    def _wait_for_training(self) -> None:
        while not any(agent.all("step") for agent in self.jobs.agents):
            self._check_time("the first step")
            time.sleep(0.02)

    def _wait(self, agent: Agent) -> None:
        while agent.process.poll() is None:
            self._check_time(f"the end of agent pid {agent.process.pid}")
            time.sleep(0.02)

    def _check_time(self, what: str) -> None:
        passed_s = time.monotonic() - self._began
        assert passed_s < LIMIT_S, f"waited for {what}, {passed_s:.0f} s after the start"

    def _note(self, text: str) -> None:
        self.done.append(f"{time.monotonic():.3f} {text}")


def _age(event: dict[str, Any]) -> tuple[int, float]:
    return event["generation"], event["t"]


def workers_of(agent: Agent) -> list[int]:
    """Return the process ids of an agent's workers."""
    try:
        children = psutil.Process(agent.process.pid).children()
        return [c.pid for c in children if any("elastic.agent.bootstrap" in w for w in c.cmdline())]
    except psutil.Error:
        return []


def tell(run: Run) -> None:
    """Print all that is known of a failed run."""
    print("\n".join(["-- done, on CLOCK_MONOTONIC", *run.done]))
    for at, agent in enumerate(run.jobs.agents):
        print(f"-- agent {at}, pid {agent.process.pid}, exit {agent.process.poll()}")
        print(agent.output)
        agent.poll_events()
    print("-- events of all agents")
    events = [(event["t"], at, event) for at, a in enumerate(run.jobs.agents) for event in a.seen]
    for t, at, event in sorted(events, key=lambda each: each[:2]):
        rest = {name: value for name, value in event.items() if name not in ("t", "event")}
        print(f"{t:.3f} agent {at} {event['event']} {rest}")


def soak(seed: int, reference: dict[str, Any]) -> bool:
    """Return whether the run of a seed ended as it must; tell about it if not."""
    schedule, began = draw(seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="elastic-soak-") as folder:
        jobs = Jobs(Path(folder))
        with etcd_server() as etcd:
            run = Run(jobs, etcd.endpoint, schedule)
            error = _trouble(run, reference)
            if error:
                print(f"seed {seed} FAILED: {error}\n{schedule}")
                tell(run)
                run.abandon()
        jobs.close()
    if not error:
        took_s = time.monotonic() - began
        print(f"seed {seed} passed in {took_s:.1f} s: {len(run.done)} faults", flush=True)
    return not error


def _trouble(run: Run, reference: dict[str, Any]) -> Exception | None:
    try:
        run.play()
        run.check(reference)
    except Exception as error:  # noqa: BLE001  # whatever it was, the next seed is run
        return error
    return None


def undisturbed() -> dict[str, Any]:
    """Return the report of a run on one worker that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="elastic-soak-") as folder:
        jobs = Jobs(Path(folder))
        agent = jobs.start("--nproc-per-node=1", args=EPOCHS)
        assert agent.wait() == 0, agent.output
        report = agent.report
        jobs.close()
    return report


def main() -> None:
    """Soak the seeds that the command line names; exit 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:20", metavar="FIRST:END")
    first, _, end = parser.parse_args().seeds.partition(":")
    reference = undisturbed()
    failed = [seed for seed in range(int(first), int(end)) if not soak(seed, reference)]
    print(f"failed: {failed}" if failed else "all passed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
