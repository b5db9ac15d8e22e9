"""What a worker does next: the deciding part of the training loop. Pure: events in, commands out.

The shell (`loop.py`) carries out one command at a time and comes back with the event that it gave;
the simulation (`elastic.testing`) does the same with many workers in virtual time. Who is ahead,
who sends State to whom and who computes which leaf follow from what the members of a generation
told each other at its beginning (`agreement.py`), so all reach the same verdict.

A *step's number* is the count of applied steps with it: `applied` is 0 at first, and step
`applied + 1` is in flight. Rules are those of docs/protocol.md, S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from elastic.collectives.plan import deal, deal_missing
from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.training.agreement import MACHINE, MIXED, NOTHING, Answer, Drift, Flags, Plan, decide
from elastic.training.commands import (
    Apply,
    Await,
    CatchUp,
    Compute,
    Discard,
    End,
    Fail,
    Feed,
    Finish,
    GiveUp,
    Lend,
    Meet,
    Move,
    Quit,
    Reduce,
    Refuse,
    Replay,
    Report,
    Restore,
    RunHooks,
    Save,
    Sync,
    Turn,
)
from elastic.training.events import (
    Admitted,
    Applied,
    CandidatesSeen,
    Computed,
    Copied,
    Ended,
    Fed,
    FeedLost,
    Formed,
    Hooked,
    Interrupted,
    LeaveAsked,
    Met,
    Moved,
    NewcomerAt,
    Offered,
    Reduced,
    Saved,
    Synced,
)
from elastic.training.newcomers import CANNOT, Copy, Pace, Warming

__all__ = ["Job", "Phase", "Standing", "invariants", "step"]


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


@dataclass(frozen=True)
class Standing:
    """Where one worker stands."""

    identity: dict[str, str] = field(default_factory=dict)
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
    warming: Warming = field(default_factory=Warming)
    copy: Copy | None = None
    """Set while State is a copy that was lent to this newcomer."""
    leaving: tuple[str, ...] = ()
    """Who leaves with this member, itself among them."""
    story: tuple[tuple[Phase, Any], ...] = ()
    """The last events and the phases they came in; told only when something is wrong."""


Moves = tuple[Standing, tuple[Any, ...]]


def step(s: Standing, event: Any, job: Job) -> Moves:
    """Return the standing after `event`, and the commands to carry out in order.

    Raises:
        ProtocolError: the event means nothing in this phase, or members cannot be level.
    """
    s = replace(s, story=(*s.story[-20:], (s.phase, event)))
    handler = TABLE.get((s.phase, type(event)))
    if handler is None:
        name = type(event).__name__
        raise ProtocolError(f"{name} means nothing when {s.phase.value}:{_story(s)}")
    return handler(s, event, job)


def _story(s: Standing) -> str:
    return "".join(f"\n  {phase.name} {event}" for phase, event in s.story)


def _to(s: Standing, phase: Phase, *commands: Any, **changes: Any) -> Moves:
    return replace(s, phase=phase, **changes), commands


def _go_on(s: Standing, *commands: Any) -> Moves:
    """Remember; what the shell is doing goes on, and waiting is taken up again."""
    return s, (*commands, Await()) if s.phase is Phase.WAITING else commands


def _wait(s: Standing, event: Any, job: Job) -> Moves:
    return _to(s, Phase.WAITING, Await())


def _on_admitted(s: Standing, event: Admitted, job: Job) -> Moves:
    """A second admission: we were outside for a while; our State is no longer the job's (M6)."""
    s = replace(s, id=event.id, min_workers=event.min_workers, lineage="", held=frozenset())
    return _go_on(replace(s, copy=None))


def _on_formed(s: Standing, event: Formed, job: Job) -> Moves:
    ends = _end_feeds(s, event.ids)
    s, commands = _formed(_without_stale_copy(s, event), event, job)
    return replace(s, warming=s.warming.after(event.ids)), (*ends, *commands)


def _end_feeds(s: Standing, ids: tuple[str, ...]) -> tuple[Any, ...]:
    """Whoever has joined is still to get the last steps; for others the warm-up was in vain."""
    batch = tuple(each.id for each in s.warming.batch)
    inside = tuple(id for id in batch if id in ids)
    others = (*(id for id in batch if id not in ids), *s.warming.gone)
    return (*((Finish(inside),) if inside else ()), *((Discard(others),) if others else ()))


