"""The user's hooks: called with collectives at hand; one that was aborted begins again (S7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from elastic.errors import Aborted
from elastic.telemetry.activity import doing
from elastic.training import randomness
from elastic.training.agreement import Plan
from elastic.training.commands import RunHooks
from elastic.training.context import Context, placed
from elastic.training.events import Hooked
from elastic.training.groups import open_group
from elastic.training.undo import Undo

__all__ = ["Hooks"]


class Hooks:
    """Calls `sync`, `on_step` and `on_epoch` for one worker."""

    def __init__(self, context: Context):
        self.context = context
        self._undo = Undo(context.state)
        self.forget()

    def forget(self) -> None:
        """State is another's now, so what was before hooks of ours is of no use."""
        self._before: tuple[int, Any] = (0, None)
        """The step whose hooks were begun last, and State before them."""

    def sync(self) -> None:
        """Call the user's `sync`, if there is one; if it is aborted, State is as before it."""
        c, before = self.context, list[Any]()
        if c.options.sync is None:
            return
        sync = partial(self._call, "sync", c.options.sync, c.state, c.world)
        try:
            self._undoable("sync", sync, before.append)
        except Aborted:
            if before:
                c.state.restore(before[-1])
            raise

    def run(self, command: RunHooks) -> Hooked:
        """Call the hooks that follow this update: none between phases of a step."""
        options, ends_epoch = self.context.options, self.context.options.loader.cursor.step == 0
        name = "on_epoch" if ends_epoch and options.on_epoch is not None else "on_step"
        nothing = name == "on_step" and options.on_step is None
        if nothing or not self.context.phases.ends_step(command.step):
            return Hooked()
        hooks, keep = partial(self._run, name), partial(self._keep, command.step)
        self._undoable(name, hooks, keep, command.watched)
        return Hooked(command.watched and self._undo.wrote(self._before[1]))

    def _keep(self, step: int, before: Any) -> None:
        self._before = step, before

    def _run(self, last: str) -> None:
        options, state, world = self.context.options, self.context.state, self.context.world
        if options.on_step is not None:
            self._call("on_step", options.on_step, state, state.metrics)
        if options.on_epoch is not None and last == "on_epoch":
            self._call("on_epoch", options.on_epoch, state, world)

    def _undoable(
        self,
        name: str,
        hooks: Callable[[], None],
        keep: Callable[[Any], None],
        watched: bool = False,
    ) -> None:
        """Call hooks, and keep State before them: another member may be lost in a collective."""
        if self.context.world.size > 1 or watched:
            self._undo.run(name, hooks, keep)
        else:
            hooks()

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
