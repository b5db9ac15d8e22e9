"""What goes wrong, and when: a schedule that a person can read, or one drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from elastic.testing.network import STORE
from elastic.testing.surroundings import Shape

if TYPE_CHECKING:
    from elastic.testing.agent import Seat, SimulatedAgent
    from elastic.testing.simulation import Simulation

__all__ = ["AT_ONCE", "KINDS", "LASTING", "Fault", "draw_faults"]


@dataclass(frozen=True)
class Fault:
    """At time `t` something happens to whom `target` counts among those it can happen to.

    `KINDS` names what can happen; what lasts lasts `seconds`.
    """

    t: float
    kind: str
    target: int = 0
    seconds: float = 0.0

    def strike(self, simulation: Simulation) -> None:
        """Let it happen."""
        if self.kind in LASTING:
            LASTING[self.kind](simulation, self.target, self.seconds)
        else:
            AT_ONCE[self.kind](simulation, self.target)


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


def _power_off(simulation: Simulation, target: int) -> None:
    """A host ends without a word: nobody is told by its kernel."""
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        agent = agents[target % len(agents)]
        _isolate(simulation, agent, 4.0)
        agent.crash()
        if target % 3:
            simulation.around.clock.after(4.0, lambda: simulation.restart(agent))


def _lose_lease(simulation: Simulation, target: int) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        agents[target % len(agents)].rendezvous.far.lose_leases()


def _compact(simulation: Simulation, target: int) -> None:
    """The store forgets its history while all watches are broken."""
    memory = simulation.around.memory
    for agent in simulation.around.agents:
        for watch in agent.rendezvous.far.watches:
            watch.reopen(simulation.around.rng.uniform(0, 1))
    simulation.around.clock.after(0.3, lambda: memory.compact(memory.range("").revision))


AT_ONCE: dict[str, Callable[[Simulation, int], None]] = {
    "kill worker": _kill_worker,
    "kill all workers": _kill_all_workers,
    "crash agent": _crash_agent,
    "crash all": _crash_all,
    "join": _join,
    "leave": _leave,
    "break connection": _break_connection,
    "flaky connection": _flaky_connection,
    "power off": _power_off,
    "lose lease": _lose_lease,
    "compact store": _compact,
}


# -- what lasts ---------------------------------------------------------------------------------


def _isolate(simulation: Simulation, agent: SimulatedAgent, seconds: float) -> None:
    network = simulation.around.network
    for host in sorted({other.host for other in simulation.around.agents} - {agent.host}):
        network.darken(agent.host, host, seconds)
        network.darken(host, agent.host, seconds)
    _hide_store(simulation, agent, seconds, ways=2)


def _hide_store(simulation: Simulation, agent: SimulatedAgent, seconds: float, ways: int) -> None:
    network = simulation.around.network
    if ways != 1:
        network.darken(STORE, agent.host, seconds)
    if ways != 0:
        network.darken(agent.host, STORE, seconds)
    agent.rendezvous.far.starve(simulation.around.clock.now + seconds)


def _isolate_host(simulation: Simulation, target: int, seconds: float) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        _isolate(simulation, agents[target % len(agents)], seconds)


def _part_from_store(simulation: Simulation, target: int, seconds: float) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        _hide_store(simulation, agents[target % len(agents)], seconds, ways=target % 3)


def _part_hosts(simulation: Simulation, target: int, seconds: float) -> None:
    """Two hosts no longer hear each other, or one no longer hears the other."""
    hosts = sorted({agent.host for agent in simulation.around.agents if agent.alive})
    if len(hosts) > 1:
        one = hosts.pop(target % len(hosts))
        other = hosts[target // 7 % len(hosts)]
        simulation.around.network.darken(one, other, seconds)
        if target % 2:
            simulation.around.network.darken(other, one, seconds)


def _stop_store(simulation: Simulation, target: int, seconds: float) -> None:
    """Nobody reaches the store; what is down ends no lease, and renews all when it is back."""
    simulation.around.network.darken(STORE, STORE, seconds)


def _slow_store(simulation: Simulation, target: int, seconds: float) -> None:
    for agent in simulation.around.agents:
        agent.rendezvous.far.slow_down(20.0, seconds)


def _stop_worker(simulation: Simulation, target: int, seconds: float) -> None:
    workers = _workers(simulation)
    if workers:
        worker = workers[target % len(workers)][1].worker
        worker.sleep(seconds)
        simulation.around.network.stopped(worker)


def _stop_agent(simulation: Simulation, target: int, seconds: float) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        agents[target % len(agents)].sleep(seconds)


def _stop_host(simulation: Simulation, target: int, seconds: float) -> None:
    agents = [agent for agent in simulation.around.agents if agent.alive]
    if agents:
        agent = agents[target % len(agents)]
        agent.sleep(seconds)
        for seat in agent.seats:
            seat.worker.sleep(seconds)
            simulation.around.network.stopped(seat.worker)


LASTING: dict[str, Callable[[Simulation, int, float], None]] = {
    "isolate host": _isolate_host,
    "part from store": _part_from_store,
    "part hosts": _part_hosts,
    "stop store": _stop_store,
    "slow store": _slow_store,
    "stop worker": _stop_worker,
    "stop agent": _stop_agent,
    "stop host": _stop_host,
}
KINDS = (*AT_ONCE, *LASTING)
_WEIGHTS = {
    "kill worker": 8,
    "kill all workers": 1,
    "crash agent": 3,
    "crash all": 1,
    "join": 4,
    "leave": 3,
    "break connection": 3,
    "flaky connection": 1,
    "power off": 2,
    "lose lease": 1,
    "compact store": 1,
    "isolate host": 2,
    "part from store": 2,
    "part hosts": 2,
    "stop store": 2,
    "slow store": 1,
    "stop worker": 2,
    "stop agent": 2,
    "stop host": 2,
}


def draw_faults(rng: Random, shape: Shape) -> tuple[Fault, ...]:
    """Return a schedule of up to eight faults; some come together."""
    faults, t = [], rng.uniform(0, 1.5)
    for _ in range(rng.choice((0, 1, 2, 3, 5, 8))):
        kind = rng.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        seconds = rng.choice((0.3, 2.0, 6.0)) * rng.uniform(0.5, 1.5) if kind in LASTING else 0.0
        faults.append(Fault(t, kind, rng.randrange(1000), seconds))
        t += rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.5), rng.uniform(0, 2)))
    return tuple(faults)
