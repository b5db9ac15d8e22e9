"""Who is in the group: the deciding part. Pure: events and `now` in, commands out.

One core an agent. It keeps what it knows in a `Standing`; every event first changes what is known
(the table at the end says which events mean something in which phase), then `_reconcile` compares
the record with the record that this knowledge asks for and acts on the difference. So a lost
compare-and-swap, a repeated event or a late one needs no case of its own.

What the record should say follows from what is known in `wish.py`; who is dead is found in
`verdicts.py`, who may come in in `hellos.py`. Rules are those of
docs/protocol.md, M.

Of some events hundreds come at once. A run of one kind goes to its handler as a whole, and what
follows is found once a burst: so a burst costs what one event costs, and not its length times that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import Any

from elastic.errors import ProtocolError
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.hellos import greet, on_greeted, returns_at, separated, strangers
from elastic.rendezvous.record import DONE, FAILED, RUNNING, Record
from elastic.rendezvous.resets import in_a_row, pause_s
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, phase, told
from elastic.rendezvous.verdicts import (
    ask_again,
    on_suspected,
    on_verdicts,
    patience_s,
    suspect_absent,
)
from elastic.rendezvous.wish import candidates, wanted
from elastic.world import Member

__all__ = ["TABLE", "step"]

WATCHERS = 3
"""So many agents, those of the eldest members, watch the members' keys (M2)."""
REMEMBERED = 100
"""Of so many members it is remembered that their key was deleted."""
FEW = 50
"""So many members' keys are read one by one; to read all, at every join, would be a square."""


Commands = tuple[Any, ...]
Move = tuple[Standing, Commands]


def step(s: Standing, event: Any, now: float, cfg: Settings) -> Move:
    """Return the standing after `event`, and what must be done.

    Raises:
        ProtocolError: the event means nothing in this phase.
    """
    commands: Commands = ()
    for kind, run in groupby(event.events if isinstance(event, ev.Burst) else (event,), type):
        s, more = _learn(s, kind, tuple(run), now, cfg)
        commands += more
    s, more = _reconcile(s, now, cfg)
    return s, commands + more


def _learn(s: Standing, kind: type, run: tuple[Any, ...], now: float, cfg: Settings) -> Move:
    here = phase(s)
    told_as = run[0] if len(run) == 1 else ev.Burst(run)
    s = replace(s, story=(*s.story[-40:], (now, here, told_as)))
    handler = TABLE.get((here, kind))
    if handler is None:
        raise ProtocolError(f"{kind.__name__} means nothing when {here.value}:{told(s)}")
    return handler(s, run if kind in ev.BURSTS else run[0], now, cfg)


# -- what events change in what is known --------------------------------------------------------


def _ignore(s: Standing, event: Any, now: float, cfg: Settings) -> Move:
    return s, ()


def _on_listed(s: Standing, event: ev.Listed, now: float, cfg: Settings) -> Move:
    present = {member.id: created for created, member in event.members}
    known = s.known | {member.id: member for _, member in event.members}
    first = not s.listed
    s = replace(s, listed=True, listing=False, present=present, known=known)
    s = _adopt(s, event.record, event.revision, now)
    if first and s.record and s.record.status == FAILED and not present:
        s = replace(s, revive=True)
    s, lapsed = _lapse(s, [id for id in s.mine if id not in present])
    s = _know_ours(s)
    s, commands = suspect_absent(s, s.record.ids if s.record else (), now, cfg)
    stray = _stray(s)
    return s, (*lapsed, *commands, *((do.DropMembers(stray),) if stray else ()))


def _on_found(s: Standing, event: ev.Found, now: float, cfg: Settings) -> Move:
    found = {member.id: created for created, member in event.members if member.id not in s.dropped}
    known = s.known | {member.id: member for _, member in event.members}
    s = replace(s, listing=False, present=s.present | found, known=known)
    return suspect_absent(s, event.asked, now, cfg)


def _stray(s: Standing) -> tuple[str, ...]:
    """Keys of our workers that ended outside the group, whose deletion the store did not hear."""
    ids = s.record.members if s.record else ()
    return tuple(
        id
        for id in s.present
        if s.known[id].agent == s.agent and id not in s.mine and id not in ids
    )


def _on_record(s: Standing, event: ev.RecordSeen, now: float, cfg: Settings) -> Move:
    return _adopt(s, event.record, event.revision, now), ()


def _on_members_seen(
    s: Standing, events: Sequence[ev.MemberSeen], now: float, cfg: Settings
) -> Move:
    seen = {e.member.id: e for e in events if e.member.id not in s.dropped}
    present = s.present | {id: e.created for id, e in seen.items()}
    known = s.known | {id: e.member for id, e in seen.items()}
    return replace(s, present=present, known=known), ()


