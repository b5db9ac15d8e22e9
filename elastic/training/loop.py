"""The training loop's shell: it carries out what `core.py` decides, one command at a time.

Everything that takes time or touches the outside happens in its parts: user code, collectives,
files, the link to the agent. No decision about the protocol does. `Loop` waits, hands each command
to the part that carries it out, and each event to the core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from elastic import control
from elastic.clock import monotonic
from elastic.errors import Aborted
from elastic.training import commands as do
from elastic.training import core, memory, randomness
from elastic.training import events as ev
from elastic.training.borrower import Borrower, CopyHere, FeedEnded, ResultHere
from elastic.training.checkpoints import Checkpoints
from elastic.training.context import Context
from elastic.training.endings import Endings
from elastic.training.evidence import Evidence
from elastic.training.groups import AnyGroup
from elastic.training.hooks import Hooks
from elastic.training.identity import Identity
from elastic.training.lending import Lending
from elastic.training.leveling import Leveling
from elastic.training.link import Link, is_interruption, outdates_groups
from elastic.training.newcomers import pace
from elastic.training.options import Options
from elastic.training.result import Result
from elastic.training.stepping import Stepping
from elastic.training.steps import Steps

__all__ = ["Loop"]

_RESULTS_IN_MEMORY = 12
"""So many gradients of all parameters does a worker hold at once (measured: 7 in a step, of leaves
and their sums, and 5 that wait until a newcomer has State)."""


class Loop:
    """One worker's run of a job."""

    def __init__(
        self, options: Options, steps: Steps, link: Link, group: AnyGroup, identity: Identity
    ):
        self.job = _job(options, steps)
        self.context = Context(options, steps, link, group, identity)
        self._inbox = link.inbox
        self._borrower = Borrower(options.state, steps, group, link.inbox)
        self._checkpoints = Checkpoints(self.context)
        self._endings = Endings(self.context)
        self._carry_out = self._table()

    def _table(self) -> dict[type, Callable[[Any], Any]]:
        """Return what carries out each command, and gives the event that comes of it, if any."""
        hooks, evidence = Hooks(self.context), Evidence(self.context)
        level = Leveling(self.context, self._checkpoints, self._borrower, hooks, evidence)
        lending, endings = Lending(self.context), self._endings
        a_step = Stepping(self.context, lending, evidence)
        return {
            do.Await: self._await,
            do.Meet: level.meet,
            do.Move: level.move,
            do.Restore: level.restore,
            do.Replay: level.replay,
            do.Report: level.report,
            do.CatchUp: level.catch_up,
            do.Sync: level.sync,
            do.Compute: a_step.compute,
            do.Reduce: a_step.reduce,
            do.Apply: a_step.apply,
            do.RunHooks: hooks.run,
            do.Save: self._checkpoints.save,
            do.Turn: level.turn,
            do.MakeRoom: lending.make_room,
            do.Lend: lending.lend,
            do.Feed: lending.feed,
            do.Discard: lending.discard,
            do.Finish: lending.finish,
            do.End: endings.end,
            do.Quit: endings.quit,
            do.Refuse: endings.refuse,
            do.Fail: endings.fail,
            do.GiveUp: endings.give_up,
        }

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> Result:
        """Train to the end, through whatever happens to others."""
        link, group = self.context.link, self.context.group
        group.on_note = self._borrower.heard
        if self.job.pace is not None:  # before others wait for this worker's steps
            memory.warm(_RESULTS_IN_MEMORY * self.context.steps.bridge.map.nbytes)
        link.start(self._urgent)
        link.send(control.Ready(group.address))
        todo: deque[Any] = deque([do.Await()])
        with randomness.restored():
            while todo:
                event = self._do(todo.popleft())
                if event is not None:
                    todo.extend(self._decide(event))
        assert self._endings.result is not None
        return self._endings.result

    def _decide(self, event: Any) -> tuple[Any, ...]:
        self._look_for_the_end()
        self.context.standing, commands = core.step(self.context.standing, event, self.job)
        return commands

    def _look_for_the_end(self) -> None:
        """Only the data tells how many steps the epochs of a stream have."""
        options = self.context.options
        if options.epochs is not None and options.loader.cursor.epoch >= options.epochs:
            total = self.context.state.step * self.context.phases.count
            self.job = replace(self.job, total_steps=total)

    def _do(self, command: Any) -> Any:
        if not isinstance(command, do.Compute):
            self.context.steps.release()
        try:
            event = self._carry_out[type(command)](command)
        except Aborted as error:
            self.context.marks.aborted(monotonic())
            if not isinstance(command, do.End):  # there no step is in flight
                self.context.tell("abort", reason=str(error), peer=error.peer)
            return ev.Interrupted()
        if isinstance(event, (ev.Computed, ev.Hooked)):
            self._hear()
        return event

    # -- what others say -----------------------------------------------------------------------

    def _urgent(self, message: Any) -> None:
        """Called from the link's thread: what must not wait until the training thread looks."""
        group = self.context.group
        if isinstance(message, control.CutOff):
            group.cut_off(message.duration_s)
        if not is_interruption(message):
            return
        if isinstance(message, control.Group):
            group.interrupt(message.generation, message.cause)
        else:
            group.interrupt(self.context.standing.generation + 1, type(message).__name__)

    def _await(self, _: do.Await) -> Any:
        while True:
            message = self._inbox.get()
            if isinstance(message, control.Group):
                self.context.marks.formed(message, monotonic())
                if not self._inbox.holds(outdates_groups):
                    return self._formed(message)
                continue
            event = self._told(message)
            if event is not None or self._endings.result is not None:
                return event

    def _formed(self, told: control.Group) -> ev.Formed:
        self.context.told = told
        ids = tuple(member.id for member in told.members)
        me = self.context.standing.id
        rank = ids.index(me) if me in ids else -1
        offer = self._checkpoints.newest_offer()
        return ev.Formed(told.generation, ids, rank, told.paused, offer)

    def _hear(self) -> None:
        """At work, the core is told what it need only remember."""
        if self._inbox.holds(outdates_groups):
            return  # what follows was said to the group to come, whose core begins with nothing
        for message in self._inbox.take(control.Candidates, control.LeaveRequest, ev.NewcomerAt):
            commands = self._decide(self._told(message))
            assert not commands, "at work, the core only remembers"

    def _told(self, message: Any) -> Any:
        """Return the event that a message is for the core."""
        match message:
            case control.Admission():
                self.context.group.rename(message.id)
                self._borrower.forget()
                return ev.Admitted(message.id, message.min_workers)
            case control.Candidates():
                return ev.CandidatesSeen(message.candidates)
            case control.LeaveRequest():
                return ev.LeaveAsked(message.ids)
            case CopyHere() | ResultHere() | FeedEnded():
                return self._borrower.told(message)
            case ev.NewcomerAt():
                return message
            case control.JobDone():
                self._endings.done(message)
            case control.JobFailed():
                self._endings.failed(message)
        return None


def _job(options: Options, steps: Steps) -> core.Job:
    hooks = options.on_step is not None or options.on_epoch is not None
    return core.Job(
        options.total_steps * steps.phases.count,
        steps.leaf_count,
        hooks=hooks,
        pace=pace(steps.bridge.map.nbytes),
        checkpoint_every=options.checkpoint_every * steps.phases.count,
        checkpoints=options.checkpoint_dir is not None,
        nonfinite_is_error=options.nonfinite == "error",
        drift_heals=options.on_drift == "heal",
    )
