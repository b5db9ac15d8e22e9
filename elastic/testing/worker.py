"""A simulated worker: the real training core and the real mailbox core around a toy model.

It does in virtual time what `elastic.training.loop` does in a process: one command of the core at a
time, while what its agent says and what its peers send arrives in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from elastic import audit, control
from elastic.collectives import core as mailbox
from elastic.testing.lending import Loans
from elastic.testing.payloads import Checkpoint, Feed, Lent, Message, Result, Share
from elastic.testing.surroundings import Surroundings
from elastic.testing.toy import digest
from elastic.training import commands as do
from elastic.training import core
from elastic.training import events as ev
from elastic.training.agreement import Plan, combine

__all__ = ["SimulatedWorker"]


@dataclass
class SimulatedWorker:
    """One worker process, from its birth to its end."""

    address: str
    around: Surroundings
    disk: list[Checkpoint]
    tell: Callable[[Any], None] = print
    """Say something to the agent."""
    exited: Callable[[str, bool], None] = print
    """Let the agent see that this process has ended, and whether it must be started again."""
    alive: bool = True
    id: str = ""
    told: control.Group | None = None
    """The group this worker is in, or was in last."""
    state: str = ""
    inbox: list[Any] = field(default_factory=list)
    todo: deque[Any] = field(default_factory=deque)
    doing: Any = None
    awaiting: bool = False
    held: dict[int, str] = field(default_factory=dict)
    held_of: tuple[int, str] = (0, "")
    reduced: Result | None = None
    last: Result | None = None
    last_line: dict[str, Any] | None = None
    before_hooks: tuple[int, str] = (0, "")
    """The step whose hooks were begun last, and the State before them."""
    rounds: int = 0
    gathered: Callable[[dict[str, Any]], None] | None = None
    payloads: dict[tuple[int, str, mailbox.Key], Any] = field(default_factory=dict)
    asleep: list[Callable[[], None]] | None = None
    """While the process is stopped: what it will do when it runs again."""

    def __post_init__(self) -> None:
        self.host = self.around.host_of(self.address)
        self.job = self.around.core_job
        self.state = self.around.job.begin
        newest = max(self.disk, key=lambda c: (c.step, c.generation), default=None)
        self.offered = newest
        offer = (newest.step, newest.generation) if newest else None
        self.training = core.Standing(offer=offer)
        self.mail = mailbox.Standing()
        self.loans = Loans(self)
        self.todo.append(do.Await())

    # -- the outside ---------------------------------------------------------------------------

    def start(self) -> None:
        """Enter elastic.train."""
        if not self.alive:
            return
        self.tell(control.Ready(self.address))
        self._go_on()

    def hear(self, message: Any) -> None:
        """Take what the agent says; what must not wait interrupts at once."""
        if not self.alive:
            return
        self.inbox.append(message)
        if isinstance(message, control.Group) and not message.planned:
            self._post(mailbox.Interrupted(message.generation, message.cause))
        elif _ends(message):
            self._post(mailbox.Interrupted(self.mail.generation + 1, type(message).__name__))
        self._go_on()

    def receive(self, message: Any) -> None:
        """Take what a peer sends."""
        if not isinstance(message, Message):
            self.loans.receive(message)
            return
        name = (message.generation, message.source, message.key)
        self.payloads.setdefault(name, message.payload)
        self._post(mailbox.Arrived(*name))

    def lose(self, address: str, reason: str) -> None:
        """A connection broke."""
        self.loans.lose(address)
        id = self._peer(address)
        if id is not None:
            self._post(mailbox.PeerLost(self.mail.generation, id, f"{address} {reason}"))

    def part(self, address: str) -> None:
        """A peer said goodbye."""
        id = self._peer(address)
        if id is not None:
            self._post(mailbox.Left(id))

    def awake(self, act: Callable[[], None]) -> None:
        """Do this now, or when the process runs again."""
        if self.asleep is None:
            act()
        else:
            self.asleep.append(act)

    def sleep(self, seconds: float) -> None:
        """Be stopped for so long, as SIGSTOP does: what comes in the meantime waits."""
        if self.asleep is None:
            self.asleep = []
            self.around.clock.after(seconds, self._wake)

    def _wake(self) -> None:
        waiting, self.asleep = self.asleep, None
        for act in waiting or ():
            if self.alive:
                act()

    def _after(self, seconds: tuple[float, float], act: Callable[[], None]) -> None:
        self.around.after(seconds, lambda: self.awake(act))

    def die(self) -> None:
        """End at once, as SIGKILL does."""
        self.alive = False
        self.around.network.died(self)

    def story(self) -> str:
        """Return how it came here."""
        lines = [f"{self.address} is {self.id}, step {self.training.applied}, doing {self.doing}"]
        lines += [f"  {phase.name} {event}" for phase, event in self.training.story[-12:]]
        lines += [f"  mailbox {phase.value}: {event}" for phase, event in self.mail.story[-6:]]
        return "\n".join(lines)

    def _peer(self, address: str) -> str | None:
        if self.told is None:
            return None
        return next((m.id for m in self.told.members if m.address == address), None)

    # -- one command after the other -----------------------------------------------------------

    def look(self) -> None:
        """Something is in the inbox: take it, if this worker waits for it."""
        if isinstance(self.doing, do.CatchUp):
            self._do_catchup(self.doing)
        else:
            self._go_on()

    def _go_on(self) -> None:
        while self.alive and self.doing is None and (self.todo or self.awaiting):
            if not self.todo:
                if not self._listen():
                    return
                continue
            command = self.todo.popleft()
            if isinstance(command, do.Await):
                self.awaiting = True
            else:
                self._do(command)

    def _do(self, command: Any) -> None:
        self.doing = command
        getattr(self, f"_do_{type(command).__name__.lower()}")(command)

    def _done(self, event: Any) -> None:
        if self.alive:
            self.doing = None
            self._decide(event)
            self._go_on()

    def _decide(self, event: Any) -> None:
        self.training, commands = core.step(self.training, event, self.job)
        core.invariants(self.training, self.job)
        self.todo.extend(commands)

    # -- waiting -------------------------------------------------------------------------------

    def _listen(self) -> bool:
        """Take one message of the agent while waiting; return whether there was one."""
        if not self.inbox:
            return False
        # An admission first: the groups told before it were for the member it was then.
        admitted = [i for i, m in enumerate(self.inbox) if isinstance(m, control.Admission)]
        if admitted:
            del self.inbox[: admitted[-1]]
        message = self.inbox.pop(0)
        if isinstance(message, control.Group):
            self._formed(message)
        elif isinstance(message, control.JobDone):
            self._over(message.result)
        else:
            self._told(message)
        return True

    def _told(self, message: Any) -> None:
        if isinstance(message, control.Admission):
            self.id, self.told = message.id, None
            self.loans.renamed()
            self._decide(ev.Admitted(message.id, message.min_workers))
        elif isinstance(message, control.Candidates):
            self._decide(ev.CandidatesSeen(message.candidates))
        elif isinstance(message, control.LeaveRequest):
            self._decide(ev.LeaveAsked(message.ids))
        elif isinstance(message, ev.NewcomerAt):
            self._decide(message)
        elif isinstance(message, Lent | Feed):
            event = self.loans.event(message)
            if event is not None:
                self._decide(event)
        else:
            raise AssertionError(f"{self.address} was told {message}")

    def _formed(self, group: control.Group) -> None:
        newer = [m for m in self.inbox if isinstance(m, control.Group)]
        self.inbox = [m for m in self.inbox if m not in newer]
        group = max([group, *newer], key=lambda group: group.generation)
        ids = tuple(member.id for member in group.members)
        rank = ids.index(self.id) if self.id in ids else -1
        self.told, self.awaiting = group, False
        self._decide(ev.Formed(group.generation, ids, rank, group.paused))

    def _hear(self) -> None:
        asides = (control.Candidates, control.LeaveRequest, ev.NewcomerAt)
        for message in [m for m in self.inbox if isinstance(m, asides)]:
            self.inbox.remove(message)
            self._told(message)

    def _over(self, result: dict[str, Any]) -> None:
        if self.training.lineage and result["steps"] == self.training.applied:
            self.around.judge.ended(self, result)
        self._leave("the job is done")

    def _leave(self, why: str) -> None:
        self.around.say(self.address, f"exits: {why}")
        self.around.network.goodbye(self)
        self.alive, self.awaiting = False, False
        self.exited(why, False)

    def _start_again(self, why: str) -> None:
        self.around.say(self.address, f"starts again: {why}")
        self.die()
        self.exited(why, True)

    # -- rounds --------------------------------------------------------------------------------

    def _round(
        self,
        outgoing: dict[str, Any],
        sources: tuple[str, ...],
        then: Callable[[dict[str, Any]], None],
    ) -> None:
        assert self.told is not None
        key = ("round", self.rounds)
        self.rounds += 1
        for member in self.told.members:
            if member.id in outgoing and self.mail.phase is mailbox.Phase.INSIDE:
                message = Message(self.mail.generation, self.id, key, outgoing[member.id])
                self.around.network.send(self, member.address, message)
        self.gathered = then
        self._post(mailbox.Awaited(key, sources))

    def _gather(self, mine: Any, then: Callable[[tuple[Any, ...]], None]) -> None:
        """Everybody tells everybody; `then` has what all said, in rank order."""
        peers = tuple(id for id in self.training.ids if id != self.id)

        def ordered(got: dict[str, Any]) -> None:
            then(tuple(mine if id == self.id else got[id] for id in self.training.ids))

        self._round(dict.fromkeys(peers, mine), peers, ordered)

    def _post(self, event: mailbox.Event) -> None:
        self.mail, commands = mailbox.step(self.mail, event)
        mailbox.invariants(self.mail)
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: mailbox.Command) -> None:
        match command:
            case mailbox.Deliver(generation, key, sources):
                got = {source: self.payloads.pop((generation, source, key)) for source in sources}
                then, self.gathered = self.gathered, None
                assert then is not None
                then(got)
            case mailbox.Abort():
                if self.gathered is not None:
                    self.gathered = None
                    self.around.judge.aborted += 1
                    self._done(ev.Interrupted())
                elif isinstance(self.doing, do.CatchUp):
                    self._done(ev.Interrupted())
            case mailbox.Suspect(generation, id, reason):
                self.tell(control.Suspect(generation, id, reason, self.around.clock.now))
            case mailbox.Forget(names):
                for name in names:
                    del self.payloads[name]
            case mailbox.Refuse(generation, source, key):
                name = (generation, source, key)
                if name not in self.mail.parked:
                    del self.payloads[name]

    # -- coming level --------------------------------------------------------------------------

    def _do_meet(self, command: do.Meet) -> None:
        assert self.told is not None
        peers = tuple(m for m in self.told.members if m.id != self.id)
        self._post(mailbox.Entered(self.told.generation, tuple(m.id for m in peers)))
        self.rounds = 0
        for member in peers:
            self.around.network.connect(self, member.address)
        self._gather(command.answer, lambda answers: self._done(ev.Met(answers)))

    def _do_move(self, command: do.Move) -> None:
        plan, lineage, state = command.plan, command.plan.lineage, self.state
        if plan.rerun and self.training.lineage and self.before_hooks[0] == plan.top:
            state = self.before_hooks[1]  # hooks of which some were aborted begin again
        if plan.load == self.id:
            assert self.offered is not None
            lineage, state = self.offered.lineage, self.offered.state
        elif not lineage and self.id not in plan.state:
            if self.training.applied:
                self._start_again("the job begins anew, and this State is of a later step")
                return
            lineage = digest(state)
        outgoing: dict[str, Any] = {}
        outgoing |= {id: (lineage, state) for id, by in plan.state.items() if by == self.id}
        outgoing |= {id: self.last for id, by in plan.result.items() if by == self.id}
        sources = tuple(each[self.id] for each in (plan.state, plan.result) if self.id in each)
        self._round(outgoing, sources, lambda got: self._moved(plan, lineage, state, got))

    def _moved(self, plan: Plan, lineage: str, state: str, got: dict[str, Any]) -> None:
        self.state = state  # not before: an aborted move must leave everything as it was
        if plan.load == self.id:
            self.forget()
        if self.id in plan.state:
            lineage, self.state = got[plan.state[self.id]]
            self.forget()
        elif self.id in plan.result:
            self._apply(got[plan.result[self.id]])
            assert self.last_line is not None
            assert self.last_line["lineage"] == lineage
        self._done(ev.Moved(lineage))

    def forget(self) -> None:
        """State is another's: what this process had computed before is no part of the job."""
        self.held, self.held_of = {}, (0, "")
        self.last, self.last_line, self.before_hooks = None, None, (0, "")

    # -- newcomers (S9) ------------------------------------------------------------------------

    def _do_makeroom(self, _: do.MakeRoom) -> None:
        self.doing = None

    def _do_lend(self, command: do.Lend) -> None:
        self.loans.lend(command)
        self.doing = None

    def _do_feed(self, command: do.Feed) -> None:
        self.loans.feed(command.ids)
        self.doing = None

    def _do_finish(self, command: do.Finish) -> None:
        self.loans.end(command.ids, broken=False)
        self.doing = None

    def _do_discard(self, command: do.Discard) -> None:
        self.loans.end(command.ids, broken=True)
        self.doing = None

    def _do_restore(self, _: do.Restore) -> None:
        self.around.after((0.0, 0.1), lambda: self._done(self.loans.restore()))

    def _do_replay(self, _: do.Replay) -> None:
        lineage = self.training.lineage
        self.around.after((0.0, 0.02), lambda: self._done(self.loans.replay(lineage)))

    def _do_report(self, command: do.Report) -> None:
        self.loans.report(command)
        self.doing = None

    def _do_catchup(self, command: do.CatchUp) -> None:
        event = self.loans.catch_up(command)
        if event is not None:
            self._done(event)

    # -- coming level, the end of it -----------------------------------------------------------

    def _do_sync(self, _: do.Sync) -> None:
        if self._is_first_of_its_agent():
            if self.last_line is not None:
                self.around.judge.line(self, self.last_line)
            else:  # also at step 0: the agent's file may be of a job that fell back to it
                line = {"resume": self.training.applied, "lineage": self.training.lineage}
                self.around.judge.line(self, line)
        self.around.judge.level(self)
        self._after((0.0, 0.002), lambda: self._done(ev.Synced()))

    def _is_first_of_its_agent(self) -> bool:
        assert self.told is not None
        agents = [member.agent for member in self.told.members]
        return agents.index(agents[self.training.rank]) == self.training.rank

    def _is_first_of_its_host(self) -> bool:
        assert self.told is not None
        hosts = [self.around.host_of(member.address) for member in self.told.members]
        return hosts.index(self.host) == self.training.rank

    # -- a step --------------------------------------------------------------------------------

    def _do_compute(self, command: do.Compute) -> None:
        if any(_ends(m) or (isinstance(m, control.Group) and not m.planned) for m in self.inbox):
            self._done(ev.Interrupted())  # others wait already; what is held is kept
            return
        self._after(self.around.shape.leaf_s, lambda: self._computed(command))

    def _computed(self, command: do.Compute) -> None:
        if not self.alive:
            return
        step, leaf = command.step, command.leaf
        self._hear()
        if self.around.job.stops(step):
            self._done(ev.Computed(leaf, stop=True))
            return
        self._begin(step)
        self.held[leaf] = self.around.job.gradient(self.state, step, leaf)
        self.around.judge.computed(self, step, leaf)
        self._done(ev.Computed(leaf))

    def _begin(self, step: int) -> None:
        if self.held_of != (step, self.training.lineage):
            self.held, self.held_of = {}, (step, self.training.lineage)

    def _do_reduce(self, command: do.Reduce) -> None:
        job, step = self.around.job, command.step
        self._begin(step)
        assert self.held.keys() == self.training.held
        leaves = tuple((leaf, job.indices(step, leaf)) for leaf in sorted(self.held))
        sums = job.partial(self.held, step)
        mine = Share(step, self.training.lineage, command.flags, sums, leaves)
        self._gather(mine, lambda shares: self._reduced(step, shares))

    def _reduced(self, step: int, shares: tuple[Share, ...]) -> None:
        assert all(s.step == step and s.lineage == self.training.lineage for s in shares), shares
        flags = combine(share.flags for share in shares)
        if not flags.stop:
            sums = {node: value for share in shares for node, value in share.sums.items()}
            assert len(sums) == sum(len(share.sums) for share in shares), "a leaf was added twice"
            leaves = sorted(
                audit.Leaf(leaf, rank, indices)
                for rank, share in enumerate(shares)
                for leaf, indices in share.leaves
            )
            self.reduced = Result(step, self.around.job.total(sums, step), tuple(leaves))
        self._done(ev.Reduced(flags))

    def _do_apply(self, command: do.Apply) -> None:
        def applied() -> None:
            if self.alive:
                assert self.reduced is not None
                self._apply(self.reduced)
                assert self.last_line is not None
                if self._is_first_of_its_agent():
                    self.around.judge.line(self, self.last_line)
                self._done(ev.Applied(self.last_line["lineage"]))

        self._after((0.0, 0.005), applied)

    def _apply(self, result: Result) -> None:
        assert self.told is not None
        lineage = audit.chain(self.training.lineage, result.step, result.leaves)
        generation = self.told.generation
        self.state = self.around.job.apply(self.state, result.total, result.step)
        self.last_line = self.around.job.line(result.step, generation, lineage, result.leaves)
        self.last, self.reduced = result, None
        self.around.judge.applied(self, result.step, lineage)

    # -- between steps -------------------------------------------------------------------------

    def _do_runhooks(self, command: do.RunHooks) -> None:
        if self.mail.phase is mailbox.Phase.BROKEN:
            self._done(ev.Interrupted())
            return
        self.before_hooks = (command.step, self.state)
        self.state = self.around.job.hook(self.state, command.step)
        wrote = command.watched and self.state != self.before_hooks[1]
        everybody_is_here = lambda _: self._hooked(wrote)  # noqa: E731 - a deed, given on
        self._gather(None, everybody_is_here)

    def _hooked(self, wrote: bool) -> None:
        self._hear()
        self._done(ev.Hooked(wrote))

    def _do_save(self, command: do.Save) -> None:
        if not self._is_first_of_its_host():
            self._done(ev.Saved())
            return

        def saved() -> None:
            if self.alive:
                generation, lineage = self.training.generation, self.training.lineage
                self.disk.append(Checkpoint(command.step, generation, lineage, self.state))
                self._done(ev.Saved())

        self._after((0.001, 0.02), saved)

    def _do_turn(self, command: do.Turn) -> None:
        generation = self.training.generation
        self.tell(control.Boundary(generation, command.step, command.joins, command.leaves))
        self.doing = None

    def _do_end(self, command: do.End) -> None:
        def compared(states: tuple[str, ...]) -> None:
            assert len(set(states)) == 1, f"the members' bits have drifted apart: {states}"
            result = {"steps": command.step, "digest": self.state}
            self.tell(control.Finished(self.training.generation, result))
            self._done(ev.Ended())  # nobody leaves before the record says done (M10)

        self._gather(self.state, compared)

    def _do_quit(self, _: do.Quit) -> None:
        self._leave("it was asked to leave")

    def _do_refuse(self, command: do.Refuse) -> None:
        raise AssertionError(f"{self.address} was refused: {command.reason}")

    def _do_fail(self, command: do.Fail) -> None:
        raise AssertionError(f"{self.address} fails: {command.places}")

    def _do_giveup(self, command: do.GiveUp) -> None:
        raise AssertionError(f"{self.address} has drifted: {command.drift}")


def _ends(message: Any) -> bool:
    return isinstance(message, (control.Admission, control.JobDone, control.JobFailed))