def _on_members_gone(
    s: Standing, events: Sequence[ev.MemberGone], now: float, cfg: Settings
) -> Move:
    ids = tuple(event.id for event in events)
    s, lapsed = _lapse(s, ids)
    # Of the others nothing was said: who is not present may be one that was not heard of yet.
    s = replace(s, present=_without(s.present, ids))
    s, commands = suspect_absent(s, ids, now, cfg)
    return s, (*lapsed, *commands)


def _on_workers_ready(s: Standing, event: ev.WorkersReady, now: float, cfg: Settings) -> Move:
    new = {member.id: False for member in event.members}
    known = s.known | {member.id: member for member in event.members}
    return replace(s, mine=s.mine | new, known=known), ()


def _on_worker_exited(s: Standing, event: ev.WorkerExited, now: float, cfg: Settings) -> Move:
    id = event.id
    if id not in s.mine:
        return s, ()
    s = replace(s, mine=_without(s.mine, [id]), inside=s.inside - {id})
    if s.record and s.record.status == RUNNING and id in s.record.members:
        return replace(s, exited=s.exited | {id}, gone=s.gone | {id: event.reason}), ()
    return _drop(s, (id,)), (do.DropMembers((id,)),)


def _on_boundary(s: Standing, event: ev.BoundaryReached, now: float, cfg: Settings) -> Move:
    if s.record is None or event.generation != s.record.generation:
        return s, ()
    return replace(s, boundary=event), ()


def _on_leave_asked(s: Standing, event: ev.LeaveAsked, now: float, cfg: Settings) -> Move:
    s = replace(s, leaving=event.reason)
    ids = s.record.ids if s.record and s.record.status == RUNNING else ()
    waiting = tuple(id for id in s.mine if id not in ids)
    s = _drop(replace(s, mine=_without(s.mine, waiting)), waiting)
    return s, (do.DropMembers(waiting),) if waiting else ()


def _on_finished(s: Standing, event: ev.WorkersFinished, now: float, cfg: Settings) -> Move:
    if s.record is None or event.generation != s.record.generation:
        return s, ()
    return replace(s, result=event.result), ()


def _on_failure(s: Standing, event: ev.FailureNoted, now: float, cfg: Settings) -> Move:
    return (replace(s, failure=event.cause) if event.again else s), ()


def _on_proposed(s: Standing, event: ev.Proposed, now: float, cfg: Settings) -> Move:
    s = replace(s, busy=False, unanswered=0)
    if event.revision == s.revision and not event.won:
        # The record is as we thought: it was our own key that is missing. Write it again first.
        s = replace(s, mine={id: id in s.present for id in s.mine}, retry_at=now + cfg.retry_s)
        return s, (do.List(),)
    return _adopt(s, event.record, event.revision, now), ()


def _on_keys_written(s: Standing, event: ev.KeysWritten, now: float, cfg: Settings) -> Move:
    created = {candidate.id: candidate.created for candidate in event.created}
    mine = {id: written or id in created for id, written in s.mine.items()}
    present = s.present | {id: at for id, at in created.items() if id in mine}
    return replace(s, writing=False, unanswered=0, mine=mine, present=present), ()


def _on_store_failed(s: Standing, event: ev.StoreFailed, now: float, cfg: Settings) -> Move:
    s = replace(s, unanswered=s.unanswered + 1, unanswered_why=event.reason)
    s = replace(s, busy=False, writing=False, listing=False)
    return replace(s, retry_at=now + cfg.retry_s), ()


def _on_lease_lost(s: Standing, event: ev.LeaseLost, now: float, cfg: Settings) -> Move:
    return _lapse(replace(s, present=_without(s.present, s.mine)), s.mine)


def _lapse(s: Standing, ids: Iterable[str]) -> Move:
    """Keys of ours are gone: members' are written again, but who waits gets a new id (M8).

    It may have been admitted and lost while this agent heard nothing: no id is used again.
    """
    lapsed = [id for id in ids if s.mine.get(id)]
    if not lapsed:
        return s, ()
    kept = {*s.inside, *(s.record.ids if s.record else ())}
    s = replace(s, mine=s.mine | dict.fromkeys((id for id in lapsed if id in kept), False))
    used = tuple(id for id in lapsed if id not in kept)
    if not used or s.told_over:
        return s, ()
    return _drop(replace(s, mine=_without(s.mine, used)), used), (do.Readmit(used),)


