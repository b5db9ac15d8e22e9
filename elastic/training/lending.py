"""State lent to newcomers while the group trains, as part of the loop (docs/protocol.md, S9)."""

from __future__ import annotations

from typing import Any

from elastic.clock import monotonic
from elastic.training import commands as do
from elastic.training.context import Context
from elastic.training.lender import Lender

__all__ = ["Lending"]


class Lending:
    """Has a `Lender` do what the core wants, and tells what it costs."""

    def __init__(self, context: Context):
        self.context = context
        self.lender = Lender(context.state, context.steps, context.group)
        self._lent: dict[str, Any] | None = None
        """What is to be told of State that was lent, once it is copied."""

    def make_room(self, _: do.MakeRoom) -> None:
        """Have memory ready for what is to be lent."""
        self.lender.make_room(self.context.world)

    def lend(self, command: do.Lend) -> None:
        """Begin to copy State for these newcomers."""
        began = monotonic()
        self.lender.lend(command.newcomers, self.context.standing, self.context.world)
        to = [each.id for each in command.newcomers]
        self._lent = {"to": to, "pause_s": monotonic() - began}

    def settle(self) -> None:
        """Return when State may be written: what is lent of it is copied."""
        lent, self._lent = self._lent, None
        if lent is None:
            return
        began = monotonic()
        self.lender.settle()
        self.context.tell("lend", **lent | {"pause_s": lent["pause_s"] + monotonic() - began})

    def feed(self, command: do.Feed) -> None:
        """Send the result of the step just reduced."""
        self.lender.feed(command.step, command.ids)

    def discard(self, command: do.Discard) -> None:
        """End feeds at once."""
        self.lender.end(command.ids, at_once=True)

    def finish(self, command: do.Finish) -> None:
        """End feeds after all that they have to carry."""
        self.lender.end(command.ids, at_once=False)
