"""Who is dead, who is only silent, and who must go for it (PROTOCOL M6, M7). Pure.

A suspicion becomes a probe, a probe a verdict. Death that was seen is a proof and holds for ever;
silence is an edge between two, of which either may be at fault, and holds for its generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Any

from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import Record
from elastic.rendezvous.resets import accuser, break_between, broke
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, phase

__all__ = ["ask_again", "on_suspected", "on_verdicts", "patience_s", "suspect_absent"]

LOOKED_AT = 32
"""When a member is silent, so many other agents are asked whether they are there."""

Commands = tuple[Any, ...]
Move = tuple[Standing, Commands]


def on_suspected(s: Standing, events: Sequence[ev.Suspected], now: float, cfg: Settings) -> Move:
    """Members are suspected: a probe of each finds out (M6)."""
    record, accused = s.record, dict[str, str]()
    if record is None:
        return s, ()
    heard = [e for e in events if e.generation == record.generation and e.id in record.members]
    for event in heard:
        accused[event.id] = accused.get(event.id) or event.by
    s = broke(s, ((event.by, event.id) for event in heard if event.by))
    return _probe(s, accused, patient=True)


def on_verdicts(s: Standing, events: Sequence[ev.Verdict], now: float, cfg: Settings) -> Move:
    """Probes have ended: dead, silent, or alive and out of touch with one of ours (M6)."""
    record = s.record
    if record is None:
        return s, ()
    about = [event for event in events if event.id in record.members]
    ours = [event for event in about if event.generation == record.generation]
    late = [event for event in about if event.generation != record.generation]
    # Silence counts in its generation; a proof in whatever it was asked: no id is used again.
    dead = chain((e for e in ours if e.dead), (e for e in late if e.dead and not e.silent))
    gone = {event.id: event.reason for event in dead}
    doubted = {event.id for event in late if event.silent}
    silent = {event.id for event in ours if event.silent}
    alive = [event for event in ours if not event.dead]
    s = replace(s, doubted=s.doubted | doubted, gone=s.gone | gone)
    s = _found_alive(s, alive) if alive else s
    return _look_around(s, silent) if silent else (s, ())


def _found_alive(s: Standing, verdicts: Sequence[ev.Verdict]) -> Standing:
    s = replace(s, suspects=s.suspects.difference(verdict.id for verdict in verdicts))
    # without an accuser only its key was gone: its agent will write it again
    edges = ((verdict.by or accuser(s, verdict.id), verdict.id) for verdict in verdicts)
    by, id = next(filter(itemgetter(0), edges), ("", ""))
    return break_between(s, by, id) if by else s


def _look_around(s: Standing, silent: set[str]) -> Move:
    """Some are silent: who else is? Only so is it known how many would have to go (M7)."""
    theirs = {s.known[id].agent for id in silent} - {s.known[id].agent for id in s.silent}
    s = replace(s, silent=s.silent | silent)
    seen, accused = {s.agent}, dict[str, str]()
    for id in s.record.ids if s.record and theirs else ():
        agent = s.known[id].agent if id in s.known else s.agent
        if agent != s.agent and (agent in theirs or (agent not in seen and len(seen) <= LOOKED_AT)):
            accused[id] = ""
            seen.add(agent)
    return _probe(s, accused)


def suspect_absent(s: Standing, among: Iterable[str], now: float, cfg: Settings) -> Move:
    """A key that is gone while the record names its member is a suspicion, not a proof (M6)."""
    if phase(s) is not Phase.INSIDE or s.record is None:
        return s, ()
    record = s.record
    absent = [
        id for id in among if id in record.members and id not in s.present and id not in s.mine
    ]
    s = _not_found(s, [id for id in absent if id not in s.known], now, cfg)
    return _probe(s, dict.fromkeys(absent, ""))


def _not_found(s: Standing, ids: Sequence[str], now: float, cfg: Settings) -> Standing:
    """Nobody can be asked who has no address; who lives and has lost its lease writes it again.

    Who came later is known to the eldest: they have seen its key, and find out if it is dead.
    """
    since = {id: s.not_found.get(id, now) for id in ids}
    if not since or s.record is None:
        return s
    first = len(s.record.joined) == len(s.record.ids)
    patience = cfg.silence_s if first else cfg.orphan_wait_s
    lost = [id for id, at in since.items() if now - at >= patience]
    s = replace(s, gone=s.gone | dict.fromkeys(lost, "its key vanished before it was known"))
    if len(lost) == len(since):
        return s
    return replace(s, not_found=s.not_found | since, retry_at=now + cfg.retry_s)


def _probe(s: Standing, accused: Mapping[str, str], patient: bool = False) -> Move:
    """Ask for each of `accused`, who by whom; with an accuser there is no time for patience."""
    new = [id for id in accused if id in s.known and id not in s.suspects and id not in s.gone]
    if not new:
        return s, ()
    assert s.record is not None
    generation, known = s.record.generation, s.known
    s = replace(s, suspects=s.suspects.union(new))
    return s, tuple(
        do.Probe(generation, known[id], accused[id], patient and not accused[id]) for id in new
    )


def ask_again(s: Standing, now: float, cfg: Settings) -> Move:
    """Silence counts in the generation in which it was met; who still is in the next is asked."""
    doubted = s.doubted if phase(s) is Phase.INSIDE else frozenset()
    s = replace(s, doubted=frozenset())
    return _probe(s, dict.fromkeys(sorted(doubted), ""))


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
