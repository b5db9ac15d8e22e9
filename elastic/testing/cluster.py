"""A job of many workers in virtual time, with faults drawn from a seed.

Per agent one rendezvous core (under its real service), per worker one mailbox core and one training
core, over a toy model whose digest proves the order of every addition. The same seed gives the same
trace. After every event the invariants of the cores are checked; `Judge` checks the promises.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from elastic.rendezvous.record import RUNNING, Keys
from elastic.rendezvous.standing import told
from elastic.testing.agent import JOB, SimulatedAgent
from elastic.testing.faults import Fault
from elastic.testing.judge import SETTLED_S, Judge, Unjust
from elastic.testing.payloads import Checkpoint
from elastic.testing.scenario import Scenario
from elastic.testing.surroundings import Surroundings

__all__ = ["Failed", "Simulation"]

PATIENCE_S = 90.0
"""So long after the last fault everything must have ended."""
TRACE_LINES, TRACE_COLUMNS = 60, 240


class Failed(AssertionError):
    """A simulation broke a promise: seed, trace and stories."""


class Simulation:
    """One scenario, from the first agent to the end."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.around = Surroundings(scenario.job, scenario.shape, Random(scenario.seed))
        self.around.judge = Judge(self.around, Keys(JOB))
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
        last = max((fault.t + fault.seconds for fault in self.scenario.faults), default=0.0)
        clock.at(last + 1.0, self._ensure_enough)
        clock.at(last + SETTLED_S, self.around.judge.settled)
        while not self._is_over(last + 1.0) and clock.next(last + PATIENCE_S):
            pass
        if not self._is_over(last):
            raise Unjust(f"{PATIENCE_S:.0f} s after the last fault somebody is still stuck")
        self.around.judge.over()

    def _strike(self, fault: Fault) -> None:
        self.around.say("fault", fault.kind)
        record = self.around.judge.record
        self.around.judge.struck += record is None or record.status == RUNNING
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
                lines += ["", agent.address, told(agent.rendezvous.standing, last=12)]
        return "\n".join(
            line[:TRACE_COLUMNS] for text in lines for line in text.splitlines() or [""]
        )
