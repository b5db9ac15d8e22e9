"""What a training core wants done. Imperatives; frozen. The shell is `loop.py`."""

from __future__ import annotations

from dataclasses import dataclass

from elastic.control import Candidate
from elastic.training.agreement import Answer, Drift, Flags, Plan

__all__ = [
    "Apply",
    "Await",
    "CatchUp",
    "Compute",
    "Discard",
    "End",
    "Fail",
    "Feed",
    "Finish",
    "GiveUp",
    "Lend",
    "MakeRoom",
    "Meet",
    "Move",
    "Quit",
    "Reduce",
    "Refuse",
    "Replay",
    "Report",
    "Restore",
    "RunHooks",
    "Save",
    "Sync",
    "Turn",
]


@dataclass(frozen=True)
class Await:
    """Wait for the next generation: Formed. Between two steps nothing else is waited for."""


@dataclass(frozen=True)
class Meet:
    """Exchange answers with all members: Met, or Interrupted."""

    answer: Answer


@dataclass(frozen=True)
class Move:
    """Send and receive State and results as the plan says: Moved, or Interrupted."""

    plan: Plan


@dataclass(frozen=True)
class Sync:
    """Call the user's `sync`: Synced, or Interrupted."""


@dataclass(frozen=True)
class Compute:
    """Run `train_step` and backward on one leaf of the step: Computed, or Interrupted."""

    step: int
    leaf: int


@dataclass(frozen=True)
class Reduce:
    """Add up the step over all members: Reduced, or Interrupted."""

    step: int
    flags: Flags


@dataclass(frozen=True)
class Apply:
    """Run `update` on the reduced gradient, advance the data: Applied. Never interrupted."""

    step: int


@dataclass(frozen=True)
class RunHooks:
    """Call `on_step`, and `on_epoch` at its end: Hooked, or Interrupted."""

    step: int
    watched: bool = False
    """Whether it must be known if they write State: newcomers follow by results alone."""


@dataclass(frozen=True)
class Save:
    """Write a checkpoint, if this member writes for its host: Saved."""

    step: int


@dataclass(frozen=True)
class MakeRoom:
    """Have memory ready for a copy of State: newcomers will be lent it after a later step."""


@dataclass(frozen=True)
class Lend:
    """Copy State as it is after this step, and send this member's share in the background."""

    step: int
    newcomers: tuple[Candidate, ...]


@dataclass(frozen=True)
class Feed:
    """Send the result just reduced, or applied, to these, who were lent State."""

    step: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Discard:
    """End the feeds to these at once: what they carry is worth nothing any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Finish:
    """End the feeds to these after all that they have to carry."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Restore:
    """Load the copy of State that has arrived whole: Copied."""


@dataclass(frozen=True)
class Replay:
    """Run `update` on the result that the feed has brought: Copied."""

    step: int


@dataclass(frozen=True)
class CatchUp:
    """In the group now, replay what the feed brings up to this step and lineage: Copied, or
    Interrupted."""

    step: int
    lineage: str


@dataclass(frozen=True)
class Report:
    """Tell the feeder at which step this newcomer stands; -1: it cannot take State by a feed."""

    step: int


@dataclass(frozen=True)
class Turn:
    """Tell the agent what all agreed on after this step; the record will follow."""

    step: int
    joins: tuple[Candidate, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class End:
    """Compare digests with all members and tell the agent: Ended, or Interrupted."""

    step: int


@dataclass(frozen=True)
class Quit:
    """This member has left as it was asked to."""


@dataclass(frozen=True)
class Refuse:
    """This member would compute other bits: say why and go."""

    reason: str


@dataclass(frozen=True)
class Fail:
    """A loss was nan or inf, and the user wants an error."""

    places: tuple[str, ...]


@dataclass(frozen=True)
class GiveUp:
    """Replicas have drifted apart. To `heal`: go, and come back with the majority's State."""

    step: int
    drift: Drift
    heal: bool
