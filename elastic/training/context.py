"""What the parts of a worker's loop share: what it works with, where it stands, whom it tells."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from elastic import control
from elastic.clock import monotonic
from elastic.errors import Aborted
from elastic.telemetry.stragglers import stragglers
from elastic.training.groups import AnyGroup, GroupWorld
from elastic.training.identity import Identity
from elastic.training.link import Link
from elastic.training.options import Options
from elastic.training.recovery import RecoveryMarks
from elastic.training.standing import Standing
from elastic.training.steps import Steps
from elastic.wire import to_json

__all__ = ["Context", "placed", "say"]


class Context:
    """One worker of a job."""

    def __init__(
        self, options: Options, steps: Steps, link: Link, group: AnyGroup, identity: Identity
    ):
        self.options, self.steps, self.link, self.group = options, steps, link, group
        self.state, self.phases = options.state, steps.phases
        self.standing = Standing(identity.strict)
        self.machine = identity.free
        self.world = GroupWorld()
        self.told: control.Group | None = None
        """The newest group that was told; a paused one does not meet, so no world is made of it."""
        self.bits_promised = True
        self.marks = RecoveryMarks()

    @property
    def whole_steps(self) -> int:
        """How many of the user's steps are applied."""
        return self.phases.whole_steps(self.standing.applied)

    def tell(self, event: str, **fields: Any) -> None:
        """Tell the agent an event of telemetry, with the place where this worker stands."""
        place = {
            "rank": self.world.rank,
            "world_size": self.world.size,
            "generation": self.world.generation,
            "step": self.whole_steps,
        }
        self.link.send(control.Event(event, monotonic(), place | fields))

    def tell_timing(self) -> None:
        """Tell where the time went since this was told last, and who held the others up."""
        timing = self.group.account.take(monotonic())
        if not timing.steps and not timing.collectives:
            return
        self.tell("timing", **to_json(timing))
        for late in stragglers(timing.paces, timing.steps, timing.seconds):
            accused = self.world.ids[late.accused_rank]
            self.tell("straggler", accused=accused, text=str(late), **to_json(late))

    def exit(self, code: int) -> NoReturn:
        """End this process."""
        self.group.close()
        raise SystemExit(code)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Mark an exception of user code with where it was raised: the second there fails the job."""
    try:
        yield
    except Aborted:
        raise
    except Exception as error:
        error.elastic_place = place  # type: ignore[attr-defined]
        raise


def say(text: str) -> None:
    """Print a line for whoever watches the job."""
    print(f"elastic: {text}", file=sys.stderr, flush=True)
