"""The training core: its table, and what follows from each event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.training import commands as do
from elastic.training import core
from elastic.training import events as ev
from elastic.training.agreement import Answer, Flags, Plan
from elastic.training.standing import Job, Phase, Standing

JOB = Job(total_steps=10, leaves=lambda step: 8)
C = Candidate(9, "c")


def play(s: Standing, *events: Any, job: Job = JOB) -> tuple[Standing, tuple[Any, ...]]:
    """The standing after the events, and the commands of the last one."""
    commands: tuple[Any, ...] = ()
    for event in events:
        s, commands = core.step(s, event, job)
        core.invariants(s, job)
    return s, commands


def answer(id: str, applied: int = 0, lineage: str = "", **more: Any) -> Answer:
    return Answer(id, applied, lineage, more.pop("hooked", applied), **more)


def member(job: Job = JOB, applied: int = 3, ids: tuple[str, ...] = ("a", "b")) -> Standing:
    """Member a in generation 2, level at `applied`, about to compute its first leaf."""
    answers = tuple(answer(id, applied, "L") for id in ids)
    begin = Standing(applied=applied, lineage="L", hooked=applied)
    begin = begin._replace(id=ids[0], min_workers=1)
    return play(begin, ev.Formed(2, ids, 0), ev.Met(answers), ev.Synced(), job=job)[0]


def reducing(job: Job = JOB, **more: Any) -> Standing:
    s = member(job, **more)
    return play(s, *(ev.Computed(leaf) for leaf in s.todo), job=job)[0]


EVENTS = (
    ev.Formed(3, ("a", "b"), 0),
    ev.Admitted("z"),
    ev.Met((answer("a"), answer("b"))),
    ev.Moved("L"),
    ev.Synced(),
    ev.Computed(0),
    ev.Reduced(Flags()),
    ev.Applied("M"),
    ev.Hooked(),
    ev.Saved(),
    ev.Ended(),
    ev.Interrupted(),
    ev.CandidatesSeen((C,)),
    ev.LeaveAsked(("a",)),
    ev.NewcomerAt(2, "c", 3),
    ev.Offered(2, 3, "a", {}),
    ev.Fed(2, 4),
    ev.FeedLost(2),
    ev.Copied(3, "L"),
)
ALWAYS = {ev.CandidatesSeen, ev.LeaveAsked, ev.NewcomerAt}
LEGAL = {
    Phase.WAITING: {
        *(ev.Formed, ev.Admitted, ev.Saved, ev.Interrupted),
        *(ev.Offered, ev.Fed, ev.FeedLost),
    },
    Phase.COPYING: {ev.Copied},
    Phase.CATCHING: {ev.Copied, ev.Interrupted},
    Phase.MEETING: {ev.Met, ev.Interrupted},
    Phase.MOVING: {ev.Moved, ev.Interrupted},
    Phase.SYNCING: {ev.Synced, ev.Interrupted},
    Phase.COMPUTING: {ev.Computed, ev.Interrupted},
    Phase.REDUCING: {ev.Reduced, ev.Interrupted},
    Phase.APPLYING: {ev.Applied},  # update is never interrupted (S7)
    Phase.HOOKING: {ev.Hooked, ev.Interrupted},
    Phase.SAVING: {ev.Saved},
    Phase.ENDING: {ev.Ended, ev.Interrupted},
    Phase.OVER: set(),
}


def standings() -> dict[Phase, Standing]:
    hooked = replace(JOB, hooks=True)
    newcomer = Standing()._replace(id="a")
    ending = replace(JOB, total_steps=4)
    saving = replace(JOB, checkpoints=True, checkpoint_every=1)
    met = ev.Met((answer("a"), answer("b")))
    lent = play(newcomer, ev.Offered(2, 3, "b", {}))[0]
    joining = play(lent, ev.Copied(3, "L"), ev.Formed(3, ("b", "a"), 1))[0]
    level = ev.Met((answer("b", 4, "M"), answer("a", 3, "L", copy=True)))
    return {
        Phase.COPYING: lent,
        Phase.CATCHING: play(joining, level)[0],
        Phase.WAITING: newcomer,
        Phase.MEETING: play(newcomer, ev.Formed(1, ("a", "b"), 0))[0],
        Phase.MOVING: play(newcomer, ev.Formed(1, ("a", "b"), 0), met)[0],
        Phase.SYNCING: play(newcomer, ev.Formed(1, ("a", "b"), 0), met, ev.Moved("L"))[0],
        Phase.COMPUTING: member(),
        Phase.REDUCING: reducing(),
        Phase.APPLYING: play(reducing(), ev.Reduced(Flags()))[0],
        Phase.HOOKING: play(reducing(hooked), ev.Reduced(Flags()), ev.Applied("M"), job=hooked)[0],
        Phase.SAVING: play(reducing(saving), ev.Reduced(Flags()), ev.Applied("M"), job=saving)[0],
        Phase.ENDING: play(reducing(ending), ev.Reduced(Flags()), ev.Applied("M"), job=ending)[0],
        Phase.OVER: play(newcomer, ev.Formed(1, ("b",), -1))[0],
    }


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_table_decides_every_pair(phase, event):
    standing = standings()[phase]
    assert standing.phase is phase
    if type(event) in LEGAL[phase] | ALWAYS:
        core.invariants(core.step(standing, event, JOB)[0], JOB)
    else:
        with pytest.raises(ProtocolError, match=rf"(?s){type(event).__name__} means nothing.*\n"):
            core.step(standing, event, JOB)


# -- a generation begins ------------------------------------------------------------------------


def test_a_newcomer_waits_is_admitted_and_meets():
    """PROTOCOL S2: it says that its State is not the job's, and what it could load."""
    s, commands = play(Standing(offer=(6, 2)), ev.Admitted("a", 2))
    assert commands == (do.Await(),)
    s, commands = play(s, ev.Formed(3, ("b", "a"), 1))
    assert commands == (do.Meet(Answer("a", 0, "", 0, offer=(6, 2))),)
    assert s.min_workers == 2


