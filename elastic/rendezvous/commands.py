"""What a rendezvous core wants done. Imperatives; frozen; JSON both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elastic.control import Candidate
from elastic.rendezvous.record import Record
from elastic.wire import Vocabulary
from elastic.world import Member

__all__ = [
    "COMMANDS",
    "DropMembers",
    "Greet",
    "List",
    "Probe",
    "Propose",
    "PutMembers",
    "Read",
    "Readmit",
    "Say",
    "TellCandidates",
    "TellGroup",
    "TellOver",
    "WakeAt",
    "Watch",
]


@dataclass(frozen=True)
class List:
    """Read all of the job's keys; answer Listed."""


@dataclass(frozen=True)
class Read:
    """Read the keys of these members alone; answer Found."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Watch:
    """Watch the record alone, or the members' keys too."""

    members: bool


@dataclass(frozen=True)
class PutMembers:
    """Write these keys under this agent's lease, in one transaction; answer KeysWritten."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class DropMembers:
    """Delete these members' keys."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Propose:
    """One transaction: if the record is still of `revision` and `own`'s key exists, write it.

    The keys of `drops` are deleted with it. Answer Proposed.
    """

    record: Record
    revision: int
    own: str
    drops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """Find out whether the member lives (PROTOCOL M6); answer Verdict."""

    generation: int
    member: Member
    by: str
    patient: bool = False
    """There is no sign of its death but that others wait for it."""


@dataclass(frozen=True)
class Greet:
    """Find out whether we and these agents reach each other (PROTOCOL M7); answer Greeted."""

    agents: tuple[str, ...]


@dataclass(frozen=True)
class TellGroup:
    """Tell this agent's members of a new generation."""

    record: Record
    members: tuple[Member, ...]
    """All of the group, with their addresses."""
    ids: tuple[str, ...]
    """Those of this agent that are in it."""
    paused: bool


@dataclass(frozen=True)
class TellCandidates:
    """Tell this agent's members which newcomers are ready."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class TellOver:
    """The job is done (result) or has failed (cause)."""

    result: dict[str, Any] | None
    cause: str


@dataclass(frozen=True)
class Readmit:
    """These members of this agent are outside a group they were in: give them new ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Say:
    """Tell the user, once."""

    text: str


@dataclass(frozen=True)
class WakeAt:
    """Send a Tick at this time, CLOCK_MONOTONIC."""

    t: float


COMMANDS = Vocabulary(
    [
        List,
        Read,
        Watch,
        PutMembers,
        DropMembers,
        Propose,
        Probe,
        Greet,
        TellGroup,
        TellCandidates,
        TellOver,
        Readmit,
        Say,
        WakeAt,
    ]
)
