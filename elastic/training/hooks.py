"""The user's hooks: called with collectives at hand; one that was aborted begins again (S7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from elastic.errors import Aborted
from elastic.telemetry.activity import doing
from elastic.training import randomness
from elastic.training.agreement import Plan
from elastic.training.commands import RunHooks
from elastic.training.context import Context, placed
from elastic.training.events import Hooked
from elastic.training.groups import open_group

__all__ = ["Hooks"]


class Hooks:
    """Calls `sync`, `on_step` and `on_epoch` for one worker."""

    def __init__(self, context: Context):
        self.context = context
        self.forget()

    def forget(self) -> None:
        """State is another's now, so what was before hooks of ours is of no use."""
        self._before: tuple[int, Any] = (0, None)
        """The step whose hooks were begun last, and State before them."""

    def sync(self) -> None:
        """Call the user's `sync`, if there is one; if it is aborted, State is as before it."""
        c = self.context
        if c.options.sync is None:
            return
        before = c.state.capture(copy=True) if c.world.size > 1 else None
        try:
            self._call("sync", c.options.sync, c.state, c.world)
        except Aborted:
            if before is not None:
                c.state.restore(before)
            raise

    def run(self, command: RunHooks) -> Hooked:
        """Call the hooks that follow this update: none between phases of a step."""
        if self.context.phases.ends_step(command.step):
            self._run(command.step)
        return Hooked()

    def _run(self, step: int) -> None:
        options, state, world = self.context.options, self.context.state, self.context.world
        if world.size > 1:
            self._before = step, state.capture(copy=True)
        if options.on_step is not None:
            self._call("on_step", options.on_step, state, state.metrics)
        ends_epoch = options.loader.cursor.step == 0
        if options.on_epoch is not None and ends_epoch:
            self._call("on_epoch", options.on_epoch, state, world)

    def _call(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        group, state = self.context.group, self.context.state
        telling = doing().user_code(name, state.step)
        with placed(name), randomness.restored(), open_group(group), telling:
            hook(*arguments)

    @contextmanager
    def undone(self, plan: Plan) -> Iterator[None]:
        """Take State back to before hooks that begin again, here completed or aborted.

        If the plan comes to nothing, the next one need not have them begin again.
        """
        state = self.context.state
        step, before = self._before
        if not plan.rerun or step != plan.top:
            yield
            return
        after = state.capture(copy=True)
        state.restore(before)
        try:
            yield
        except Aborted:
            state.restore(after)
            raise