def test_a_member_says_what_it_holds():
    """PROTOCOL S2, S6: memory beats disk, so it offers no checkpoint."""
    s, _ = play(member()._replace(offer=(2, 1)), ev.Computed(0), ev.Computed(1), ev.Interrupted())
    _, commands = play(s, ev.Formed(3, ("a",), 0))
    assert commands == (do.Meet(Answer("a", 3, "L", 3, held=(0, 1))),)


def test_whoever_was_outside_is_a_newcomer():
    """PROTOCOL M6: its State, leaves and lineage are no longer the job's."""
    s, _ = play(member(), ev.Computed(0), ev.Interrupted(), ev.Admitted("a2"))
    _, commands = play(s, ev.Formed(9, ("b", "a2"), 1))
    assert commands == (do.Meet(Answer("a2", 3, "", 3)),)


def test_all_level_begin_at_once():
    s, commands = play(member(), ev.Interrupted(), ev.Formed(3, ("a", "b"), 0))
    _, commands = play(s, ev.Met((answer("a", 3, "L"), answer("b", 3, "L"))))
    assert commands == (do.Sync(),)


def test_a_member_behind_moves_and_all_run_the_hooks_again():
    """PROTOCOL S3, S7."""
    s, _ = play(member(), ev.Interrupted(), ev.Formed(3, ("a", "b"), 0))
    answers = (answer("a", 3, "L"), answer("b", 4, "M", held=(1,)))
    s, commands = play(s, ev.Met(answers))
    plan = Plan(4, "M", result={"a": "b"}, rerun=True, held=((), (1,)))
    assert commands == (do.Move(plan),)
    s, _ = play(s, ev.Moved("M"))
    assert (s.applied, s.hooked, s.held) == (4, 3, frozenset())
    s, commands = play(s, ev.Synced())
    assert commands == (do.RunHooks(4),)
    assert play(s, ev.Hooked())[1] == (do.Compute(5, 0),)


def test_hooks_begin_again_on_all_if_one_has_not_finished_them():
    """PROTOCOL S7: it is a Move, so that whoever had run them puts State back before them."""
    s, _ = play(member(), ev.Interrupted(), ev.Formed(3, ("a", "b"), 0))
    s, commands = play(s, ev.Met((answer("a", 3, "L"), answer("b", 3, "L", hooked=2))))
    assert isinstance(commands[0], do.Move)
    s, commands = play(s, ev.Moved("L"), ev.Synced())
    assert commands == (do.RunHooks(3),)