def _without_stale_copy(s: Standing, event: Formed) -> Standing:
    """A copy that no feed brings level is worth nothing: a newcomer gets State as ever."""
    if s.copy is None or (s.copy.leads_to(event.generation, event.ids) and not event.paused):
        return s
    return replace(s, copy=None, lineage="")


def _formed(s: Standing, event: Formed, job: Job) -> Moves:
    s = replace(
        s,
        phase=Phase.WAITING,
        generation=event.generation,
        ids=event.ids,
        rank=event.rank,
        plan=None,
    )
    s = replace(s, candidates=(), agreed=NOTHING, paused=event.paused)
    s = replace(s, offer=event.offer or s.offer)
    if event.rank < 0:
        return _to(s, Phase.OVER, Quit())
    if event.paused:
        return _to(s, Phase.WAITING, *_save_while_paused(s, job), Await())
    answer = Answer(
        s.id,
        s.applied,
        s.lineage,
        s.hooked,
        tuple(sorted(s.held)),
        s.stopped,
        None if s.lineage else s.offer,
        s.identity,
        s.copy is not None,
    )
    return _to(s, Phase.MEETING, Meet(answer))


def _on_met(s: Standing, event: Met, job: Job) -> Moves:
    answers = event.answers
    reference = next((a for a in answers if a.lineage), answers[0])
    other = [a for a in answers if a.identity != reference.identity]
    if any(a.id == s.id for a in other):
        return _to(s, Phase.OVER, Refuse(_difference(s.identity, reference)))
    if other:  # they go by themselves, and the next generation is without them
        return _to(s, Phase.WAITING, Await())
    plan = decide(answers)
    s = replace(s, plan=plan)
    if plan.moves or not plan.lineage:
        return _to(s, Phase.MOVING, Move(plan))
    return _level(s, plan, plan.lineage)


def _difference(mine: dict[str, str], reference: Answer) -> str:
    theirs = reference.identity
    names = (*sorted(mine.keys() & theirs.keys()), *sorted({*mine, *theirs}))
    name = next(name for name in names if mine.get(name) != theirs.get(name))
    cure = ", or start all agents with --allow-mixed" if name in (*MACHINE, MIXED) else ""
    return (
        f"this worker has {name} {mine.get(name)!r}, the group (member {reference.id}) has "
        f"{theirs.get(name)!r}: other bits would result; make them equal{cure}"
    )


def _on_moved(s: Standing, event: Moved, job: Job) -> Moves:
    assert s.plan is not None
    return _level(s, s.plan, event.lineage)


def _on_copied_last(s: Standing, event: Copied, job: Job) -> Moves:
    assert s.plan is not None
    return _level(replace(s, copy=None), s.plan, event.lineage)


def _level(s: Standing, plan: Plan, lineage: str) -> Moves:
    if s.copy is not None and s.id in plan.catching:
        return _to(s, Phase.CATCHING, CatchUp(plan.top, lineage))
    was_level = s.lineage != "" and s.applied == plan.top
    return _to(
        s,
        Phase.SYNCING,
        Sync(),
        applied=plan.top,
        lineage=lineage,
        copy=None,
        hooked=plan.top - 1 if plan.rerun else plan.top,
        stopped=plan.stopped,
        held=s.held if was_level else frozenset(),
        saved=max(s.saved, plan.top) if plan.load else s.saved,
    )


def _on_synced(s: Standing, event: Synced, job: Job) -> Moves:
    if s.hooked < s.applied:
        return _to(s, Phase.HOOKING, RunHooks(s.applied))
    return _onward(s, job)


def _onward(s: Standing, job: Job) -> Moves:
    """Between two steps: the end, an agreed change, or the next step."""
    if s.stopped or s.applied >= job.total_steps:
        return _to(s, Phase.ENDING, End(s.applied))
    if s.agreed.joins or s.agreed.leaves:
        turn = Turn(s.applied, s.agreed.joins, _leaves(s))
        return _to(s, Phase.WAITING, turn, Await(), agreed=NOTHING)
    s, lends = _lend(s)
    n = job.leaves(s.applied + 1)
    if s.plan is not None:
        mine = deal_missing(n, [set(held) for held in s.plan.held])[s.rank]
    else:
        mine = tuple(deal(n, len(s.ids))[s.rank])
    s = replace(s, todo=tuple(mine), plan=None, flags=NOTHING)
    s, commands = _next_leaf(s, job)
    return s, (*lends, *commands)


