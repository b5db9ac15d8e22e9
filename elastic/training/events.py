"""What happens to a training core. Nouns and participles; frozen."""

from __future__ import annotations

from dataclasses import dataclass

from elastic.control import Candidate
from elastic.training.agreement import Answer, Flags

__all__ = [
    "Admitted",
    "Applied",
    "CandidatesSeen",
    "Computed",
    "Copied",
    "Ended",
    "Fed",
    "FeedLost",
    "Formed",
    "Hooked",
    "Interrupted",
    "LeaveAsked",
    "Met",
    "Moved",
    "NewcomerAt",
    "Offered",
    "Reduced",
    "Saved",
    "Synced",
]


@dataclass(frozen=True)
class Formed:
    """A generation was formed; rank -1: without this member, which has left."""

    generation: int
    ids: tuple[str, ...]
    rank: int
    paused: bool = False
    offer: tuple[int, int] | None = None
    """Step and generation of the newest checkpoint that this worker can load."""


@dataclass(frozen=True)
class Admitted:
    """This process is member `id` now. If it was another, its State is no longer the job's."""

    id: str
    min_workers: int = 1


@dataclass(frozen=True)
class Met:
    """All members' answers, in rank order."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Moved:
    """This member is level; `lineage` is the job's."""

    lineage: str


@dataclass(frozen=True)
class Synced:
    """`sync` has returned."""


@dataclass(frozen=True)
class Computed:
    """The leaf is computed and held, unless `train_step` raised StopIteration."""

    leaf: int
    stop: bool = False
    nonfinite: str = ""


@dataclass(frozen=True)
class Reduced:
    """The step is reduced; these are the flags of all."""

    flags: Flags


@dataclass(frozen=True)
class Applied:
    """The step is applied here; `lineage` is the new one."""

    lineage: str


@dataclass(frozen=True)
class Hooked:
    """The hooks of the last step have returned."""

    wrote: bool = False
    """Watched, they wrote State: no result leads there."""


@dataclass(frozen=True)
class Saved:
    """The checkpoint is written, or somebody else writes it."""


@dataclass(frozen=True)
class Ended:
    """All digests are equal, and the agent knows: nobody leaves before the record says done."""


@dataclass(frozen=True)
class Interrupted:
    """A collective ended early: the generation is over."""


@dataclass(frozen=True)
class CandidatesSeen:
    """These newcomers are ready."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class LeaveAsked:
    """The agent wants this member to leave, and with it those that leave for the same reason."""

    ids: tuple[str, ...] = ()


# -- newcomers get State while the group trains on (S9) -----------------------------------------


@dataclass(frozen=True)
class NewcomerAt:
    """A newcomer that was lent State in this generation says at which step it stands."""

    generation: int
    id: str
    step: int


@dataclass(frozen=True)
class Offered:
    """A whole copy of State, its digests right, has arrived, of a step and of a generation."""

    generation: int
    step: int
    feeder: str
    identity: dict[str, str]


@dataclass(frozen=True)
class Fed:
    """The feed has brought a step's result."""

    generation: int
    step: int


@dataclass(frozen=True)
class FeedLost:
    """A feed of this generation broke: State will not come whole, or later results will not."""

    generation: int


@dataclass(frozen=True)
class Copied:
    """State here is a copy of the job's after this step; `lineage` is that of the job then."""

    step: int
    lineage: str