def test_another_identity_is_refused_by_name():
    """PROTOCOL B6: the one that differs goes, the others wait for a generation without it."""
    mine, theirs = {"numpy": "2.4", "threads": "1"}, {"numpy": "2.4", "threads": "2"}
    answers = (answer("a", 3, "L", identity=mine), answer("b", identity=theirs))
    s = Standing()._replace(id="b", identity=theirs)
    s, commands = play(s, ev.Formed(3, ("a", "b"), 1), ev.Met(answers))
    assert s.phase is Phase.OVER
    assert "this worker has threads '2', the group (member a) has '1'" in commands[0].reason
    s = Standing()._replace(id="a", identity=mine, lineage="L", applied=3, hooked=3)
    s, commands = play(s, ev.Formed(3, ("a", "b"), 0), ev.Met(answers))
    assert (s.phase, commands) == (Phase.WAITING, (do.Await(),))


def test_a_paused_group_keeps_its_state_and_runs_no_step():
    """PROTOCOL M4."""
    s, commands = play(member(), ev.Interrupted(), ev.Formed(3, ("a",), 0, paused=True))
    assert (s.phase, commands, s.lineage) == (Phase.WAITING, (do.Await(),), "L")


def test_a_group_without_this_member_is_goodbye():
    """PROTOCOL S4."""
    s, commands = play(member(), ev.Interrupted(), ev.Formed(3, ("b",), -1))
    assert (s.phase, commands) == (Phase.OVER, (do.Quit(),))


# -- a step -------------------------------------------------------------------------------------


def test_a_step_is_computed_reduced_and_applied():
    s = member()
    todo = [do.Compute(4, 0)]
    for leaf in range(3):
        s, commands = play(s, ev.Computed(leaf))
        todo += commands
    assert todo == [do.Compute(4, leaf) for leaf in range(4)]
    s, commands = play(s, ev.Computed(3))
    assert commands == (do.Reduce(4, Flags()),)
    s, commands = play(s, ev.Reduced(Flags()))
    assert commands == (do.Apply(4),)
    s, commands = play(s, ev.Applied("M"))
    assert (s.applied, s.lineage, s.held) == (4, "M", frozenset())
    assert commands == (do.Compute(5, 0),)


def test_after_a_loss_only_missing_leaves_are_dealt():
    """PROTOCOL S6: holders keep what they hold."""
    s, _ = play(reducing(ids=("a", "b", "c")), ev.Interrupted())
    held = tuple(sorted(s.held))
    s, _ = play(s, ev.Formed(3, ("a", "b"), 0))
    answers = (answer("a", 3, "L", held=held), answer("b", 3, "L", held=(4, 5)))
    s, commands = play(s, ev.Met(answers), ev.Synced())
    missing = sorted(set(range(8)) - set(held) - {4, 5})
    assert not set(s.todo) & set(held)
    assert set(s.todo) <= set(missing)
    assert commands == (do.Compute(4, s.todo[0]),)


def test_a_member_without_leaves_reduces_at_once():
    """PROTOCOL S6: more members than leaves."""
    job = replace(JOB, leaves=lambda step: 1)
    s = Standing()._replace(id="b", lineage="L", applied=3, hooked=3)
    answers = (answer("a", 3, "L"), answer("b", 3, "L"))
    _, commands = play(s, ev.Formed(2, ("a", "b"), 1), ev.Met(answers), ev.Synced(), job=job)
    assert commands == (do.Reduce(4, Flags()),)


@pytest.mark.parametrize("count", range(5))
def test_an_interruption_keeps_what_is_held(count):
    """PROTOCOL S6, wherever in the step it comes."""
    s, commands = play(member(), *(ev.Computed(leaf) for leaf in range(count)), ev.Interrupted())
    assert (s.phase, commands) == (Phase.WAITING, (do.Await(),))
    assert s.held == frozenset(range(count))


# -- flags --------------------------------------------------------------------------------------