def _leaves(s: Standing) -> tuple[str, ...]:
    """Who leaves now. If all want to and others come, they first hand over State (S4)."""
    everybody = set(s.ids) <= set(s.agreed.leaves)
    return () if everybody and s.agreed.joins else s.agreed.leaves


def _lend(s: Standing) -> Moves:
    """All copy State after the same step, for the same newcomers (S9)."""
    if not s.agreed.warm:
        return s, ()
    s = replace(s, warming=s.warming.begin(s.agreed.warm, s.applied), agreed=NOTHING)
    return s, (Lend(s.applied, s.warming.batch),)


def _next_leaf(s: Standing, job: Job) -> Moves:
    if s.todo:
        return _to(s, Phase.COMPUTING, Compute(s.applied + 1, s.todo[0]))
    newcomers = tuple(each for each in s.candidates if each.id not in s.ids)
    pace = None if s.leaving else job.pace  # who goes hands State over now: it may be the last
    joins, warm = s.warming.wishes(newcomers, s.applied, pace)
    flags = replace(s.flags, joins=joins, warm=warm, leaves=s.leaving)
    return _to(s, Phase.REDUCING, Reduce(s.applied + 1, flags), flags=flags)


def _on_computed(s: Standing, event: Computed, job: Job) -> Moves:
    places = (*s.flags.nonfinite, *([event.nonfinite] if event.nonfinite else []))
    flags = replace(s.flags, stop=s.flags.stop or event.stop, nonfinite=places)
    held = s.held if event.stop else s.held | {event.leaf}
    todo = () if event.stop else s.todo[1:]
    return _next_leaf(replace(s, flags=flags, held=held, todo=todo), job)


def _on_reduced(s: Standing, event: Reduced, job: Job) -> Moves:
    if event.flags.drift is not None:
        return _on_drift(s, event.flags.drift, job)
    if event.flags.nonfinite and job.nonfinite_is_error:
        return _to(s, Phase.OVER, Fail(event.flags.nonfinite))
    if event.flags.stop:  # the step is not applied: training ended before its update
        s = replace(s, stopped=True, held=frozenset())
        return _after_hooks(s, job)
    return _to(s, Phase.APPLYING, Apply(s.applied + 1), agreed=event.flags)


def _on_drift(s: Standing, drift: Drift, job: Job) -> Moves:
    """The step is not applied: leaves of a replica that has drifted are in it (B7)."""
    heal = job.drift_heals and drift.has_majority
    if heal and s.rank not in drift.ranks:  # they go by themselves, and their leaves with them
        return _to(s, Phase.WAITING, Await())
    return _to(s, Phase.OVER, GiveUp(s.applied + 1, drift, heal))


def _on_applied(s: Standing, event: Applied, job: Job) -> Moves:
    s = replace(s, applied=s.applied + 1, lineage=event.lineage, held=frozenset())
    if job.hooks:
        return _to(s, Phase.HOOKING, RunHooks(s.applied))
    s, feeds = _feed(s)
    s, commands = _after_hooks(replace(s, hooked=s.applied), job)
    return s, (*feeds, *commands)


def _feed(s: Standing) -> Moves:
    """Rank 0 is the feeder of all that are warmed (S9)."""
    ids, gone = tuple(each.id for each in s.warming.batch), s.warming.gone
    feeds = (Feed(s.applied, ids),) if ids and s.rank == 0 else ()
    s = replace(s, warming=replace(s.warming, gone=()))
    return s, (*((Discard(gone),) if gone else ()), *feeds)


def _on_hooked(s: Standing, event: Hooked, job: Job) -> Moves:
    return _after_hooks(replace(s, hooked=s.applied), job)


def _after_hooks(s: Standing, job: Job) -> Moves:
    if _save_is_due(s, job):
        return _to(s, Phase.SAVING, Save(s.applied))
    return _onward(s, job)


def _on_saved(s: Standing, event: Saved, job: Job) -> Moves:
    return _onward(replace(s, saved=s.applied), job)


def _save_is_due(s: Standing, job: Job) -> bool:
    if not _worth_saving(s, job):
        return False
    if s.stopped or s.applied >= job.total_steps:
        return True
    if job.checkpoint_every and s.applied % job.checkpoint_every == 0:
        return True
    stay = len(set(s.ids) - set(_leaves(s))) + len(s.agreed.joins)
    return bool(_leaves(s)) and stay < max(1, s.min_workers)


def _worth_saving(s: Standing, job: Job) -> bool:
    """Not between a step and its hooks: who loads a checkpoint does not run them again."""
    return job.checkpoints and s.saved < s.applied == s.hooked and s.lineage != ""


