"""A simulated agent: the real rendezvous service without its thread, and the care for workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from elastic import control
from elastic.errors import ProtocolError
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.service import RELIST_S, Rendezvous, Site
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import invariants
from elastic.testing.clock import Lane
from elastic.testing.inbox import LaneInbox
from elastic.testing.network import STORE, host_of
from elastic.testing.payloads import Checkpoint
from elastic.testing.store import FarStore, Troubles
from elastic.testing.surroundings import Surroundings
from elastic.testing.worker import SimulatedWorker
from elastic.world import Member

__all__ = ["SimulatedAgent", "SimulatedRendezvous"]

JOB = "simulated"
PROBE_S = 0.9
"""After so long without an answer a suspect whose agent is silent too is dead."""


class SimulatedRendezvous(Rendezvous):
    """The service as it is, in virtual time: the clock calls what its thread would."""

    def __init__(self, agent: SimulatedAgent, around: Surroundings):
        self._around, self._agent = around, agent
        lane = Lane(around.clock, around.rng, (0.0001, 0.003), lambda: agent.asleep_until)
        shape, network = around.shape, around.network
        self.far = FarStore(
            around.memory,
            around.clock,
            around.rng,
            lane.hold,
            shape.troubles,
            lambda: max(network.dark_until(host, STORE) for host in (agent.host, STORE)),
            lambda: network.dark_until(STORE, agent.host),
        )
        rate = shape.clock_rates[len(around.agents) % len(shape.clock_rates)]
        self._rate, self._began_at = rate, 1000.0 * rate  # each has another time of day
        super().__init__(
            self.far,
            Site(JOB, agent.address, shape.lease_ttl_s, "token"),
            Settings(shape.min_workers, shape.max_workers),
            agent.deliver,
            agent.judge,
        )
        self._clock = lambda: self._began_at + rate * around.clock.now
        self._inbox = LaneInbox(lane, self._take)  # type: ignore[assignment]

    def begin(self) -> None:
        """Do what `start` does; the store answers when an agent starts, or it would not start."""
        troubles, self.far.troubles = self.far.troubles, Troubles()
        self._check_token()
        self.post(self._listed())
        self.far.troubles = troubles
        self._relist()

    def then(self, act: Callable[[], None]) -> None:
        """Do something after all that was posted so far."""
        self._inbox.put(act)

    def _relist(self) -> None:
        if self._agent.alive:
            self._inbox.put(self._look_again)
            self._around.clock.after(RELIST_S, self._relist)

    def _take(self, item: Any) -> None:
        if not self._agent.alive:
            return
        event = item() if callable(item) else item
        if event is not None:
            self._step(event)

    def _decide(self, event: Any) -> tuple[Any, ...]:
        self._around.say(self._agent.address, event)
        commands = super()._decide(event)
        invariants(self.standing)
        return commands

    def _ask(self, command: do.Probe) -> None:
        self._around.after((0.001, 0.05), lambda: self._agent.look_at(command))

    def _wake(self, command: do.WakeAt) -> None:
        self._do_wake(command)
        self._around.clock.at((command.t - self._began_at) / self._rate, self._ring)

    def _ring(self) -> None:
        if self._wake_at is not None and self._clock() >= self._wake_at - 1e-9:
            self._wake_at = None
            self.post(ev.Tick())

    def _hello(self, command: do.Greet) -> None:
        self._around.after((0.001, 0.05), lambda: self.post(self._greeted(command.agents)))

    def _greeted(self, agents: tuple[str, ...]) -> ev.Greeted:
        around, here = self._around, self._agent.host
        living = {
            agent.address
            for agent in around.agents
            if agent.alive and not around.network.is_dark(here, agent.host)
        }
        failed = tuple(agent for agent in agents if agent not in living)
        reached = tuple(agent for agent in agents if agent in living)
        return ev.Greeted(reached, failed, "no answer" if failed else "")

    _handlers: ClassVar[dict[type, Callable[..., Any]]] = {
        **Rendezvous._handlers,
        do.Probe: _ask,
        do.Greet: _hello,
        do.WakeAt: _wake,
    }


@dataclass
class Seat:
    """A worker as its agent sees it."""

    worker: SimulatedWorker
    up: Lane
    down: Lane
    member: str = ""
    inside: bool = False

    def say(self, message: Any) -> None:
        """Tell the worker."""
        self.down.send(lambda: self.worker.awake(lambda: self.worker.hear(message)))


class SimulatedAgent:
    """One agent and its workers."""

    def __init__(self, address: str, workers: int, disk: list[Checkpoint], around: Surroundings):
        self.address, self.disk, self.around = address, disk, around
        self.host = host_of(address)
        self.alive = True
        self.asleep_until = 0.0
        self.leaving = ""
        self.over = False
        self.seats: list[Seat] = []
        self._wanted = workers
        self._born = self._admitted = 0
        self.rendezvous = SimulatedRendezvous(self, around)

    def start(self) -> None:
        """Read the store, as soon as it answers, and start the workers."""
        if self.rendezvous.far.is_dark():
            self.around.clock.after(0.5, self.start)
            return
        self.around.say(self.address, "starts")
        self.rendezvous.begin()
        for _ in range(self._wanted):
            self._spawn()

    def _spawn(self) -> None:
        if not self.alive or self.leaving or self.over:
            return
        around, pipe = self.around, self.around.shape.message_s
        self._born += 1
        worker = SimulatedWorker(f"{self.address}:{self._born}", around, self.disk)
        up = Lane(around.clock, around.rng, pipe, lambda: self.asleep_until)
        down = Lane(around.clock, around.rng, pipe)
        seat = Seat(worker, up, down)
        worker.tell = lambda message: up.send(lambda: self._hear(seat, message))
        worker.exited = lambda why, again: up.send(lambda: self._saw_exit(seat, why, again))
        self.seats.append(seat)
        around.judge.workers.append(worker)
        around.network.processes[worker.address] = worker
        around.after(around.shape.start_s, lambda: worker.awake(worker.start))

    # -- what workers say ----------------------------------------------------------------------

    def _hear(self, seat: Seat, message: Any) -> None:
        if not self.alive:
            return
        match message:
            case control.Ready():
                self._admit([seat])
            case control.Suspect(generation, id, reason):
                self.around.judge.doubted |= {id, seat.member}
                self.post(ev.Suspected(generation, id, seat.member, reason))
            case control.Boundary(generation, step, joins, leaves):
                self.post(ev.BoundaryReached(generation, step, joins, leaves))
            case control.Finished(generation, result):
                self.post(ev.WorkersFinished(generation, result))
            case _:
                raise ProtocolError(f"an agent was told {message}")

    def _admit(self, seats: list[Seat]) -> None:
        if self.leaving:
            for seat in seats:
                self.kill(seat, "its agent leaves")
            return
        for seat in seats:
            self._admitted += 1
            seat.member, seat.inside = f"{self.address}-{self._admitted}", False
            seat.say(control.Admission(seat.member, self.around.shape.min_workers))
        members = [Member(seat.member, seat.worker.address, self.address) for seat in seats]
        self.post(ev.WorkersReady(tuple(members)))

    def post(self, event: Any) -> None:
        """Give the rendezvous an event, as long as the agent lives."""
        if self.alive:
            self.rendezvous.post(event)

    # -- what the rendezvous says --------------------------------------------------------------

    def deliver(self, command: Any) -> None:
        """Pass on what is for the workers."""
        self.around.say(self.address, f"says {command}")
        match command:
            case do.TellGroup():
                self._tell_group(command)
            case do.TellCandidates(candidates):
                for seat in self._living():
                    if seat.inside:
                        seat.say(control.Candidates(candidates))
            case do.Readmit(ids):
                self.around.judge.readmitted += len(ids)
                self._admit([seat for seat in self._living() if seat.member in ids])
            case do.TellOver(result, cause):
                self.over = True
                over = control.JobDone(result) if result else control.JobFailed(cause)
                for seat in self._living():
                    seat.say(over)

    def _tell_group(self, command: do.TellGroup) -> None:
        record = command.record
        group = control.Group(
            record.generation,
            command.members,
            record.cause,
            command.paused,
            record.planned,
            record.lost,
        )
        for seat in self._living():
            if seat.member in command.ids:
                seat.inside = seat.member in record.ids
                seat.say(group)

    def look_at(self, probe: do.Probe) -> None:
        """Judge a suspect; who does not answer is asked again for a while (M6)."""
        target = self._find(probe.member.id)
        if target is None or not self._is_silent(*target):
            self.post(self.judge(probe))
        else:
            self.around.clock.after(PROBE_S, lambda: self.post(self.judge(probe)))

    def judge(self, probe: do.Probe) -> ev.Verdict:
        """Answer truthfully whether a member lives, as far as it can be seen from here."""
        target = self._find(probe.member.id)
        silent = target is not None and self._is_silent(*target)
        reason = "it is dead" if target is None else "it is silent" if silent else "it lives"
        dead = target is None or silent
        if silent:
            self.around.judge.doubted |= {probe.member.id, probe.by}
        return ev.Verdict(probe.generation, probe.member.id, probe.by, dead, reason, silent)

    def _find(self, id: str) -> tuple[SimulatedAgent, Seat] | None:
        for agent in self.around.agents:
            for seat in agent.seats:
                if seat.member == id and seat.worker.alive and agent.alive:
                    return agent, seat
        return None

    def _is_silent(self, agent: SimulatedAgent, seat: Seat) -> bool:
        stopped = agent.asleep_until > self.around.clock.now and seat.worker.asleep is not None
        return stopped or self.around.network.is_dark(self.host, agent.host)

    # -- life and death ------------------------------------------------------------------------

    def kill(self, seat: Seat, reason: str) -> None:
        """End a worker with SIGKILL; its exit is seen after its last words."""
        if seat.worker.alive:
            self.around.say(seat.worker.address, f"is killed: {reason}")
            seat.worker.die()
            seat.up.send(lambda: self._saw_exit(seat, reason, True))

    def _saw_exit(self, seat: Seat, reason: str, again: bool) -> None:
        if not self.alive:
            return
        self.seats.remove(seat)
        if seat.member:
            self.post(ev.WorkerExited(seat.member, reason))
        if again and not self.leaving:
            self.around.after((0.2, 1.0), self._spawn)
        elif not self.seats:
            self.around.after((0.05, 0.1), self._go)

    def _go(self) -> None:
        if self.alive:
            self.around.say(self.address, "is gone")
            self.alive = False
            self.rendezvous.close()

    def sleep(self, seconds: float) -> None:
        """Be stopped for so long, as SIGSTOP does; the leases are not renewed."""
        self.asleep_until = max(self.asleep_until, self.around.clock.now + seconds)
        self.rendezvous.far.starve(self.asleep_until)

    def crash(self) -> None:
        """End the agent and, by their parent-death signal, its workers."""
        self.around.say(self.address, "crashes")
        self.alive = False
        self.rendezvous.far.abandon()
        for seat in self._living():
            seat.worker.die()

    def leave(self, reason: str) -> None:
        """Leave after a step (S4); who is in no group goes at once."""
        self.around.say(self.address, f"leaves: {reason}")
        self.leaving = reason
        self.post(ev.LeaveAsked(reason))
        self.rendezvous.then(self._ask_to_leave)

    def _ask_to_leave(self) -> None:
        together = tuple(seat.member for seat in self._living() if seat.inside)
        for seat in self._living():
            if seat.inside:
                seat.say(control.LeaveRequest(self.leaving, together))
            else:
                self.kill(seat, "its agent leaves")
        if not self.seats:
            self._go()

    def _living(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.worker.alive]
