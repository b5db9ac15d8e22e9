"""What a worker does next: the deciding part of the training loop. Pure: events in, commands out.

The shell (`loop.py`) carries out one command at a time and comes back with the event that it gave;
the simulation (`elastic.testing`) does the same with many workers in virtual time. Who is ahead,
who sends State to whom and who computes which leaf follow from what the members of a generation
told each other at its beginning (`agreement.py`), so all reach the same verdict. What a core knows
is a `Standing` (`standing.py`); newcomers that get State meanwhile are the subject of `warmups.py`.

A *step's number* is the count of applied steps with it: `applied` is 0 at first, and step
`applied + 1` is in flight. Rules are those of docs/protocol.md, S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from elastic.collectives.plan import deal, deal_missing
from elastic.errors import ProtocolError
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.agreement import NOTHING, Answer, Drift, Plan, decide, difference
from elastic.training.standing import Job, Moves, Phase, Standing, go_on, invariants, to, told
from elastic.training.warmups import (
    end_feeds,
    feed,
    lend,
    make_room,
    on_candidates,
    on_copied,
    on_fed,
    on_feed_lost,
    on_newcomer_at,
    on_offered,
    spoil,
    wishes,
    without_stale_copy,
)

__all__ = ["Job", "Phase", "Standing", "invariants", "step"]


def step(s: Standing, event: Any, job: Job) -> Moves:
    """Return the standing after `event`, and the commands to carry out in order.

    Raises:
        ProtocolError: the event means nothing in this phase, or members cannot be level.
    """
    s = s._replace(story=(*s.story[-20:], (s.phase, event)))
    handler = TABLE.get((s.phase, type(event)))
    if handler is None:
        name = type(event).__name__
        raise ProtocolError(f"{name} means nothing when {s.phase.value}:{told(s)}")
    return handler(s, event, job)


# -- a generation, until all are level -----------------------------------------------------------


def _wait(s: Standing, event: Any, job: Job) -> Moves:
    return to(s, Phase.WAITING, do.Await())


def _on_admitted(s: Standing, event: ev.Admitted, job: Job) -> Moves:
    """A second admission: we were outside for a while; our State is no longer the job's (M6)."""
    s = s._replace(id=event.id, min_workers=event.min_workers, lineage="", held=frozenset())
    return go_on(s._replace(copy=None))


def _on_formed(s: Standing, event: ev.Formed, job: Job) -> Moves:
    ends = end_feeds(s, event.ids)
    s, commands = _formed(without_stale_copy(s, event), event, job)
    return s._replace(warming=s.warming.after(event.ids)), (*ends, *commands)


def _formed(s: Standing, event: ev.Formed, job: Job) -> Moves:
    s = s._replace(phase=Phase.WAITING, plan=None, candidates=(), agreed=NOTHING)
    s = s._replace(generation=event.generation, ids=event.ids, rank=event.rank)
    s = s._replace(paused=event.paused, offer=event.offer or s.offer)
    if event.rank < 0:
        return to(s, Phase.OVER, do.Quit())
    if event.paused:
        return to(s, Phase.WAITING, *_save_while_paused(s, job), do.Await())
    return to(s, Phase.MEETING, do.Meet(_answer(s)))


