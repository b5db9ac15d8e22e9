"""Where one worker stands: all that its training core knows. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.training import commands as do
from elastic.training.agreement import NOTHING, Flags, Plan
from elastic.training.newcomers import Copy, Pace, Warming

__all__ = ["Job", "Moves", "Phase", "Standing", "go_on", "invariants", "to", "told"]


class Phase(Enum):
    """What the shell is doing."""

    WAITING = "waiting for a generation"
    COPYING = "taking over a copy of State"
    MEETING = "exchanging answers"
    MOVING = "moving State"
    CATCHING = "taking the last steps from the feed"
    SYNCING = "in the user's sync"
    COMPUTING = "computing leaves"
    REDUCING = "reducing the step"
    APPLYING = "in the user's update"
    HOOKING = "in the user's hooks"
    SAVING = "writing a checkpoint"
    ENDING = "comparing the end"
    OVER = "out"


@dataclass(frozen=True)
class Job:
    """What is known of the job before it begins, equal on all members."""

    total_steps: int
    leaves: Callable[[int], int]
    """How many leaves the step of this number has."""
    hooks: bool = False
    checkpoint_every: int = 0
    """0: only at the end, and when too few remain."""
    checkpoints: bool = False
    nonfinite_is_error: bool = False
    drift_heals: bool = False
    """Whether a minority that has drifted goes and comes back; else a drift is the job's end."""
    pace: Pace | None = None
    """How far newcomers may be behind that get State while the group trains; None: none do."""


class Standing(NamedTuple):
    """Where one worker stands."""

    identity: dict[str, str] = {}  # noqa: RUF012  # nobody writes to it
    offer: tuple[int, int] | None = None
    phase: Phase = Phase.WAITING
    id: str = ""
    min_workers: int = 1
    generation: int = 0
    ids: tuple[str, ...] = ()
    rank: int = -1
    paused: bool = False
    applied: int = 0
    lineage: str = ""
    hooked: int = 0
    saved: int = -1
    stopped: bool = False
    held: frozenset[int] = frozenset()
    todo: tuple[int, ...] = ()
    plan: Plan | None = None
    flags: Flags = NOTHING
    """What this member will ask for in the step in flight."""
    agreed: Flags = NOTHING
    """What all agreed on in the last step."""
    candidates: tuple[Candidate, ...] = ()
    warming: Warming = Warming()
    copy: Copy | None = None
    """Set while State is a copy that was lent to this newcomer."""
    leaving: tuple[str, ...] = ()
    """Who leaves with this member, itself among them."""
    story: tuple[tuple[Phase, Any], ...] = ()
    """The last events and the phases they came in; told only when something is wrong."""


Moves = tuple[Standing, tuple[Any, ...]]
"""A standing, and the commands to carry out in order."""


def to(s: Standing, phase: Phase, *commands: Any, **changes: Any) -> Moves:
    """Return a move to a phase."""
    return s._replace(phase=phase, **changes), commands


def go_on(s: Standing, *commands: Any) -> Moves:
    """Remember; what the shell is doing goes on, and waiting is taken up again."""
    return s, (*commands, do.Await()) if s.phase is Phase.WAITING else commands


def told(s: Standing) -> str:
    """Return the story so far, a line an event."""
    return "".join(f"\n  {phase.name} {event}" for phase, event in s.story)


_WITH_A_COPY = (Phase.WAITING, Phase.COPYING, Phase.MEETING, Phase.MOVING, Phase.CATCHING)


def invariants(s: Standing, job: Job) -> None:
    """Raise ProtocolError if a standing cannot be: checked after every step of every test."""
    n = job.leaves(s.applied + 1) if s.applied < job.total_steps else 0
    checks = [
        (s.hooked in (s.applied, s.applied - 1), "hooks are more than one step behind"),
        (s.stopped or all(0 <= leaf < n for leaf in s.held), "a leaf is held that no step has"),
        (not (s.held & set(s.todo)), "a held leaf is to be computed again"),
        (s.phase is not Phase.REDUCING or not s.todo, "a step is reduced before its leaves are"),
        (s.copy is None or s.phase in _WITH_A_COPY, "at work with a copy that is not level"),
        (s.applied <= job.total_steps, "more steps are applied than there are"),
        (
            s.phase in (Phase.WAITING, Phase.COPYING, Phase.OVER) or s.rank >= 0,
            "at work outside a group",
        ),
    ]
    for holds, text in checks:
        if not holds:
            raise ProtocolError(f"{text}:{told(s)}")