def test_a_step_asks_for_newcomers_that_are_not_yet_in():
    """PROTOCOL S4."""
    s, _ = play(member(), ev.CandidatesSeen((Candidate(2, "b"), C)))
    _, commands = play(s, *(ev.Computed(leaf) for leaf in range(4)))
    assert commands == (do.Reduce(4, Flags(joins=(C,))),)


def test_an_agreed_change_is_a_turn_after_the_step():
    """PROTOCOL S4: even if this member had not asked for it."""
    s, commands = play(reducing(), ev.Reduced(Flags(joins=(C,), leaves=("b",))), ev.Applied("M"))
    assert commands == (do.Turn(4, (C,), ("b",)), do.Await())
    s, _ = play(s, ev.Formed(3, ("a", "c"), 0))
    assert (s.agreed, s.candidates) == (Flags(), ())


def test_all_that_leave_first_hand_over_to_who_joins():
    """PROTOCOL S4: else the newcomers would be alone, and begin the job anew."""
    _, commands = play(reducing(), ev.Reduced(Flags((C,), ("a", "b"))), ev.Applied("M"))
    assert commands == (do.Turn(4, (C,), ()), do.Await())


def test_a_leave_is_asked_for_in_the_step_with_all_that_leave():
    """PROTOCOL S4, P2."""
    s, commands = play(member(), ev.LeaveAsked(("a", "b")))
    assert commands == ()
    _, commands = play(s, *(ev.Computed(leaf) for leaf in range(4)))
    assert commands == (do.Reduce(4, Flags(leaves=("a", "b"))),)


@pytest.mark.parametrize(
    ("leaves", "min_workers", "joins", "saves"),
    [
        (("b",), 1, (), False),
        (("b",), 2, (), True),
        (("b",), 2, (C,), False),
        (("a", "b"), 1, (), True),
        ((), 2, (C,), False),
    ],
)
def test_a_leave_checkpoints_only_if_too_few_remain(leaves, min_workers, joins, saves):
    """PROTOCOL S4."""
    job = replace(JOB, checkpoints=True)
    s = reducing(job)._replace(min_workers=min_workers)
    flags = Flags(joins=joins, leaves=leaves)
    s, commands = play(s, ev.Reduced(flags), ev.Applied("M"), job=job)
    assert commands[0] == (do.Save(4) if saves else do.Turn(4, joins, leaves))
    if saves:
        _, commands = play(s, ev.Saved(), job=job)
        assert commands == (do.Turn(4, joins, leaves), do.Await())


def test_whoever_leaves_a_paused_group_leaves_a_checkpoint():
    """PROTOCOL S4, M4."""
    job = replace(JOB, checkpoints=True)
    s, _ = play(member(job), ev.Interrupted(), ev.Formed(3, ("a",), 0, paused=True), job=job)
    s, commands = play(s, ev.LeaveAsked(), job=job)
    assert commands == (do.Save(3), do.Await())
    s, _ = play(s, ev.Saved(), job=job)
    assert play(s, ev.LeaveAsked(), job=job)[1] == (do.Await(),)


def test_no_checkpoint_between_a_step_and_its_hooks():
    """PROTOCOL S7, C: who loads it would not run them."""
    job = replace(JOB, checkpoints=True, hooks=True)
    s, _ = play(reducing(job), ev.Reduced(Flags()), ev.Applied("M"), ev.Interrupted(), job=job)
    s, _ = play(s, ev.Formed(3, ("a",), 0, paused=True), job=job)
    assert play(s, ev.LeaveAsked(), job=job)[1] == (do.Await(),)


# -- hooks, checkpoints, the end ----------------------------------------------------------------


def test_hooks_and_then_the_checkpoint_that_is_due():
    """PROTOCOL C."""
    job = replace(JOB, hooks=True, checkpoints=True, checkpoint_every=2)
    s, commands = play(reducing(job), ev.Reduced(Flags()), ev.Applied("M"), job=job)
    assert commands == (do.RunHooks(4),)
    s, commands = play(s, ev.Hooked(), job=job)
    assert commands == (do.Save(4),)
    s, commands = play(s, ev.Saved(), job=job)
    assert commands == (do.Compute(5, 0),)
    assert s.saved == 4


