"""How one worker comes level with its group: from a change's announcement to the user's `sync`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from elastic import control
from elastic.clock import monotonic
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.agreement import Answer, Plan
from elastic.training.borrower import Borrower
from elastic.training.checkpoints import Checkpoints
from elastic.training.context import Context, say
from elastic.training.evidence import Evidence
from elastic.training.groups import GroupWorld
from elastic.training.hooks import Hooks
from elastic.training.identity import differences
from elastic.training.link import is_interruption
from elastic.training.transfer import Mover
from elastic.wire import from_json, to_json

__all__ = ["Leveling"]


class Leveling:
    """Meets the others, and takes State from them, from a checkpoint or from a feed."""

    def __init__(
        self,
        context: Context,
        checkpoints: Checkpoints,
        borrower: Borrower,
        hooks: Hooks,
        evidence: Evidence,
    ):
        self.context, self.checkpoints, self.borrower = context, checkpoints, borrower
        self.hooks, self.evidence = hooks, evidence
        self._has_said_idle = False

    def turn(self, command: do.Turn) -> None:
        """Tell the agent that the members have agreed on a change."""
        generation = self.context.world.generation
        turn = control.Boundary(generation, command.step, command.joins, command.leaves)
        self.context.link.send(turn)
        self.context.marks.turned(monotonic())

    # -- the answers ---------------------------------------------------------------------------

    def meet(self, command: do.Meet) -> ev.Met:
        """Enter the generation and exchange answers with its members."""
        c, told, rank = self.context, self.context.told, self.context.standing.rank
        assert told is not None
        c.tell_timing()  # the ranks it speaks of change now
        c.world = GroupWorld(told.generation, told.members, rank, told.cause, c.group)
        c.group.enter(told.generation, told.members, rank)
        mine = [to_json(command.answer), c.machine, c.bits_promised]
        blobs = c.group.gather(json.dumps(mine).encode())
        c.tell("rendezvous", cause=told.cause, members=list(c.world.ids))
        answers, machines, promised = zip(*map(json.loads, blobs), strict=True)
        self._compare_machines(machines, all(promised))
        return ev.Met(tuple(from_json(Answer, answer) for answer in answers))

    def _compare_machines(self, machines: Sequence[dict[str, str]], promised: bool) -> None:
        """Where machines are mixed, equal bits are not promised, for good (B6)."""
        c, found = self.context, differences(machines)
        if found and c.bits_promised and c.world.rank == 0:
            say(f"warning: {found}: bits not promised (--allow-mixed)")
        c.bits_promised = promised and not found
        c.steps.compares_parameters = c.bits_promised

    # -- State, at a boundary ------------------------------------------------------------------

    def move(self, command: do.Move) -> ev.Moved:
        """Send, receive and load State and results as the plan says."""
        with self.hooks.undone(command.plan):
            return ev.Moved(self._move(command.plan))

    def _move(self, plan: Plan) -> str:
        c, lineage = self.context, plan.lineage
        if not lineage and not plan.load:
            self.checkpoints.set_aside()
        if plan.load == c.standing.id:
            lineage = self.checkpoints.load()
        self._check_beginning(plan, lineage)
        mover = Mover(c.state, c.steps, c.standing, c.world)
        lineage = mover.move(c.group, plan, lineage)
        if plan.load or mover.took_state:
            c.steps.forget()
            self._forget(plan.load)
        return lineage

    def _check_beginning(self, plan: Plan, lineage: str) -> None:
        """Begin no job with State of another: ours, from before we were outside (M6).

        That is no failure of the script, so it is not told as one: two would end the job (S7).
        """
        standing = self.context.standing
        if not lineage and standing.id not in plan.state and standing.applied:
            say(
                f"the job begins anew, with a State of step 0, and this worker's is of step "
                f"{self.context.state.step}: its agent starts it again"
            )
            self.context.exit(1)

    def _forget(self, load: str = "") -> None:
        """State is another's now: what this process did before is no part of the job (M6)."""
        self.hooks.forget()
        self.evidence.forget(load)

    # -- State that was lent (S9) --------------------------------------------------------------

    def restore(self, _: do.Restore) -> ev.Copied:
        """Load the copy of State that has arrived."""
        self._forget()
        copied = self.borrower.restore()
        self.context.tell("borrow", of=copied.step)
        return copied

    def replay(self, _: do.Replay) -> ev.Copied:
        """Run `update` on the result that the feed has brought."""
        standing = self.context.standing
        return self.borrower.replay(standing.generation, standing.lineage)

    def report(self, command: do.Report) -> None:
        """Tell the feeder at which step this newcomer stands."""
        self.borrower.report(command.step, self.context.standing.copy)

    def catch_up(self, command: do.CatchUp) -> ev.Copied:
        """Replay what the feed brings until this worker is level."""
        c = self.context

        def lost(reason: str) -> None:
            assert c.standing.copy is not None
            feeder, generation = c.standing.copy.feeder, c.standing.generation
            c.link.send(control.Suspect(generation, feeder, reason, monotonic()))

        return self.borrower.catch_up(command, c.standing, is_interruption, lost)

    # -- level ---------------------------------------------------------------------------------

    def sync(self, _: do.Sync) -> ev.Synced:
        """Call the user's `sync`: all are level."""
        c, pause_s = self.context, self.context.marks.resumed(monotonic())
        if pause_s is not None:
            c.tell("turn", pause_s=pause_s)
        self.borrower.forget()
        self.evidence.open(monotonic())
        self._say_who_is_idle()
        self.hooks.sync()
        c.marks.synced(monotonic())
        c.tell("sync", total_steps=c.options.total_steps)
        c.tell_timing()
        return ev.Synced()

    def _say_who_is_idle(self) -> None:
        """Say once that more members than leaves bring no speed (S6)."""
        world, leaves = self.context.world, self.context.options.loader.micro_batches
        if world.size > leaves and world.rank == 0 and not self._has_said_idle:
            self._has_said_idle = True
            say(
                f"{world.size} workers share {leaves} micro-batches a step: {world.size - leaves} "
                "compute nothing and only keep State warm; raise micro_batches=, or start fewer"
            )