def _on_paused_saved(s: Standing, event: Saved, job: Job) -> Moves:
    return replace(s, saved=s.applied), ()


def _on_candidates(s: Standing, event: CandidatesSeen, job: Job) -> Moves:
    away = {each.id for each in s.candidates} - {each.id for each in event.candidates}
    s = replace(s, candidates=event.candidates, warming=s.warming.forget(away))
    return _go_on(s)


# -- a newcomer that is lent State (S9) ----------------------------------------------------------


def _on_newcomer_at(s: Standing, event: NewcomerAt, job: Job) -> Moves:
    if event.generation == s.generation:
        s = replace(s, warming=s.warming.heard(event.id, event.step))
    return _go_on(s)


def _on_offered(s: Standing, event: Offered, job: Job) -> Moves:
    """Take the copy over, unless this one has State of the job, or would compute other bits."""
    if s.lineage and s.copy is None:
        return _go_on(s)
    if event.identity != s.identity:  # it is told so when it joins
        return _to(s, Phase.WAITING, Report(CANNOT), Await())
    copy = Copy(event.generation, event.feeder)
    return _to(s, Phase.COPYING, Restore(), copy=copy, lineage="")


def _on_fed(s: Standing, event: Fed, job: Job) -> Moves:
    known = s.copy is not None and s.copy.generation == event.generation
    if not known or event.step != s.applied + 1:
        return _go_on(s)
    return _to(s, Phase.COPYING, Replay(event.step))


def _on_feed_lost(s: Standing, event: FeedLost, job: Job) -> Moves:
    if s.lineage and (s.copy is None or s.copy.generation != event.generation):
        return _go_on(s)
    return _to(s, Phase.WAITING, Report(CANNOT), Await(), lineage="", copy=None)


def _on_copied(s: Standing, event: Copied, job: Job) -> Moves:
    s = replace(s, applied=event.step, hooked=event.step, lineage=event.lineage)
    return _to(s, Phase.WAITING, Report(event.step), Await())


def _on_leave_asked(s: Standing, event: LeaveAsked, job: Job) -> Moves:
    s = replace(s, leaving=tuple(sorted({s.id, *event.ids})))
    return _go_on(s, *_save_while_paused(s, job))


def _save_while_paused(s: Standing, job: Job) -> tuple[Any, ...]:
    """Whoever leaves a group below its minimum leaves a checkpoint (S4)."""
    due = s.leaving and s.paused and s.phase is Phase.WAITING and _worth_saving(s, job)
    return (Save(s.applied),) if due else ()


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
            raise ProtocolError(f"{text}:{_story(s)}")


# -- the table: which event means what in which phase -------------------------------------------

_ANYWHERE: dict[type, Callable[..., Moves]] = {
    CandidatesSeen: _on_candidates,
    LeaveAsked: _on_leave_asked,
    NewcomerAt: _on_newcomer_at,
}
_ROWS: dict[Phase, dict[type, Callable[..., Moves]]] = {
    Phase.WAITING: {
        Admitted: _on_admitted,  # only here: an Applied to come would make State the job's again
        Formed: _on_formed,
        Saved: _on_paused_saved,
        Offered: _on_offered,
        Fed: _on_fed,
        FeedLost: _on_feed_lost,
        Interrupted: _wait,
    },
    Phase.COPYING: {Copied: _on_copied},
    Phase.MEETING: {Met: _on_met, Interrupted: _wait},
    Phase.CATCHING: {Copied: _on_copied_last, Interrupted: _wait},
    Phase.MOVING: {Moved: _on_moved, Interrupted: _wait},
    Phase.SYNCING: {Synced: _on_synced, Interrupted: _wait},
    Phase.COMPUTING: {Computed: _on_computed, Interrupted: _wait},
    Phase.REDUCING: {Reduced: _on_reduced, Interrupted: _wait},
    Phase.APPLYING: {Applied: _on_applied},
    Phase.HOOKING: {Hooked: _on_hooked, Interrupted: _wait},
    Phase.SAVING: {Saved: _on_saved},
    Phase.ENDING: {Ended: _wait, Interrupted: _wait},
    Phase.OVER: {},
}
TABLE: dict[tuple[Phase, type], Callable[..., Moves]] = {
    (phase, kind): handler
    for phase, row in _ROWS.items()
    for kind, handler in (row | _ANYWHERE).items()
}
