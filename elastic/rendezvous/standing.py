"""Where an agent stands: all that its rendezvous core knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import RUNNING, Record
from elastic.world import Member

__all__ = ["Edge", "Phase", "Standing", "invariants", "phase", "told"]


Edge = tuple[str, str]
"""Two members, of which either may be at fault."""


class Phase(Enum):
    """Where an agent stands."""

    STARTING = "the store has not been read yet"
    FORMING = "there is no group: candidates gather"
    INSIDE = "members of this agent are in the group"
    OUTSIDE = "there is a group, without members of this agent"
    OVER = "the job is done or has failed"


@dataclass(frozen=True)
class Standing:
    """All that an agent's core knows. `agent` tells this agent from others."""

    agent: str
    listed: bool = False
    record: Record | None = None
    revision: int = 0
    revive: bool = False
    """The job had failed and all its members are gone: it may be started again."""
    known: dict[str, Member] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    """Members whose key is there, with the revision at which it was created."""
    dropped: tuple[str, ...] = ()
    """The last members whose key was deleted: late news of its writing changes nothing."""
    mine: dict[str, bool] = field(default_factory=dict)
    """Living members of this agent; whether their key is written."""
    exited: frozenset[str] = frozenset()
    """Members of this agent that ended, as long as the record names them."""
    gone: dict[str, str] = field(default_factory=dict)
    """Members of the record that are dead, and how we know."""
    suspects: frozenset[str] = frozenset()
    """Members of which a probe is on its way, or that it found dead."""
    silent: frozenset[str] = frozenset()
    """Members that are counted dead for their silence alone."""
    doubted: frozenset[str] = frozenset()
    """Members that were silent in the generation before: to be asked again, before they count."""
    not_found: dict[str, float] = field(default_factory=dict)
    """Members of the record whose key was asked for in vain, and when first."""
    greeted: frozenset[str] = frozenset()
    """Agents of the group that reach this one, and it them (M7)."""
    greeting: bool = False
    greet_at: float = 0.0
    greet_failures: int = 0
    """Greetings in vain, in a row."""
    unreached: str = ""
    """Why the last greeting was in vain."""
    separated: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Workers of this agent, by address: how often in a row they were outside without having left,
    and when they last were."""
    edges: dict[Edge, int] = field(default_factory=dict)
    """Connections of our members that broke since the members changed, and the last generation in
    which they did."""
    reset: str = ""
    """The first of this generation that broke while both ends live."""
    resets: int = 0
    """Generations in a row that were formed for such a break."""
    reset_at: float = 0.0
    boundary: ev.BoundaryReached | None = None
    leaving: str = ""
    result: dict[str, Any] | None = None
    failure: str = ""
    since: tuple[Record, float] | None = None
    """The record wanted, and since when."""
    orphaned: float | None = None
    """Since when no key of the group is there."""
    sought: bool = False
    """No agent of the group that is orphaned answered when it was pinged (M9)."""
    busy: bool = False
    """A proposal is on its way."""
    writing: bool = False
    listing: bool = False
    retry_at: float = 0.0
    unanswered: int = 0
    """Writes in a row of which the store did not say how they ended."""
    unanswered_why: str = ""
    watching: bool | None = None
    told: int = 0
    """The newest generation that our workers know of."""
    inside: frozenset[str] = frozenset()
    told_candidates: tuple[Candidate, ...] = ()
    told_over: bool = False
    said: str = ""
    story: tuple[tuple[float, Phase, Any], ...] = ()
    """The last events, when and in which phase they came; told only when something is wrong."""


def told(s: Standing, last: int = 50) -> str:
    """Return the last events, a line each."""
    return "".join(f"\n  {now:.3f} {here.name} {event}" for now, here, event in s.story[-last:])


def phase(s: Standing) -> Phase:
    """Return where the agent stands."""
    if not s.listed:
        return Phase.STARTING
    if s.record is None or s.revive:
        return Phase.FORMING
    if s.record.status != RUNNING:
        return Phase.OVER
    if not s.record.ids:
        return Phase.FORMING
    if not (s.record.members.isdisjoint(s.mine) and s.record.members.isdisjoint(s.exited)):
        return Phase.INSIDE
    return Phase.OUTSIDE


def invariants(s: Standing) -> None:
    """Raise ProtocolError if a standing cannot be: checked after every step of every test."""
    record = s.record
    checks = [
        (record is None or len(set(record.ids)) == len(record.ids), "an id stands twice"),
        (not (s.mine.keys() & s.exited), "a member both lives and has exited"),
        (record is None or s.gone.keys() <= set(record.ids), "someone outside is counted dead"),
        (s.record is None or s.told <= s.record.generation, "workers know of a future generation"),
        (s.boundary is None or s.record is not None, "a boundary without a group"),
    ]
    for holds, text in checks:
        if not holds:
            raise ProtocolError(f"{text}:{told(s)}")
