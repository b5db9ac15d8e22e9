"""Connections that break between members that live: who must go if they keep breaking (M6). Pure.

Each is an edge between two, of which either may be at fault. All that this agent hears of count:
those of this generation must go, earlier ones tell the two ends apart, until the members change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from elastic.rendezvous.record import Record
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Edge, Standing

__all__ = ["accuser", "break_between", "broke", "in_a_row", "pause_s", "put_apart", "reset_after"]

RESETS = 3
"""After so many generations in a row formed for a broken connection, somebody must go."""
ROW_S = 60.0
"""What follows the last such generation so much later begins a new row."""


def broke(s: Standing, connections: Iterable[tuple[str, str]]) -> Standing:
    """Each is one of ours that has lost the connection to a member, which may yet prove dead."""
    assert s.record is not None
    edges = ((min(by, id), max(by, id)) for by, id in connections)
    return replace(s, edges=s.edges | dict.fromkeys(edges, s.record.generation))


def accuser(s: Standing, id: str) -> str:
    """Return who has lost the connection to this member in this generation; '' if nobody has."""
    assert s.record is not None
    ends = {end for edge in _now(s.record, s.edges) if id in edge for end in edge}
    return max(ends - {id}, default="")


def break_between(s: Standing, by: str, id: str) -> Standing:
    """Both ends live: the next generation is formed for it. The first of several is named."""
    return replace(s, reset=s.reset or f"the connection between {by} and {id} broke, both live")


def in_a_row(s: Standing, now: float) -> int:
    """Return how many generations in a row were formed for broken connections."""
    return s.resets if now < s.reset_at + ROW_S else 0


def reset_after(s: Standing, record: Record, now: float) -> Record:
    """Return the next generation after a break: the same members, or without those at fault."""
    lost = put_apart(record, s.edges) if in_a_row(s, now) >= RESETS else ()
    if not lost:
        return record.after(cause=s.reset)
    ids = tuple(id for id in record.ids if id not in lost)
    cause = f"{', '.join(lost)} could not be kept in touch with: {s.reset}"
    return record.after(ids=ids, lost=lost, cause=cause)


def put_apart(record: Record, edges: dict[Edge, int]) -> tuple[str, ...]:
    """Return who goes so that no edge of now is left: most edges first, then the less tenured."""
    before, lost = Counter(chain(*edges)), set[str]()
    while left := [edge for edge in _now(record, edges) if lost.isdisjoint(edge)]:
        count = Counter(chain(*left))
        ranked = [(count[id], before[id], rank, id) for rank, id in enumerate(record.ids)]
        lost.add(max(ranked)[-1])
    return tuple(id for id in record.ids if id in lost)


def pause_s(s: Standing, want: Record, now: float, cfg: Settings) -> float:
    """Resets come at doubling pauses; whoever knows too little to tell the two apart waits (M7)."""
    if not s.reset or not want.cause.endswith(s.reset):
        return 0.0
    pause = cfg.reset_backoff_s * 2 ** min(in_a_row(s, now), 6)
    tie = want.lost and len(s.edges) == len(want.lost)
    return pause + (cfg.tie_s if tie else 0.0)


def _now(record: Record, edges: dict[Edge, int]) -> list[Edge]:
    return [edge for edge, generation in edges.items() if generation == record.generation]