@pytest.mark.parametrize("job", [JOB, replace(JOB, checkpoints=True, checkpoint_every=3)])
def test_a_checkpoint_that_is_not_due_is_not_written(job):
    _, commands = play(reducing(job), ev.Reduced(Flags()), ev.Applied("M"), job=job)
    assert commands == (do.Compute(5, 0),)


def test_a_loaded_checkpoint_is_not_written_again():
    job = replace(JOB, checkpoints=True, checkpoint_every=1)
    s = Standing(offer=(4, 2))._replace(id="a")
    s, _ = play(s, ev.Formed(5, ("a",), 0), ev.Met((answer("a", offer=(4, 2)),)), job=job)
    s, commands = play(s, ev.Moved("L"), ev.Synced(), job=job)
    assert (s.applied, s.hooked, s.saved) == (4, 4, 4)
    assert commands == (do.Compute(5, 0),)


def test_after_the_last_step_a_checkpoint_and_the_end():
    """PROTOCOL M10: nobody leaves before the record says done; a later group does it again."""
    job = replace(JOB, total_steps=4, checkpoints=True)
    s, commands = play(reducing(job), ev.Reduced(Flags(joins=(C,))), ev.Applied("M"), job=job)
    assert commands == (do.Save(4),)
    s, commands = play(s, ev.Saved(), job=job)
    assert commands == (do.End(4),)
    s, commands = play(s, ev.Ended(), job=job)
    assert commands == (do.Await(),)
    answers = (answer("a", 4, "M"), answer("c"))
    s, _ = play(s, ev.Formed(3, ("a", "c"), 0), ev.Met(answers), ev.Moved("M"), job=job)
    assert play(s, ev.Synced(), job=job)[1] == (do.End(4),)


def test_stop_iteration_ends_training_before_that_step():
    """PROTOCOL S4: all act on the combined flag; the step is not applied."""
    s, commands = play(member(), ev.Computed(0), ev.Computed(1, stop=True))
    assert commands == (do.Reduce(4, Flags(stop=True)),)
    assert s.held == frozenset({0})
    other, commands = play(reducing(), ev.Reduced(Flags(stop=True)))
    assert commands == (do.End(3),)
    assert (other.applied, other.stopped, other.held) == (3, True, frozenset())
    other, _ = play(other, ev.Interrupted())
    _, commands = play(other, ev.Formed(3, ("a",), 0))
    assert commands[0].answer.stopped


def test_who_missed_the_stop_learns_it_when_a_generation_begins():
    s, _ = play(reducing(), ev.Interrupted(), ev.Formed(3, ("a", "b"), 0))
    s, _ = play(s, ev.Met((answer("a", 3, "L"), answer("b", 3, "L", stopped=True))))
    assert play(s, ev.Synced())[1] == (do.End(3),)


def test_a_loss_that_is_not_finite_is_an_error_only_if_asked():
    """PROTOCOL U4: all members see every place."""
    strict = replace(JOB, nonfinite_is_error=True)
    _, commands = play(member(), *(ev.Computed(i, nonfinite=f"at {i}") for i in range(4)))
    places = tuple(f"at {i}" for i in range(4))
    assert commands[0].flags.nonfinite == places
    s, commands = play(reducing(strict), ev.Reduced(Flags(nonfinite=places)), job=strict)
    assert (s.phase, commands) == (Phase.OVER, (do.Fail(places),))
    assert play(reducing(), ev.Reduced(Flags(nonfinite=places)))[1] == (do.Apply(4),)


# -- invariants ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hooked": 1}, "more than one step behind"),
        ({"held": frozenset({8})}, "a leaf is held that no step has"),
        ({"held": frozenset({1}), "todo": (1, 2)}, "computed again"),
        ({"phase": Phase.REDUCING}, "reduced before its leaves are"),
        ({"applied": 11, "hooked": 11}, "more steps are applied"),
        ({"rank": -1}, "at work outside a group"),
    ],
)
def test_each_invariant_can_fail(changes, text):
    with pytest.raises(ProtocolError, match=text):
        core.invariants(member()._replace(**changes), JOB)