def _adopt(s: Standing, record: Record | None, revision: int, now: float) -> Standing:
    """Take the store's record for ours, unless ours is newer; what was about the old one ends."""
    if record is None:
        return replace(s, revision=0)
    if revision <= s.revision:
        return s
    before = s.record
    s = replace(s, record=record, revision=revision, revive=False)
    if before is not None and record.generation == before.generation:
        return s
    # Their keys went with a record; by a lost proposal one may learn of several at once.
    members = (*(before.ids if before else ()), *record.lost, *record.left)
    s = _drop(s, tuple(id for id in dict.fromkeys(members) if id not in record.members))
    moved = bool(record.lost or record.joined or record.left)
    s = replace(
        s,
        # A proof holds for ever; who was silent then may be heard now.
        gone={i: y for i, y in s.gone.items() if i in record.members and i not in s.silent},
        doubted=s.silent & record.members,
        silent=frozenset(),
        not_found={},
        exited=s.exited & record.members,
        suspects=frozenset(),
        reset="",
        edges={} if moved else s.edges,
        resets=0 if moved else in_a_row(s, now) + 1,
        reset_at=now,
        boundary=None,
        result=None,
        orphaned=None,
    )
    return _know_ours(s)


def _know_ours(s: Standing) -> Standing:
    """The record may name one of ours that had ended before it was admitted: a proof."""
    if s.record is None or s.record.status != RUNNING:
        return s
    ended = s.record.members.intersection(s.dropped) - s.exited - s.mine.keys()
    dead = frozenset(id for id in ended if id in s.known and s.known[id].agent == s.agent)
    why = dict.fromkeys(dead, "it ended before it was admitted")
    return replace(s, exited=s.exited | dead, gone=s.gone | why) if dead else s


def _drop(s: Standing, ids: tuple[str, ...]) -> Standing:
    dropped = (*s.dropped, *ids)[-REMEMBERED:]
    return replace(s, present=_without(s.present, ids), dropped=dropped)


# -- what follows from it -----------------------------------------------------------------------


def _reconcile(s: Standing, now: float, cfg: Settings) -> Move:
    commands: Commands = ()
    for act in (_watch, _note_orphans, ask_again, _tell, _write_keys, _propose, _say):
        s, more = act(s, now, cfg)
        commands += more
    return s, commands


def _write_keys(s: Standing, now: float, cfg: Settings) -> Move:
    missing = tuple(s.known[id] for id, written in s.mine.items() if not written)
    if not missing or s.writing or s.told_over:
        return s, ()
    due = {member: max(s.retry_at, returns_at(s, member, cfg)) for member in missing}
    missing = tuple(member for member in missing if due[member] <= now)
    if not missing:
        return s, (do.WakeAt(min(due.values())),)
    if unknown := strangers(s):
        return greet(s, unknown, now)
    return replace(s, writing=True), (do.PutMembers(missing),)


def _watch(s: Standing, now: float, cfg: Settings) -> Move:
    """The eldest members' agents watch the members' keys, the others only the record (M2)."""
    here = phase(s)
    members = here is Phase.STARTING or _is_watcher(s, cfg)
    if here is Phase.OVER or members == s.watching:
        return s, ()
    return replace(s, watching=members), (do.Watch(members),)


def _is_watcher(s: Standing, cfg: Settings) -> bool:
    if phase(s) is Phase.FORMING:
        ids: Iterable[str] = sorted(s.present, key=s.present.__getitem__)
    elif s.record is None or phase(s) is not Phase.INSIDE:
        return False
    else:
        ids = s.record.ids
    return len(agents := _eldest(s, ids)) < WATCHERS or s.agent in agents


def _eldest(s: Standing, ids: Iterable[str]) -> set[str]:
    """The agents that watch for all: those of the eldest members (M2)."""
    agents: set[str] = set()
    for id in ids:
        if len(agents) == WATCHERS:
            break
        if id in s.known:
            agents.add(s.known[id].agent)
    return agents


def _note_orphans(s: Standing, now: float, cfg: Settings) -> Move:
    """A group of which no key is left may be dead, or only cut off from the store (M9)."""
    ids = s.record.ids if s.record else ()
    if phase(s) is not Phase.OUTSIDE or any(id in s.present for id in ids):
        return replace(s, orphaned=None, sought=False), ()
    if s.orphaned is None:
        s = replace(s, orphaned=now)
    assert s.orphaned is not None
    due = s.orphaned + cfg.orphan_wait_s
    if now < due:
        return s, (do.WakeAt(due),)
    # Whose agent reaches the store, and writes no key for it, is dead: nobody need be asked.
    living = {s.agent, *(s.known[id].agent for id in s.present if id in s.known)}
    asked = (s.known[id].agent for id in ids if id in s.known)
    agents = dict.fromkeys(agent for agent in asked if agent not in living)
    if s.sought or s.greeting or not agents:
        return replace(s, sought=s.sought or not agents), ()
    return replace(s, greeting=True), (do.Greet(tuple(agents)),)


