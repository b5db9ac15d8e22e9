"""Who may come in: hellos with all agents of the group first, and not too often (M7). Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, phase
from elastic.world import Member

__all__ = ["greet", "on_greeted", "returns_at", "separated", "strangers"]

LONGEST_PAUSE_S = 60.0
"""No back-off grows beyond this."""

Commands = tuple[Any, ...]
Move = tuple[Standing, Commands]


def on_greeted(s: Standing, event: ev.Greeted, now: float, cfg: Settings) -> Move:
    """Some reach us and we them, some not: those are greeted again, at doubling pauses (M7)."""
    if s.orphaned is not None:  # whoever of a silent group answers is only cut off from the store
        s = replace(s, sought=not event.reached, orphaned=now if event.reached else s.orphaned)
    failures = s.greet_failures + 1 if event.failed else 0
    again = now + min(LONGEST_PAUSE_S, cfg.return_backoff_s * 2 ** min(failures - 1, 10))
    return replace(
        s,
        greeting=False,
        greeted=(s.greeted | set(event.reached)) - set(event.failed),
        greet_failures=failures,
        greet_at=again if failures else s.greet_at,
        unreached=event.reason,
    ), ()


def returns_at(s: Standing, member: Member, cfg: Settings) -> float:
    """Who is separated from the group again and again returns later each time (M7)."""
    row, at = s.separated.get(member.address, (0, 0.0))
    pause = cfg.return_backoff_s * 2 ** min(row - 2, 10) if row > 1 else 0.0
    return at + min(LONGEST_PAUSE_S, pause)


def strangers(s: Standing) -> tuple[str, ...]:
    """Agents of the group with which this one must exchange hellos before it may join (M7)."""
    if phase(s) is not Phase.OUTSIDE or s.record is None:
        return ()
    agents = (s.known[id].agent for id in s.record.ids if id in s.present and id in s.known)
    return tuple(dict.fromkeys(a for a in agents if a not in s.greeted and a != s.agent))


def greet(s: Standing, agents: tuple[str, ...], now: float) -> Move:
    """Exchange hellos with these agents, if none are on their way and it is time to."""
    if s.greeting:
        return s, ()
    if now < s.greet_at:
        return s, (do.WakeAt(s.greet_at),)
    return replace(s, greeting=True), (do.Greet(agents),)


def separated(s: Standing, ids: tuple[str, ...], now: float) -> Standing:
    """The hellos of before mean nothing now; and soon after the last time it counts as a row."""
    past = {w: then for w, then in s.separated.items() if now < then[1] + 2 * LONGEST_PAUSE_S}
    new = {w: (past.get(w, (0, 0.0))[0] + 1, now) for w in (s.known[id].address for id in ids)}
    return replace(s, separated=past | new, greeted=frozenset(), greet_at=now)
