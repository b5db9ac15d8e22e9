"""What goes wrong, and when: a schedule that a person can read, or one drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from elastic.testing.surroundings import Shape

if TYPE_CHECKING:
    from elastic.testing.agent import Seat, SimulatedAgent
    from elastic.testing.simulation import Simulation

__all__ = ["KINDS", "Fault", "draw_faults"]


@dataclass(frozen=True)
class Fault:
    """At time `t` something happens to whom `target` counts among those it can happen to.

    Kinds: kill worker, crash agent, crash all, kill all workers, join, leave, break connection,
    flaky connection.
    """

    t: float
    kind: str
    target: int = 0

    def strike(self, simulation: Simulation) -> None:
        """Let it happen."""
        KINDS[self.kind](simulation, self.target)


def _workers(simulation: Simulation) -> list[tuple[SimulatedAgent, Seat]]:
    return [
        (agent, seat)
        for agent in simulation.around.agents
        if agent.alive
        for seat in agent.seats
        if seat.worker.alive
    ]


def _kill_worker(simulation: Simulation, target: int) -> None:
    workers = _workers(simulation)
    if workers:
        agent, seat = workers[target % len(workers)]
        agent.kill(seat, "a fault")


def _kill_all_workers(simulation: Simulation, target: int) -> None:
    for agent, seat in _workers(simulation):
        agent.kill(seat, "a fault")


def _crash_agent(simulation: Simulation, target: int) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        agent = agents[target % len(agents)]
        agent.crash()
        if target % 3:  # one host in three stays away
            simulation.restart(agent)


def _crash_all(simulation: Simulation, target: int) -> None:
    for agent in [agent for agent in simulation.around.agents if agent.alive]:
        agent.crash()
        simulation.restart(agent)


def _join(simulation: Simulation, target: int) -> None:
    simulation.add_agent()


def _leave(simulation: Simulation, target: int) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive and not agent.leaving]
    if agents:
        agents[target % len(agents)].leave("asked to")


def _break_connection(simulation: Simulation, target: int) -> None:
    workers = [seat.worker for _, seat in _workers(simulation)]
    if len(workers) > 1:
        one = target % len(workers)
        other = (one + 1 + target // len(workers) % (len(workers) - 1)) % len(workers)
        simulation.around.say("network", f"{workers[one].address} - {workers[other].address} broke")
        simulation.around.network.broke(workers[one], workers[other])


def _flaky_connection(simulation: Simulation, target: int) -> None:
    """One connection breaks again and again."""
    for i in range(6):
        simulation.around.clock.after(0.4 * i, lambda: _break_connection(simulation, target))


KINDS: dict[str, Callable[[Simulation, int], None]] = {
    "kill worker": _kill_worker,
    "kill all workers": _kill_all_workers,
    "crash agent": _crash_agent,
    "crash all": _crash_all,
    "join": _join,
    "leave": _leave,
    "break connection": _break_connection,
    "flaky connection": _flaky_connection,
}
_WEIGHTS = {
    "kill worker": 8,
    "kill all workers": 1,
    "crash agent": 3,
    "crash all": 1,
    "join": 4,
    "leave": 3,
    "break connection": 3,
    "flaky connection": 1,
}


def draw_faults(rng: Random, shape: Shape) -> tuple[Fault, ...]:
    """Return a schedule of up to eight faults; some come together."""
    faults, t = [], rng.uniform(0, 1.5)
    for _ in range(rng.choice((0, 1, 2, 3, 5, 8))):
        kind = rng.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        faults.append(Fault(t, kind, rng.randrange(1000)))
        t += rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.5), rng.uniform(0, 2)))
    return tuple(faults)