def _tell(s: Standing, now: float, cfg: Settings) -> Move:
    here = phase(s)
    if here is Phase.OVER:
        return _tell_over(s)
    if s.record is None or here not in (Phase.INSIDE, Phase.OUTSIDE, Phase.FORMING):
        return s, ()
    s, commands = _tell_group(s, s.record, now, cfg)
    if here is Phase.INSIDE and s.watching:
        ready = candidates(s, cfg)
        if ready != s.told_candidates:
            s = replace(s, told_candidates=ready)
            commands += (do.TellCandidates(ready),)
    return s, commands


def _tell_over(s: Standing) -> Move:
    if s.told_over or s.record is None:
        return s, ()
    result = s.record.result if s.record.status == DONE else None
    tell = do.TellOver(result, s.record.cause)
    drop = (do.DropMembers(tuple(id for id in s.present if id in s.mine or id in s.exited)),)
    return replace(s, told_over=True), (tell, *(drop if drop[0].ids else ()))


def _tell_group(s: Standing, record: Record, now: float, cfg: Settings) -> Move:
    if record.generation <= s.told or not s.mine or s.revive:
        return s, ()
    ids = tuple(id for id in record.ids if id in s.mine)
    if ids and not record.members <= s.known.keys():
        return _ask_for(s, record, now)
    left = tuple(id for id in record.left if id in s.mine)
    outside = tuple(id for id in s.mine if id in s.inside and id not in ids + left)
    s = replace(s, told=record.generation, inside=frozenset(ids), told_candidates=())
    s = separated(s, outside, now) if outside else s
    s = replace(s, mine=_without(s.mine, left + outside), known=_prune(s))
    commands: Commands = ()
    if ids or left:
        members = tuple(s.known[id] for id in record.ids if id in s.known)
        paused = len(record.ids) < cfg.min_workers
        commands += (do.TellGroup(record, members, ids + left, paused),)
    if outside:
        commands += (do.DropMembers(outside), do.Readmit(outside))
    if not ids:  # whoever waits will need their addresses, and keys may be gone by then
        s, more = _ask_for(s, record, now)
        commands += more
    return s, commands


def _ask_for(s: Standing, record: Record, now: float) -> Move:
    """Addresses are in the members' keys; whose key is gone already is as good as dead."""
    unknown = [id for id in record.ids if id not in s.known and id not in s.gone]
    if s.listing or not unknown:  # else the next record is without them: nothing to ask for
        return s, ()
    if now < s.retry_at:
        return s, (do.WakeAt(s.retry_at),)
    few = len(unknown) <= FEW
    return replace(s, listing=True), (do.Read(tuple(unknown)) if few else do.List(),)


def _prune(s: Standing) -> dict[str, Member]:
    """Forget members that are neither in the record nor in the store."""
    ids = s.record.members if s.record else frozenset()
    away = s.known.keys() - ids - s.present.keys() - s.mine.keys()
    return _without(s.known, away) if away else s.known


def _propose(s: Standing, now: float, cfg: Settings) -> Move:
    want = wanted(s, now, cfg) if phase(s) not in (Phase.STARTING, Phase.OVER) else None
    if want is None:
        return replace(s, since=None), ()
    if s.since is None or s.since[0] != want:
        s = replace(s, since=(want, now))
    place, own = _turn(s, want), _own(s, want)
    if place is None or own is None or s.busy:
        return s, ()
    if _hears_more_soon(s, want):
        return s, ()
    assert s.since is not None
    pause = pause_s(s, want, now, cfg) + patience_s(s, want, cfg)
    due = max(s.since[1] + place * cfg.stagger_s + pause, s.retry_at)
    if now < due:
        return s, (do.WakeAt(due),)
    drops = tuple(dict.fromkeys((*want.lost, *want.left)))
    return replace(s, busy=True), (do.Propose(want, s.revision, own, drops),)


def _hears_more_soon(s: Standing, want: Record) -> bool:
    """A host's workers die together: one change for all, once each is judged."""
    if s.exited:
        return False
    hosts = {s.known[id].agent for id in want.lost if id in s.known}
    waiting = s.suspects - s.gone.keys()
    return any(s.known[id].agent in hosts for id in waiting if id in s.known)


