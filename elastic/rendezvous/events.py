"""What happens to an agent's rendezvous core. Nouns; frozen; JSON both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elastic.control import Candidate
from elastic.rendezvous.record import Record
from elastic.wire import Vocabulary
from elastic.world import Member

__all__ = [
    "BURSTS",
    "EVENTS",
    "BoundaryReached",
    "Burst",
    "FailureNoted",
    "Found",
    "Greeted",
    "KeysWritten",
    "LeaseLost",
    "LeaveAsked",
    "Listed",
    "MemberGone",
    "MemberSeen",
    "Proposed",
    "RecordSeen",
    "StoreFailed",
    "Suspected",
    "Tick",
    "Verdict",
    "WorkerExited",
    "WorkersFinished",
    "WorkersReady",
]


@dataclass(frozen=True)
class Listed:
    """All that the store holds of this job, at one revision."""

    record: Record | None
    revision: int
    """When the record was last modified; 0 if there is none."""
    members: tuple[tuple[int, Member], ...]
    """Each with the revision at which its key was created."""


@dataclass(frozen=True)
class Found:
    """Of the members asked for, these have keys, each with the revision of its creation."""

    asked: tuple[str, ...]
    members: tuple[tuple[int, Member], ...]


@dataclass(frozen=True)
class RecordSeen:
    """The record changed (None: it was deleted)."""

    record: Record | None
    revision: int


@dataclass(frozen=True)
class MemberSeen:
    """A member's key was written."""

    created: int
    member: Member


@dataclass(frozen=True)
class MemberGone:
    """A member's key is gone: deleted, or its lease ran out."""

    id: str


@dataclass(frozen=True)
class WorkersReady:
    """Workers of this agent entered elastic.train: they become members together."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class WorkerExited:
    """A member of this agent ended, or is fenced: it acts no more. Proof, not suspicion."""

    id: str
    reason: str


@dataclass(frozen=True)
class Suspected:
    """In `generation`, a member (`by`) of this agent was failed by the member `id`.

    Without `by` there is no sign of its death: it is only waited for.
    """

    generation: int
    id: str
    by: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the probe of a suspect found."""

    generation: int
    id: str
    by: str
    dead: bool
    reason: str
    silent: bool = False
    """Dead is only what we think: nothing was heard of it."""


@dataclass(frozen=True)
class Burst:
    """What came while the event before was dealt with: all of it is known first, then acted on."""

    events: tuple[MemberSeen | MemberGone | Suspected | Verdict, ...]


BURSTS = (MemberSeen, MemberGone, Suspected, Verdict)
"""Of these many may come at once: when hosts join or are lost, one for each member."""


@dataclass(frozen=True)
class Greeted:
    """What became of a greeting: agents that we and they reach, and why not the others."""

    reached: tuple[str, ...]
    failed: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class BoundaryReached:
    """After a step, the combined flags named these changes (PROTOCOL S4)."""

    generation: int
    step: int
    joins: tuple[Candidate, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class LeaveAsked:
    """This agent wants its members to leave: those outside a running group go at once."""

    reason: str


@dataclass(frozen=True)
class WorkersFinished:
    """A member of this agent has finished the last step and the final exchange."""

    generation: int
    result: dict[str, Any]


@dataclass(frozen=True)
class FailureNoted:
    """The store has this failure of the user's code; `again` if its place had failed before."""

    place: str
    again: bool
    cause: str


@dataclass(frozen=True)
class Proposed:
    """A proposal was decided: won, or lost to the record that is there now."""

    won: bool
    record: Record | None
    revision: int


@dataclass(frozen=True)
class KeysWritten:
    """These members' keys are in the store."""

    created: tuple[Candidate, ...]


@dataclass(frozen=True)
class StoreFailed:
    """A write got no answer from the store: it may or may not have happened."""

    reason: str


@dataclass(frozen=True)
class LeaseLost:
    """The store says that this agent's lease ran out: its members' keys are gone."""


@dataclass(frozen=True)
class Tick:
    """The time that was asked for has come."""


EVENTS = Vocabulary(
    [
        Listed,
        Found,
        RecordSeen,
        MemberSeen,
        MemberGone,
        WorkersReady,
        WorkerExited,
        Suspected,
        Verdict,
        Burst,
        Greeted,
        BoundaryReached,
        LeaveAsked,
        WorkersFinished,
        FailureNoted,
        Proposed,
        KeysWritten,
        StoreFailed,
        LeaseLost,
        Tick,
    ]
)
