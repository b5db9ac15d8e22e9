"""PROTOCOL S9, the pure part: who is warmed, who joins, whose copy counts."""

from __future__ import annotations

import pytest

from elastic.control import Candidate
from elastic.training.newcomers import CANNOT, Copy, Pace, Warming, pace

C, D = Candidate(8, "c", "c:1"), Candidate(9, "d", "d:1")
PACE = Pace(level=1, patience=5)
WARMED = Warming().begin((C, D), 10)


def test_candidates_are_warmed_first():
    assert Warming().wishes((C, D), 10, PACE) == ((), (C, D))


def test_a_job_that_warms_nobody_asks_them_in_at_once():
    assert Warming().wishes((C, D), 10, None) == ((C, D), ())
    assert WARMED.wishes((C, D), 10, None) == ((C, D), ())


@pytest.mark.parametrize(
    ("said", "applied", "joins"),
    [
        ({}, 11, ()),
        ({"c": 11}, 11, ()),  # d would lose its warm-up
        ({"c": 11, "d": 9}, 11, ()),
        ({"c": 11, "d": 10}, 11, (C, D)),
        ({"c": 11, "d": CANNOT}, 11, (C, D)),
        ({"c": 14, "d": 10}, 15, ()),
        ({"c": 15, "d": 10}, 16, (C, D)),  # d is too slow to be waited for
        ({}, 15, ()),
        ({}, 16, (C, D)),
    ],
)
def test_a_batch_joins_together_when_all_are_level_or_never_will_be(said, applied, joins):
    warming = WARMED
    for id, step in said.items():
        warming = warming.heard(id, step)
    assert warming.wishes((C, D), applied, PACE) == (joins, ())


@pytest.mark.parametrize(("behind", "level"), [(1, 15), (2, 20), (5, 35)])
def test_whoever_comes_no_nearer_is_level_a_step_further_behind_each_time(behind, level):
    def joins(applied):
        warming = Warming().begin((C,), 10).heard("c", applied - behind)
        return bool(warming.wishes((C,), applied, Pace(0, 5))[0])

    assert [joins(applied) for applied in (level - 1, level)] == [False, True]


def test_whoever_is_no_candidate_any_more_is_not_waited_for():
    warming = WARMED.heard("c", 11).forget({"d"})
    assert warming.wishes((C,), 11, PACE) == ((C,), ())
    assert warming.gone == ("d",)


def test_while_a_batch_is_warmed_no_other_begins():
    """A join ends the generation, and with it the warm-up of a later one."""
    other = Candidate(11, "e")
    assert WARMED.wishes((C, D, other), 11, PACE) == ((), ())
    assert WARMED.forget({"c", "d"}).wishes((other,), 11, PACE) == ((), (other,))


def test_after_two_warm_ups_in_vain_state_is_sent_at_a_step_boundary():
    once = WARMED.after(("a",))
    assert once.wishes((C,), 12, PACE) == ((), (C,))
    twice = once.begin((C,), 12).after(("a",))
    assert twice.wishes((C,), 13, PACE) == ((C,), ())
    assert twice.wishes((D,), 13, PACE) == ((), (D,))


def test_whoever_has_joined_was_not_warmed_in_vain():
    assert WARMED.after(("a", "c")).voided == ("d",)
    assert WARMED.after(("a",)).after(("a", "c")).voided == ("d",)


def test_what_a_stranger_says_is_not_heard():
    assert WARMED.heard("x", 11) == WARMED


@pytest.mark.parametrize(
    ("generation", "ids", "leads"),
    [(3, ("a", "c"), True), (4, ("a", "c"), False), (3, ("b", "c"), False), (2, ("a",), False)],
)
def test_a_copy_leads_to_the_next_generation_with_its_feeder_only(generation, ids, leads):
    assert Copy(2, "a").leads_to(generation, ids) is leads


def test_small_jobs_send_state_at_a_step_boundary():
    assert pace(100) is None
    assert pace(200 << 20) == Pace(0, 8)
    assert pace(1 << 20) == Pace(4, 64)