def _answer(s: Standing) -> Answer:
    return Answer(
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


def _on_met(s: Standing, event: ev.Met, job: Job) -> Moves:
    answers = event.answers
    reference = next((a for a in answers if a.lineage), answers[0])
    other = [a for a in answers if a.identity != reference.identity]
    if any(a.id == s.id for a in other):
        return to(s, Phase.OVER, do.Refuse(difference(s.identity, reference)))
    if other:  # they go by themselves, and the next generation is without them
        return to(s, Phase.WAITING, do.Await())
    plan = decide(answers)
    s = s._replace(plan=plan)
    if plan.moves or not plan.lineage:
        return to(s, Phase.MOVING, do.Move(plan))
    return _level(s, plan, plan.lineage)


def _on_moved(s: Standing, event: ev.Moved, job: Job) -> Moves:
    assert s.plan is not None
    return _level(s, s.plan, event.lineage)


def _on_copied_last(s: Standing, event: ev.Copied, job: Job) -> Moves:
    assert s.plan is not None
    return _level(s._replace(copy=None), s.plan, event.lineage)


def _level(s: Standing, plan: Plan, lineage: str) -> Moves:
    if s.copy is not None and s.id in plan.catching:
        return to(s, Phase.CATCHING, do.CatchUp(plan.top, lineage))
    was_level = s.lineage != "" and s.applied == plan.top
    return to(
        s,
        Phase.SYNCING,
        do.Sync(),
        applied=plan.top,
        lineage=lineage,
        copy=None,
        hooked=plan.top - 1 if plan.rerun else plan.top,
        stopped=plan.stopped,
        held=s.held if was_level else frozenset(),
        saved=max(s.saved, plan.top) if plan.load else s.saved,
    )


def _on_synced(s: Standing, event: ev.Synced, job: Job) -> Moves:
    if s.hooked < s.applied:
        return _run_hooks(s)
    return _onward(s, job)


# -- a step --------------------------------------------------------------------------------------


def _deal(s: Standing, job: Job) -> tuple[int, ...]:
    """Return this member's leaves of the next step: after a loss, of those that nobody holds.

    Newcomers that have just taken the last steps from a feed have none of the first.
    """
    n = job.leaves(s.applied + 1)
    if s.plan is None:
        return tuple(deal(n, len(s.ids))[s.rank])
    late = [id in s.plan.catching for id in s.ids]  # the others need not wait for them
    held = [set(held) for held, is_late in zip(s.plan.held, late, strict=True) if not is_late]
    shares = iter(deal_missing(n, held))
    return tuple([() if is_late else next(shares) for is_late in late][s.rank])


def _next_leaf(s: Standing, job: Job) -> Moves:
    if s.todo:
        return to(s, Phase.COMPUTING, do.Compute(s.applied + 1, s.todo[0]))
    joins, warm = wishes(s, job)
    warm = warm if s.warming.room else ()
    flags = replace(s.flags, joins=joins, warm=warm, leaves=s.leaving)
    return to(s, Phase.REDUCING, do.Reduce(s.applied + 1, flags), flags=flags)


def _on_computed(s: Standing, event: ev.Computed, job: Job) -> Moves:
    flags = s.flags
    if event.stop or event.nonfinite:
        places = (*flags.nonfinite, *([event.nonfinite] if event.nonfinite else []))
        flags = replace(flags, stop=flags.stop or event.stop, nonfinite=places)
    held = s.held if event.stop else s.held | {event.leaf}
    todo = () if event.stop else s.todo[1:]
    return _next_leaf(s._replace(flags=flags, held=held, todo=todo), job)


def _on_reduced(s: Standing, event: ev.Reduced, job: Job) -> Moves:
    if event.flags.drift is not None:
        return _on_drift(s, event.flags.drift, job)
    if event.flags.nonfinite and job.nonfinite_is_error:
        return to(s, Phase.OVER, do.Fail(event.flags.nonfinite))
    if event.flags.stop:  # the step is not applied: training ended before its update
        s = s._replace(stopped=True, held=frozenset())
        return _after_hooks(s, job)
    s, feeds = (s, ()) if job.hooks else feed(s, s.applied + 1)
    return to(s, Phase.APPLYING, *feeds, do.Apply(s.applied + 1), agreed=event.flags)


def _on_drift(s: Standing, drift: Drift, job: Job) -> Moves:
    """The step is not applied: leaves of a replica that has drifted are in it (B7)."""
    heal = job.drift_heals and drift.has_majority
    if heal and s.rank not in drift.ranks:  # they go by themselves, and their leaves with them
        return to(s, Phase.WAITING, do.Await())
    return to(s, Phase.OVER, do.GiveUp(s.applied + 1, drift, heal))


def _on_applied(s: Standing, event: ev.Applied, job: Job) -> Moves:
    s = s._replace(applied=s.applied + 1, lineage=event.lineage, held=frozenset())
    return _run_hooks(s) if job.hooks else _after_hooks(s._replace(hooked=s.applied), job)


# -- between two steps ---------------------------------------------------------------------------


def _onward(s: Standing, job: Job) -> Moves:
    """Between two steps: the end, an agreed change, or the next step."""
    if s.stopped or s.applied >= job.total_steps:
        return to(s, Phase.ENDING, do.End(s.applied))
    if s.agreed.joins or s.agreed.leaves:
        turn = do.Turn(s.applied, s.agreed.joins, _leaves(s))
        return to(s, Phase.WAITING, turn, do.Await(), agreed=NOTHING)
    s, lends = lend(s)
    s, rooms = make_room(s, job)
    s, commands = _next_leaf(s._replace(todo=_deal(s, job), plan=None, flags=NOTHING), job)
    return s, (*lends, *rooms, *commands)


def _leaves(s: Standing) -> tuple[str, ...]:
    """Who leaves now. If all want to and others come, they first hand over State (S4)."""
    everybody = set(s.ids) <= set(s.agreed.leaves)
    return () if everybody and s.agreed.joins else s.agreed.leaves


def _run_hooks(s: Standing) -> Moves:
    return to(s, Phase.HOOKING, do.RunHooks(s.applied, watched=bool(s.warming.batch)))


def _on_hooked(s: Standing, event: ev.Hooked, job: Job) -> Moves:
    s, feeds = spoil(s) if event.wrote else feed(s, s.applied)
    s, commands = _after_hooks(s._replace(hooked=s.applied), job)
    return s, (*feeds, *commands)


def _after_hooks(s: Standing, job: Job) -> Moves:
    if _save_is_due(s, job):
        return to(s, Phase.SAVING, do.Save(s.applied))
    return _onward(s, job)


def _on_leave_asked(s: Standing, event: ev.LeaveAsked, job: Job) -> Moves:
    s = s._replace(leaving=tuple(sorted({s.id, *event.ids})))
    return go_on(s, *_save_while_paused(s, job))


# -- checkpoints ---------------------------------------------------------------------------------


def _on_saved(s: Standing, event: ev.Saved, job: Job) -> Moves:
    return _onward(s._replace(saved=s.applied), job)


def _on_paused_saved(s: Standing, event: ev.Saved, job: Job) -> Moves:
    return s._replace(saved=s.applied), ()


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


def _save_while_paused(s: Standing, job: Job) -> tuple[Any, ...]:
    """Whoever leaves a group below its minimum leaves a checkpoint (S4)."""
    due = s.leaving and s.paused and s.phase is Phase.WAITING and _worth_saving(s, job)
    return (do.Save(s.applied),) if due else ()


# -- the table: which event means what in which phase -------------------------------------------

_ANYWHERE: dict[type, Callable[..., Moves]] = {
    ev.CandidatesSeen: on_candidates,
    ev.LeaveAsked: _on_leave_asked,
    ev.NewcomerAt: on_newcomer_at,
}
_ROWS: dict[Phase, dict[type, Callable[..., Moves]]] = {
    Phase.WAITING: {
        ev.Admitted: _on_admitted,  # only here: an Applied to come would make State the job's again
        ev.Formed: _on_formed,
        ev.Saved: _on_paused_saved,
        ev.Offered: on_offered,
        ev.Fed: on_fed,
        ev.FeedLost: on_feed_lost,
        ev.Interrupted: _wait,
    },
    Phase.COPYING: {ev.Copied: on_copied},
    Phase.MEETING: {ev.Met: _on_met, ev.Interrupted: _wait},
    Phase.CATCHING: {ev.Copied: _on_copied_last, ev.Interrupted: _wait},
    Phase.MOVING: {ev.Moved: _on_moved, ev.Interrupted: _wait},
    Phase.SYNCING: {ev.Synced: _on_synced, ev.Interrupted: _wait},
    Phase.COMPUTING: {ev.Computed: _on_computed, ev.Interrupted: _wait},
    Phase.REDUCING: {ev.Reduced: _on_reduced, ev.Interrupted: _wait},
    Phase.APPLYING: {ev.Applied: _on_applied},
    Phase.HOOKING: {ev.Hooked: _on_hooked, ev.Interrupted: _wait},
    Phase.SAVING: {ev.Saved: _on_saved},
    Phase.ENDING: {ev.Ended: _wait, ev.Interrupted: _wait},
    Phase.OVER: {},
}
TABLE: dict[tuple[Phase, type], Callable[..., Moves]] = {
    (phase, kind): handler
    for phase, row in _ROWS.items()
    for kind, handler in (row | _ANYWHERE).items()
}
