"""Who is dead, who is only silent, and who must go for it (PROTOCOL M6, M7). Pure.

A suspicion becomes a probe, a probe a verdict. Death that was seen is a proof and holds for ever;
silence is an edge between two, of which either may be at fault, and holds for its generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import Record
from elastic.rendezvous.resets import accuser, break_between, broke
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, phase

__all__ = ["ask_again", "on_suspected", "on_verdict", "patience_s", "suspect_absent"]

LOOKED_AT = 32
"""When a member is silent, so many other agents are asked whether they are there."""

Commands = tuple[Any, ...]
Move = tuple[Standing, Commands]


def on_suspected(s: Standing, event: ev.Suspected, now: float, cfg: Settings) -> Move:
    """A member is suspected: a probe finds out (M6)."""
    record = s.record
    if record is None or event.generation != record.generation or event.id not in record.members:
        return s, ()
    s = broke(s, event.by, event.id)
    return _probe(s, event.id, event.by, patient=not event.by)


def on_verdict(s: Standing, event: ev.Verdict, now: float, cfg: Settings) -> Move:
    """A probe has ended: dead, silent, or alive and out of touch with one of ours (M6)."""
    record = s.record
    if record is None or event.id not in record.members:
        return s, ()
    stale = event.generation != record.generation
    if event.silent and stale:
        return replace(s, doubted=s.doubted | {event.id}), ()
    if event.dead:  # in whatever generation it was asked: an id is never used again
        s = replace(s, gone=s.gone | {event.id: event.reason})
        return _look_around(s, event.id) if event.silent else (s, ())
    if stale:
        return s, ()
    s = replace(s, suspects=s.suspects - {event.id})
    by = event.by or accuser(s, event.id)
    # without one only its key was gone: its agent will write it again
    return (break_between(s, by, event.id) if by else s), ()


def _look_around(s: Standing, id: str) -> Move:
    """One is silent: who else is? Only so is it known how many would have to go (M7)."""
    ids = s.record.ids if s.record else ()
    s = replace(s, silent=s.silent | {id})
    agent, seen = s.known[id].agent, {s.agent}
    commands: Commands = ()
    for other in ids:
        theirs = s.known[other].agent if other in s.known else s.agent
        if theirs not in seen or theirs == agent != s.agent:
            s, more = _probe(s, other, "") if len(seen) <= LOOKED_AT else (s, ())
            commands += more
            seen.add(theirs)
    return s, commands


def suspect_absent(s: Standing, among: Iterable[str], now: float, cfg: Settings) -> Move:
    """A key that is gone while the record names its member is a suspicion, not a proof (M6)."""
    commands: Commands = ()
    if phase(s) is Phase.INSIDE and s.record is not None:
        for id in among:
            if id not in s.record.members or id in s.present or id in s.mine:
                continue
            if id in s.known:
                s, more = _probe(s, id, "")
                commands += more
            else:
                s = _not_found(s, id, now, cfg)
    return s, commands


def _not_found(s: Standing, id: str, now: float, cfg: Settings) -> Standing:
    """Nobody can be asked who has no address; who lives and has lost its lease writes it again."""
    since = s.not_found.get(id, now)
    if now - since >= cfg.silence_s:
        return replace(s, gone=s.gone | {id: "its key vanished before it was known"})
    return replace(s, not_found=s.not_found | {id: since}, retry_at=now + cfg.retry_s)


def _probe(s: Standing, id: str, by: str, patient: bool = False) -> Move:
    if id in s.suspects or id in s.gone or id not in s.known:
        return s, ()
    assert s.record is not None
    generation = s.record.generation
    s = replace(s, suspects=s.suspects | {id})
    return s, (do.Probe(generation, s.known[id], by, patient),)


def ask_again(s: Standing, now: float, cfg: Settings) -> Move:
    """Silence counts in the generation in which it was met; who still is in the next is asked."""
    doubted = s.doubted if phase(s) is Phase.INSIDE else frozenset()
    s = replace(s, doubted=frozenset())
    commands: Commands = ()
    for id in sorted(doubted):
        s, more = _probe(s, id, "")
        commands += more
    return s, commands


def patience_s(s: Standing, want: Record, cfg: Settings) -> float:
    """Silence is an edge between two, and either may go: first proposes who removes fewer (M7)."""
    if not want.lost or not s.silent.issuperset(want.lost) or phase(s) is not Phase.INSIDE:
        return 0.0
    assert s.record is not None
    agents = {s.known[id].agent for id in want.lost if id in s.known}
    mine = min((_place(s.record.ids, id) for id in s.mine), default=0)
    tie = any(_place(s.record.ids, id) < mine for id in want.lost)
    asking = cfg.silence_s if s.suspects - s.gone.keys() else 0.0
    return min(len(agents) - 1, 3) * cfg.silence_s + tie * cfg.tie_s + asking


def _place(ids: tuple[str, ...], id: str) -> int:
    return ids.index(id) if id in ids else len(ids)
