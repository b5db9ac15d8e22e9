"""The core's part in warm-ups: State lent to newcomers while the group trains (S9). Pure.

The first half is for members, the second for the newcomer. What a warm-up is, and who is ready,
stands in `newcomers.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from elastic.control import Candidate
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.agreement import NOTHING
from elastic.training.newcomers import CANNOT, Copy
from elastic.training.standing import Job, Moves, Phase, Standing, go_on, to

__all__ = [
    "end_feeds",
    "feed",
    "lend",
    "make_room",
    "on_candidates",
    "on_copied",
    "on_fed",
    "on_feed_lost",
    "on_newcomer_at",
    "on_offered",
    "spoil",
    "wishes",
    "without_stale_copy",
]


# -- a member ------------------------------------------------------------------------------------


def on_candidates(s: Standing, event: ev.CandidatesSeen, job: Job) -> Moves:
    """Who is a candidate no more needs no State."""
    away = {each.id for each in s.candidates} - {each.id for each in event.candidates}
    s = s._replace(candidates=event.candidates, warming=s.warming.forget(away))
    return go_on(s)


def on_newcomer_at(s: Standing, event: ev.NewcomerAt, job: Job) -> Moves:
    """A newcomer says at which step it stands."""
    if event.generation == s.generation:
        s = s._replace(warming=s.warming.heard(event.id, event.step))
    return go_on(s)


def wishes(s: Standing, job: Job) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """Return who should join after the step in flight, and who should be warmed."""
    newcomers = tuple(each for each in s.candidates if each.id not in s.ids)
    pace = None if s.leaving else job.pace  # who goes hands State over now: it may be the last
    return s.warming.wishes(newcomers, s.applied, pace)


def make_room(s: Standing, job: Job) -> Moves:
    """Memory takes time: it is asked for a step before newcomers are."""
    if not s.candidates:
        return s, ()
    _, warm = wishes(s, job)
    if not warm or s.warming.room:
        return s, ()
    return s._replace(warming=replace(s.warming, room=True)), (do.MakeRoom(),)


def lend(s: Standing) -> Moves:
    """All copy State after the same step, for the same newcomers."""
    if not s.agreed.warm:
        return s, ()
    s = s._replace(warming=s.warming.begin(s.agreed.warm, s.applied), agreed=NOTHING)
    return s, (do.Lend(s.applied, s.warming.batch),)


def feed(s: Standing, step: int) -> Moves:
    """Rank 0 is the feeder of all that are warmed: what is reduced is final before it is applied.

    With hooks it waits for them: if they write State, the result does not lead there.

    Whoever does not apply it any more is no feeder, and its newcomers' copies are worth nothing.
    """
    ids = tuple(each.id for each in s.warming.batch)
    feeds = (do.Feed(step, ids),) if ids and s.rank == 0 else ()
    s, discards = _without_gone(s)
    return s, (*discards, *feeds)


def spoil(s: Standing) -> Moves:
    """Hooks have written what no result says: whom results lead gets State as ever."""
    ids = {each.id for each in s.warming.batch}
    joins = tuple(each for each in s.agreed.joins if each.id not in ids)
    s = s._replace(warming=s.warming.spoil(), agreed=replace(s.agreed, joins=joins))
    return _without_gone(s)


def _without_gone(s: Standing) -> Moves:
    """What was sent to candidates that are none any more can be dropped."""
    gone = s.warming.gone
    s = s._replace(warming=replace(s.warming, gone=()))
    return s, (do.Discard(gone),) if gone else ()


def end_feeds(s: Standing, ids: tuple[str, ...]) -> tuple[Any, ...]:
    """Whoever has joined is still to get the last steps; for others the warm-up was in vain."""
    batch = tuple(each.id for each in s.warming.batch)
    inside = tuple(id for id in batch if id in ids)
    others = (*(id for id in batch if id not in ids), *s.warming.gone)
    return (*((do.Finish(inside),) if inside else ()), *((do.Discard(others),) if others else ()))


# -- the newcomer --------------------------------------------------------------------------------


def on_offered(s: Standing, event: ev.Offered, job: Job) -> Moves:
    """Take the copy over, unless this one has State of the job, or would compute other bits."""
    if s.lineage and s.copy is None:
        return go_on(s)
    if event.identity != s.identity:  # it is told so when it joins
        return to(s, Phase.WAITING, do.Report(CANNOT), do.Await())
    copy = Copy(event.generation, event.feeder)
    return to(s, Phase.COPYING, do.Restore(), copy=copy, lineage="")


def on_fed(s: Standing, event: ev.Fed, job: Job) -> Moves:
    """Replay the step that follows; no other is of use."""
    known = s.copy is not None and s.copy.generation == event.generation
    if not known or event.step != s.applied + 1:
        return go_on(s)
    return to(s, Phase.COPYING, do.Replay(event.step))


def on_feed_lost(s: Standing, event: ev.FeedLost, job: Job) -> Moves:
    """Nothing will bring the copy level: it is worth nothing."""
    if s.lineage and (s.copy is None or s.copy.generation != event.generation):
        return go_on(s)
    return to(s, Phase.WAITING, do.Report(CANNOT), do.Await(), lineage="", copy=None)


def on_copied(s: Standing, event: ev.Copied, job: Job) -> Moves:
    """State here is the job's after this step."""
    s = s._replace(applied=event.step, hooked=event.step, lineage=event.lineage)
    return to(s, Phase.WAITING, do.Report(event.step), do.Await())


def without_stale_copy(s: Standing, event: ev.Formed) -> Standing:
    """A copy that no feed brings level is worth nothing: a newcomer gets State as ever."""
    if s.copy is None or (s.copy.leads_to(event.generation, event.ids) and not event.paused):
        return s
    return s._replace(copy=None, lineage="")
