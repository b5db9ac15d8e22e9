"""A job of many workers in virtual time, with faults drawn from a seed.

Per agent one rendezvous core (under its real service), per worker one mailbox core and one training
core, over a toy model whose digest proves the order of every addition. The same seed gives the same
trace. After every event the invariants of the cores are checked; `Judge` checks the promises.

    python -m elastic.testing.simulation --seeds 0:500
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from random import Random

from elastic.rendezvous.record import RUNNING, Keys
from elastic.testing.agent import JOB, SimulatedAgent
from elastic.testing.faults import Fault, draw_faults
from elastic.testing.judge import Judge, Unjust
from elastic.testing.store import Troubles
from elastic.testing.surroundings import Shape, Surroundings
from elastic.testing.toy import ToyJob
from elastic.testing.worker import Checkpoint

__all__ = ["Failed", "Scenario", "Simulation", "draw_scenario", "main", "simulate"]

PATIENCE_S = 90.0
"""So long after the last fault everything must have ended."""
TRACE_LINES = 60


class Failed(AssertionError):
    """A simulation broke a promise: seed, trace and stories."""


@dataclass(frozen=True)
class Scenario:
    """One simulation: its seed, its job, its cluster and what goes wrong."""

    seed: int
    job: ToyJob
    shape: Shape
    faults: tuple[Fault, ...] = ()


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    rng = Random(seed)
    hosts, each = rng.choice(((1, 1), (1, 3), (2, 2), (3, 1), (3, 2), (5, 1)))
    least = rng.choice((1, 1, 1, 2, min(3, hosts * each)))
    most = rng.choice((None, None, None, max(least, hosts * each)))
    job = ToyJob(
        seed,
        steps=rng.randint(4, 12),
        leaves=rng.choice((1, 4, 6, 8)),
        hooks=rng.random() < 0.5,
        checkpoint_every=rng.choice((0, 0, 1, 3)),
        stop_before=rng.choice((0, 0, 0, 4)),
    )
    troubles = Troubles(repeats=rng.choice((0.0, 0.2)), silences=rng.choice((0.0, 0.0, 0.1)))
    shape = Shape(
        hosts,
        each,
        min(least, hosts * each),
        most,
        leaf_s=rng.choice(((0.01, 0.06), (0.001, 0.2))),
        message_s=rng.choice(((0.0005, 0.01), (0.001, 0.1))),
        troubles=troubles,
    )
    return Scenario(seed, job, shape, draw_faults(rng, shape))


class Simulation:
    """One scenario, from the first agent to the end."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.around = Surroundings(scenario.job, scenario.shape, Random(scenario.seed))
        self.around.judge = Judge(self.around, Keys(JOB).record)
        self._disks: dict[str, list[Checkpoint]] = {}
        self._starts: Counter[str] = Counter()

    def run(self) -> Judge:
        """Run to the end and return what was seen.

        Raises:
            Failed: a promise was broken; the text holds the seed, the trace and the stories.
        """
        try:
            self._run()
        except Exception as error:
            raise Failed(self._report(error)) from error
        return self.around.judge

    def _run(self) -> None:
        shape, clock = self.scenario.shape, self.around.clock
        for _ in range(shape.hosts):
            self.around.after((0, 0.5), self.add_agent)
        for fault in self.scenario.faults:
            clock.at(fault.t, lambda fault=fault: self._strike(fault))  # type: ignore[misc]
        last = max((fault.t for fault in self.scenario.faults), default=0.0)
        clock.at(last + 1.0, self._ensure_enough)
        while not self._is_over(last + 1.0) and clock.next(last + PATIENCE_S):
            pass
        if not self._is_over(last):
            raise Unjust(f"{PATIENCE_S:.0f} s after the last fault somebody is still stuck")
        self.around.judge.over()

    def _strike(self, fault: Fault) -> None:
        self.around.say("fault", fault.kind)
        fault.strike(self)

    def _is_over(self, not_before: float) -> bool:
        record = self.around.judge.record
        if self.around.clock.now <= not_before or record is None or record.status == RUNNING:
            return False
        return not any(worker.alive for worker in self.around.judge.workers)

    # -- agents --------------------------------------------------------------------------------

    def add_agent(self) -> None:
        """Start an agent on a host of its own."""
        self._start(f"h{len(self._disks)}")

    def restart(self, agent: SimulatedAgent) -> None:
        """Start an agent again on the host of a dead one, after a while."""
        host = self.around.host_of(agent.address)
        self.around.after((0.3, 6.0), lambda: self._start(host))

    def _start(self, host: str) -> None:
        disk = self._disks.setdefault(host, [])
        address = f"{host}.{self._starts[host]}"
        self._starts[host] += 1
        workers = self.scenario.shape.workers_a_host
        agent = SimulatedAgent(address, workers, disk, self.around)
        self.around.agents.append(agent)
        agent.start()

    def _ensure_enough(self) -> None:
        """After the last fault: if those that stay are too few, more come."""
        staying = [agent for agent in self.around.agents if agent.alive and not agent.leaving]
        shape = self.scenario.shape
        while len(staying) * shape.workers_a_host < shape.min_workers:
            self.add_agent()
            staying.append(self.around.agents[-1])

    # -- the report ----------------------------------------------------------------------------

    def _report(self, error: Exception) -> str:
        lines = [f"seed {self.scenario.seed}: {type(error).__name__}: {error}", ""]
        lines += [str(self.scenario), "", *self.around.trace[-TRACE_LINES:]]
        for worker in self.around.judge.workers:
            if worker.alive:
                lines += ["", worker.story()]
        for agent in self.around.agents:
            if agent.alive:
                lines += ["", agent.address, *agent.rendezvous.standing.story[-12:]]
        return "\n".join(lines)


def simulate(seed: int) -> Simulation:
    """Run the scenario of a seed and return it. Raises Failed."""
    simulation = Simulation(draw_scenario(seed))
    simulation.run()
    return simulation


def main(arguments: list[str] | None = None) -> int:
    """Run many seeds and print what happened in them; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="0:500", help="first:stop, or one (default 0:500)")
    parser.add_argument("--trace", action="store_true", help="print the trace of each")
    options = parser.parse_args(arguments)
    first, _, stop = options.seeds.partition(":")
    seen: Counter[str] = Counter()
    failed = []
    for seed in range(int(first), int(stop or int(first) + 1)):
        try:
            simulation = simulate(seed)
        except Failed as failure:
            failed.append(seed)
            print(failure if len(failed) == 1 else str(failure).splitlines()[0])
            continue
        if options.trace:
            print("\n".join(simulation.around.trace))
        _count(simulation, seen)
    print(", ".join(f"{seen[what]} {what}" for what in seen))
    print(f"failed: {failed}" if failed else "all well")
    return 1 if failed else 0


def _count(simulation: Simulation, seen: Counter[str]) -> None:
    judge = simulation.around.judge
    seen["jobs"] += 1
    seen["faults"] += len(simulation.scenario.faults)
    seen["generations"] += judge.record.generation if judge.record else 0
    seen["leaves computed again"] += judge.recomputed
    seen["members readmitted"] += judge.readmitted


if __name__ == "__main__":
    raise SystemExit(main())
