"""A step as one worker does it: its leaves, the reduction over all members, the update."""

from __future__ import annotations

from elastic.clock import monotonic
from elastic.errors import Aborted
from elastic.telemetry.activity import doing
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.context import Context, placed, say
from elastic.training.evidence import Evidence
from elastic.training.lending import Lending
from elastic.training.link import is_interruption
from elastic.wire import to_json

__all__ = ["Stepping"]

_TIMING_S = 5.0
"""How often a worker tells where its time went."""


class Stepping:
    """Has `Steps` do the work, places what the user's code raises, and tells what came of it."""

    def __init__(self, context: Context, lending: Lending, evidence: Evidence):
        self.context, self.lending, self.evidence = context, lending, evidence

    def compute(self, command: do.Compute) -> ev.Computed:
        """Run `train_step` and backward on one leaf."""
        c, step, leaf = self.context, command.step, command.leaf
        if c.link.inbox.holds(is_interruption):
            raise Aborted("others wait for the next group")  # what is held is kept
        place = c.steps.leaf_name(step, leaf)
        with placed(place), doing().user_code("train_step", c.phases.step(step), leaf):
            computed = c.steps.compute(step, leaf, c.standing.lineage)
        if computed.nonfinite and c.options.nonfinite == "warn":
            say(f"warning: the loss is not finite at {computed.nonfinite}")
            c.tell("nonfinite", place=computed.nonfinite)
        return computed

    def reduce(self, command: do.Reduce) -> ev.Reduced:
        """Add up the step over all members; State may be written from now on."""
        c = self.context
        with placed(f"reduction of {c.phases.name(command.step)}"):
            flags = c.steps.reduce(c.group, command.step, c.standing.lineage, command.flags)
        self.lending.settle()
        return ev.Reduced(flags)

    def apply(self, command: do.Apply) -> ev.Applied:
        """Run `update` on the reduced gradient, and tell the agent."""
        c, result = self.context, self.context.steps.reduced
        assert result is not None
        assert result.step == command.step
        began, step = monotonic(), c.phases.step(command.step)
        with placed(f"update of {c.phases.name(command.step)}"), doing().user_code("update", step):
            lineage = c.steps.apply(result, c.world.generation, c.standing.lineage)
        now = monotonic()
        self.evidence.commit(now)
        self._tell(step, now - began, now)
        return ev.Applied(lineage)

    def _tell(self, step: int, applied_s: float, now: float) -> None:
        c = self.context
        recovery = c.marks.committed(step, now)
        if recovery is not None:
            c.tell("recovery", **to_json(recovery))
        c.group.account.applied(applied_s)
        if c.group.account.is_due(now, _TIMING_S):
            c.tell_timing()
