"""What members tell each other, and what follows from it. Pure functions: all reach one verdict.

Rules are those of docs/protocol.md, S2 to S4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from elastic.control import Candidate
from elastic.errors import ProtocolError

__all__ = [
    "MACHINE",
    "MIXED",
    "NOTHING",
    "Answer",
    "Drift",
    "Flags",
    "Plan",
    "combine",
    "decide",
    "difference",
]


MACHINE = frozenset(
    ("BLAS", "arithmetic", "numpy", "processor features", "python", "threads"),
)
"""What of an identity may differ where mixed machines are allowed (B6)."""
MIXED = "mixed machines"
"""What an identity calls whether they are."""


@dataclass(frozen=True)
class Answer:
    """What a member says at the beginning of a generation (S2)."""

    id: str
    applied: int
    lineage: str
    """Empty: its State is not the job's; it is a newcomer."""
    hooked: int
    held: tuple[int, ...] = ()
    stopped: bool = False
    offer: tuple[int, int] | None = None
    """Step and generation of the newest checkpoint that it can load."""
    identity: dict[str, str] = field(default_factory=dict)
    """What must be equal for equal bits (B6)."""
    copy: bool = False
    """It is a newcomer that holds a copy of State, which a feed brings level (S9)."""


@dataclass(frozen=True)
class Drift:
    """Replicas are no longer equal: these ranks differ from the others."""

    ranks: tuple[int, ...]
    parameter: str
    """The first that differs."""
    has_majority: bool
    """Whether the others are more than half of all, so that who is right is known."""


@dataclass(frozen=True)
class Flags:
    """What members ask for inside a step; all act on the combined value (S4)."""

    joins: tuple[Candidate, ...] = ()
    leaves: tuple[str, ...] = ()
    stop: bool = False
    nonfinite: tuple[str, ...] = ()
    """Where a loss was nan or inf."""
    drift: Drift | None = None
    """Never asked for: what all have found in what each has said of its parameters."""
    warm: tuple[Candidate, ...] = ()
    """Newcomers that shall have State before they join (S9)."""


NOTHING = Flags()
"""The flags of a step in which nobody asks for anything."""


def combine(flags: Iterable[Flags]) -> Flags:
    """Return what all members act on: the union, in one order."""
    every = list(flags)
    return Flags(
        joins=tuple(sorted({join for f in every for join in f.joins})),
        leaves=tuple(sorted({leave for f in every for leave in f.leaves})),
        stop=any(f.stop for f in every),
        nonfinite=tuple(sorted({place for f in every for place in f.nonfinite})),
        warm=tuple(sorted({each for f in every for each in f.warm})),
    )


@dataclass(frozen=True)
class Plan:
    """How the members of a generation come level: a pure function of their answers."""

    top: int
    """So many steps are applied once all are level."""
    lineage: str
    state: dict[str, str] = field(default_factory=dict)
    """Newcomer's id to the id of the member that sends it State."""
    result: dict[str, str] = field(default_factory=dict)
    """Who is one step behind, to the id of who sends the reduced gradient (S3)."""
    catching: tuple[str, ...] = ()
    """Newcomers whose copy of State a feed brings level; nobody waits for it (S9)."""
    load: str = ""
    """The member that first loads its checkpoint."""
    rerun: bool = False
    """The hooks of step `top` begin again on all members (S7)."""
    stopped: bool = False
    held: tuple[tuple[int, ...], ...] = ()
    """The leaves of step top + 1 that each rank has already."""

    @property
    def moves(self) -> bool:
        """Whether State changes anywhere: it travels, is loaded, or is that before the hooks."""
        return bool(self.state or self.result or self.load or self.rerun)


def decide(answers: tuple[Answer, ...]) -> Plan:
    """Return how these members, in rank order, come level. Memory beats disk.

    Raises:
        ProtocolError: members with State of the job are further apart than one step can explain.
    """
    level = [a for a in answers if a.lineage and not a.copy]
    if not level:
        return _beginning(answers)
    top = max(a.applied for a in level)
    tops = [a for a in level if a.applied == top]
    _check_level(level, tops, top)
    behind = [a for a in level if a.applied < top]
    donors = [a.id for a in tops]
    return Plan(
        top,
        tops[0].lineage,
        state=_share([a.id for a in answers if not a.lineage], donors),
        result=_share([a.id for a in behind], donors),
        catching=tuple(a.id for a in answers if a.copy),
        rerun=bool(behind) or any(a.hooked < top for a in tops),
        stopped=any(a.stopped for a in tops),
        held=tuple(a.held if a in tops else () for a in answers),
    )


def _beginning(answers: tuple[Answer, ...]) -> Plan:
    """Nobody has State of the job: the newest checkpoint, else the first member's own State."""
    offers = [a for a in answers if a.offer is not None]
    best = max(offers, key=lambda a: a.offer or (0, 0), default=None)
    source = best or answers[0]
    others = [a.id for a in answers if a is not source]
    top = best.offer[0] if best and best.offer else 0
    held = tuple(() for _ in answers)
    return Plan(top, "", _share(others, [source.id]), load=best.id if best else "", held=held)


def _share(receivers: list[str], donors: list[str]) -> dict[str, str]:
    return {id: donors[i % len(donors)] for i, id in enumerate(receivers)}


def _check_level(level: list[Answer], tops: list[Answer], top: int) -> None:
    far = [a for a in level if a.applied < top - 1]
    apart = [a for a in tops if a.lineage != tops[0].lineage]
    if far or apart:
        told = ", ".join(f"{a.id}: step {a.applied} of {a.lineage[:8]}" for a in level)
        raise ProtocolError(f"members are further apart than one step: {told}")


def difference(mine: dict[str, str], reference: Answer) -> str:
    """Return why a member with another identity than this one cannot be in the group (B6)."""
    theirs = reference.identity
    names = (*sorted(mine.keys() & theirs.keys()), *sorted({*mine, *theirs}))
    name = next(name for name in names if mine.get(name) != theirs.get(name))
    cure = ", or start all agents with --allow-mixed" if name in (*MACHINE, MIXED) else ""
    return (
        f"this worker has {name} {mine.get(name)!r}, the group (member {reference.id}) has "
        f"{theirs.get(name)!r}: other bits would result; make them equal{cure}"
    )