def _turn(s: Standing, want: Record) -> int | None:
    """How many others may propose before this agent: whoever holds a proof need not wait (M3)."""
    if s.exited & set(want.lost) or s.failure or (s.exited and want.status == DONE):
        return 0
    if phase(s) is not Phase.INSIDE:
        order: Iterable[str] = want.ids
    else:
        assert s.record is not None
        living = (id for id in s.record.ids if id not in s.gone and id not in s.suspects)
        # Ours may have to go, and nobody else know it: then it says so last.
        order = chain(living, (id for id in s.gone if id in s.mine))
    return next((place for place, id in enumerate(order) if id in s.mine), None)


def _own(s: Standing, want: Record) -> str | None:
    """A key of this agent that fences its proposal: without a key nobody proposes (M3).

    But that the job has failed may be said by an agent none of whose workers came so far.
    """
    rank = s.record.ids if s.record else ()
    living = (id for id in chain(rank, want.ids, s.mine) if s.mine.get(id))
    dead = (id for id in rank if id in s.exited and id in s.present)
    return next(chain(living, dead), "" if s.failure else None)


def _say(s: Standing, now: float, cfg: Settings) -> Move:
    """Waiting is said once, with what is missing (M4)."""
    kind, text = _waiting(s, cfg)
    if kind == s.said:
        return s, ()
    return replace(s, said=kind), (do.Say(text),) if text else ()


def _waiting(s: Standing, cfg: Settings) -> tuple[str, str]:
    here, ready = phase(s), len(s.present)
    if not s.mine or s.leaving:
        return "", ""
    if s.unanswered > 1:
        text = "the store does not answer: what changes the group waits until it does"
        return "silent", f"{text} ({s.unanswered_why})"
    if here is Phase.OUTSIDE and s.greet_failures:
        return "unreached", f"waiting until all of the group can be reached: {s.unreached}"
    if not all(s.mine.values()):  # their keys are on their way: nothing can be said yet
        return s.said, ""
    if here is Phase.FORMING and ready < cfg.min_workers:
        text = f"waiting for workers: {ready} of at least {cfg.min_workers} are ready"
        return "short", text
    record = s.record
    if here is Phase.INSIDE and record and len(record.ids) < cfg.min_workers:
        text = f"{len(record.ids)} of at least {cfg.min_workers} workers are left: waiting for more"
        return "paused", text
    if record and s.orphaned is not None:
        text = (
            f"the group of generation {record.generation} is silent: taking over in "
            f"{cfg.orphan_wait_s:.0f} s unless it shows itself"
        )
        return "orphaned", text
    if here is Phase.OUTSIDE and record and len(record.ids) >= (cfg.max_workers or 1 << 30):
        return "full", f"waiting for a seat: the group has its maximum of {cfg.max_workers} workers"
    return "", ""


# -- helpers ------------------------------------------------------------------------------------


def _without(mapping: dict[str, Any], ids: Iterable[str]) -> dict[str, Any]:
    away = set(ids)
    return {id: value for id, value in mapping.items() if id not in away}


# -- the table: which event means what in which phase -------------------------------------------

_EVERYWHERE: dict[type, Callable[..., Move]] = {
    ev.Listed: _on_listed,
    ev.Found: _on_found,
    ev.RecordSeen: _on_record,
    ev.MemberSeen: _on_members_seen,
    ev.MemberGone: _on_members_gone,
    ev.WorkersReady: _on_workers_ready,
    ev.WorkerExited: _on_worker_exited,
    ev.LeaveAsked: _on_leave_asked,
    ev.FailureNoted: _on_failure,
    ev.Greeted: on_greeted,
    ev.Proposed: _on_proposed,
    ev.KeysWritten: _on_keys_written,
    ev.StoreFailed: _on_store_failed,
    ev.LeaseLost: _on_lease_lost,
    ev.Tick: _ignore,
}
_IN_A_GROUP: dict[type, Callable[..., Move]] = {
    ev.Suspected: on_suspected,
    ev.Verdict: on_verdicts,
    ev.BoundaryReached: _on_boundary,
    ev.WorkersFinished: _on_finished,
}
_LATE: dict[type, Callable[..., Move]] = dict.fromkeys(_IN_A_GROUP, _ignore)

TABLE: dict[tuple[Phase, type], Callable[..., Move]] = {
    (here, kind): handler
    for here, rows in {
        Phase.STARTING: _EVERYWHERE,  # nobody can speak of a group before there is one
        Phase.FORMING: _EVERYWHERE | _LATE,
        Phase.INSIDE: _EVERYWHERE | _IN_A_GROUP,
        Phase.OUTSIDE: _EVERYWHERE | _LATE,
        Phase.OVER: _EVERYWHERE | _LATE,
    }.items()
    for kind, handler in rows.items()
}
