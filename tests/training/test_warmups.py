"""PROTOCOL S9 in the core: newcomers get State while the group trains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from elastic.control import Candidate
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.agreement import Answer, Flags
from elastic.training.newcomers import Pace
from elastic.training.standing import Job, Standing
from tests.training.test_core import JOB, C, answer, member, play, reducing

WARM = replace(JOB, pace=Pace(level=1, patience=5))
LEAVES = [ev.Computed(leaf) for leaf in range(4)]


def expecting(job: Job = WARM) -> Standing:
    """Member a, about to compute step 4; it knows of c, and makes room for a copy of State."""
    s = play(member(job, applied=2), ev.CandidatesSeen((C,)), *LEAVES, job=job)[0]
    s, commands = play(s, ev.Reduced(Flags()), ev.Applied("L"), job=job)
    assert commands == (do.MakeRoom(), do.Compute(4, 0))
    return s


def lending(job: Job = WARM) -> Standing:
    """Member a, the feeder, about to compute step 5; State after step 4 is lent to c."""
    s = play(expecting(job), *LEAVES, job=job)[0]
    return play(s, ev.Reduced(Flags(warm=(C,))), ev.Applied("M"), job=job)[0]


def test_memory_for_a_copy_is_made_ready_a_step_before_state_is_lent():
    """PROTOCOL S9: no step waits for it."""
    s = play(member(WARM, applied=2), ev.CandidatesSeen((C,)), *LEAVES, job=WARM)[0]
    assert s.flags == Flags()
    s, _ = play(lending(), ev.CandidatesSeen(()), ev.CandidatesSeen((C,)), *LEAVES, job=WARM)
    assert s.flags == Flags(), "memory is made ready anew for the next copy"
    s, commands = play(s, ev.Reduced(Flags()), ev.Applied("N"), job=WARM)
    assert do.MakeRoom() in commands


def test_a_candidate_is_lent_state_after_the_step_whose_flags_say_so():
    """PROTOCOL S4, S9: all copy State after the same step, and train on."""
    s, commands = play(expecting(), *LEAVES, job=WARM)
    assert commands == (do.Reduce(4, Flags(warm=(C,))),)
    s, commands = play(s, ev.Reduced(Flags(warm=(C,))), ev.Applied("M"), job=WARM)
    assert commands == (do.Lend(4, (C,)), do.Compute(5, 0))
    _, commands = play(s, *LEAVES, job=WARM)
    assert commands == (do.Reduce(5, Flags()),)


def test_the_feeder_sends_each_later_result_and_asks_for_the_join_once_it_is_level():
    """PROTOCOL S9: rank 0 feeds, from before the turn to the last step of the generation; not
    before it is sure that the step is applied, and as soon as it is."""
    s, commands = play(lending(), *LEAVES, ev.Reduced(Flags()), job=WARM)
    assert commands == (do.Feed(5, ("c",)), do.Apply(5))
    s, commands = play(s, ev.Applied("N"), ev.NewcomerAt(2, "c", 4), *LEAVES, job=WARM)
    assert commands == (do.Reduce(6, Flags(joins=(C,))),)
    assert play(s, ev.Reduced(Flags(stop=True)), job=WARM)[1] == (do.End(5),)
    s, commands = play(s, ev.Reduced(Flags(joins=(C,))), job=WARM)
    assert commands == (do.Feed(6, ("c",)), do.Apply(6))
    s, commands = play(s, ev.Applied("O"), job=WARM)
    assert commands == (do.Turn(6, (C,), ()), do.Await())
    _, commands = play(s, ev.Formed(3, ("a", "b", "c"), 0), job=WARM)
    assert commands[0] == do.Finish(("c",))


def test_others_lend_but_do_not_feed():
    s = lending()._replace(rank=1)
    _, commands = play(s, *LEAVES, ev.Reduced(Flags()), ev.Applied("N"), job=WARM)
    assert do.Feed not in set(map(type, commands))


HOOKS = replace(WARM, hooks=True)


def hooked(s: Standing, event: ev.Hooked, flags: Flags = Flags()) -> tuple[Standing, tuple]:  # noqa: B008
    """The end of a step with hooks; they are watched if somebody is warmed."""
    s, commands = play(s, *LEAVES, ev.Reduced(flags), ev.Applied("N"), job=HOOKS)
    assert commands == (do.RunHooks(s.applied, watched=bool(s.warming.batch)),)
    return play(s, event, job=HOOKS)


def lending_with_hooks() -> Standing:
    """As `lending`."""
    s = play(member(HOOKS, applied=2), ev.CandidatesSeen((C,)), job=HOOKS)[0]
    s, commands = hooked(s, ev.Hooked())
    assert commands == (do.MakeRoom(), do.Compute(4, 0))
    s, commands = hooked(s, ev.Hooked(), Flags(warm=(C,)))
    assert commands == (do.Lend(4, (C,)), do.Compute(5, 0))
    return s


def test_with_hooks_that_leave_state_alone_the_feed_goes_on_after_them():
    """PROTOCOL S9: the result says all; State is lent as it is after the hooks."""
    s, commands = play(lending_with_hooks(), *LEAVES, ev.Reduced(Flags()), job=HOOKS)
    assert commands == (do.Apply(5),), "not before it is known what the hooks do"
    s, commands = play(s, ev.Applied("N"), ev.Hooked(), job=HOOKS)
    assert commands == (do.Feed(5, ("c",)), do.Compute(6, 0))


def test_hooks_that_write_state_end_the_warm_up():
    """PROTOCOL S9: no result says what they wrote; who was warmed joins and gets State then."""
    s, commands = hooked(lending_with_hooks(), ev.Hooked(wrote=True))
    assert commands == (do.Discard(("c",)), do.Compute(6, 0))
    s, _ = play(s, *LEAVES, job=HOOKS)
    assert s.flags == Flags(joins=(C,))


def test_hooks_that_write_after_the_step_that_agreed_on_a_join_put_it_off():
    """PROTOCOL S9: the newcomer believes that it is level, and is not."""
    s, _ = play(lending_with_hooks(), ev.NewcomerAt(2, "c", 4), job=HOOKS)
    s, commands = hooked(s, ev.Hooked(wrote=True), Flags(joins=(C,)))
    assert commands == (do.Discard(("c",)), do.Compute(6, 0))
    s, commands = hooked(s, ev.Hooked(), Flags(joins=(C,)))
    assert commands == (do.Turn(6, (C,), ()), do.Await())


def test_a_word_of_another_generation_is_not_heard():
    s, _ = play(lending(), ev.NewcomerAt(1, "c", 4), *LEAVES, job=WARM)
    assert s.flags == Flags()


def test_a_candidate_that_dies_changes_nothing():
    """PROTOCOL S9: what was to be sent to it is dropped after the step."""
    s, _ = play(lending(), ev.CandidatesSeen(()), *LEAVES, job=WARM)
    assert s.flags == Flags()
    _, commands = play(s, ev.Reduced(Flags()), job=WARM)
    assert commands == (do.Discard(("c",)), do.Apply(5))


def test_a_loss_voids_a_warm_up_which_begins_again():
    s, commands = play(lending(), ev.Interrupted(), ev.Formed(3, ("a",), 0), job=WARM)
    assert commands[0] == do.Discard(("c",))
    s, _ = play(s, ev.Met((answer("a", 4, "M"),)), ev.Synced(), job=WARM)
    leaves = [ev.Computed(leaf) for leaf in range(8)]
    s, _ = play(s, ev.CandidatesSeen((C,)), *leaves, job=WARM)
    assert s.flags == Flags()
    s, _ = play(s, ev.Reduced(Flags()), ev.Applied("N"), *leaves, job=WARM)
    assert s.flags == Flags(warm=(C,))


def test_a_join_in_the_same_step_goes_before_a_warm_up():
    other = Candidate(7, "d")
    _, commands = play(
        reducing(WARM), ev.Reduced(Flags(joins=(other,), warm=(C,))), ev.Applied("M"), job=WARM
    )
    assert commands == (do.Turn(4, (other,), ()), do.Await())


def borrower() -> Standing:
    """Newcomer c, outside, with a copy of step 4 that a feeds."""
    s = play(Standing(), ev.Admitted("c"))[0]
    s, commands = play(s, ev.Offered(2, 4, "a", {}))
    assert commands == (do.Restore(),)
    s, commands = play(s, ev.Copied(4, "M"))
    assert commands == (do.Report(4), do.Await())
    return s


def test_a_newcomer_replays_what_the_feed_brings_in_order():
    s, commands = play(borrower(), ev.Fed(2, 5))
    assert commands == (do.Replay(5),)
    s, commands = play(s, ev.Copied(5, "N"))
    assert commands == (do.Report(5), do.Await())
    for stray in (ev.Fed(2, 5), ev.Fed(2, 7), ev.Fed(1, 6)):
        assert play(s, stray)[1] == (do.Await(),)


def test_a_newcomer_takes_the_last_steps_from_the_feed_and_nobody_waits_for_it():
    """PROTOCOL S9: it says that its State is a copy; the others begin at once."""
    s, commands = play(borrower(), ev.Formed(3, ("a", "c"), 1))
    mine = Answer("c", 4, "M", 4, copy=True)
    assert commands == (do.Meet(mine),)
    answers = (answer("a", 6, "O"), mine)
    s, commands = play(s, ev.Met(answers))
    assert commands == (do.CatchUp(6, "O"),)
    s, commands = play(s, ev.Copied(6, "O"))
    assert (commands, s.applied, s.hooked, s.copy) == ((do.Sync(),), 6, 6, None)
    a = Standing(applied=6, lineage="O", hooked=6)._replace(id="a")
    a, commands = play(a, ev.Formed(3, ("a", "c"), 0), ev.Met(answers))
    assert commands == (do.Sync(),)
    a, commands = play(a, ev.Synced())
    assert (commands, a.todo) == ((do.Compute(7, 0),), tuple(range(8)))
    assert play(s, ev.Synced())[1] == (do.Reduce(7, Flags()),), "it has none of the first step"


@pytest.mark.parametrize(
    "formed",
    [
        ev.Formed(4, ("a", "c"), 1),
        ev.Formed(3, ("b", "c"), 1),
        ev.Formed(3, ("a", "c"), 1, paused=True),
    ],
)
def test_a_copy_that_no_feed_brings_level_is_worth_nothing(formed):
    s, commands = play(borrower(), formed)
    assert (s.copy, s.lineage) == (None, "")
    assert not any(isinstance(each, do.Meet) and each.answer.copy for each in commands)


def test_a_feed_that_is_lost_while_catching_up_ends_the_claim():
    s, _ = play(borrower(), ev.Formed(3, ("a", "c"), 1))
    s, _ = play(s, ev.Met((answer("a", 6, "O"), answer("c", 4, "M", copy=True))))
    s, _ = play(s, ev.Interrupted())
    _, commands = play(s, ev.Formed(4, ("a", "c"), 1))
    assert commands == (do.Meet(Answer("c", 4, "", 4)),)


def test_a_newcomer_that_cannot_be_lent_state_says_so():
    """PROTOCOL S9, B6: it gets State at a step boundary, or is refused there by name."""
    s = play(Standing(), ev.Admitted("c"))[0]._replace(identity={"threads": "1"})
    _, commands = play(s, ev.Offered(2, 4, "a", {"threads": "2"}))
    assert commands == (do.Report(-1), do.Await())
    s, commands = play(borrower(), ev.FeedLost(2))
    assert commands == (do.Report(-1), do.Await())
    assert (s.copy, s.lineage) == (None, "")


def test_a_member_takes_no_copy():
    s, _ = play(member(), ev.Interrupted())
    for stray in (ev.Offered(2, 4, "a", {}), ev.Fed(2, 4), ev.FeedLost(2)):
        assert play(s, stray) == (play(s, stray)[0], (do.Await(),))
        assert play(s, stray)[0].lineage == "L"
