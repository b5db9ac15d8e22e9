"""What follows from the members' answers: who is ahead, who sends what to whom."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.training.agreement import NOTHING, Answer, Flags, Plan, combine, decide


def answer(id: str, applied: int = 0, lineage: str = "", **more: Any) -> Answer:
    return Answer(id, applied, lineage, more.pop("hooked", applied), **more)


def test_the_job_begins_with_the_state_of_the_first():
    """PROTOCOL S2: initial weights are drawn before elastic.train."""
    plan = decide((answer("a"), answer("b"), answer("c")))
    assert plan == Plan(0, "", state={"b": "a", "c": "a"}, held=((), (), ()))
    assert plan.moves


def test_alone_at_the_beginning_nothing_travels():
    assert not decide((answer("a"),)).moves


def test_the_newest_checkpoint_wins_and_its_holder_serves_the_others():
    """PROTOCOL C: by step, then by generation."""
    offers = {"a": None, "b": (6, 1), "c": (6, 3), "d": (4, 9)}
    plan = decide(tuple(answer(id, offer=offer) for id, offer in offers.items()))
    assert (plan.top, plan.load, plan.lineage) == (6, "c", "")
    assert plan.state == {"a": "c", "b": "c", "d": "c"}
    assert not plan.rerun


def test_memory_beats_disk():
    """PROTOCOL S2."""
    plan = decide((answer("n", offer=(99, 9)), answer("a", 3, "L")))
    assert (plan.top, plan.load, plan.state) == (3, "", {"n": "a"})


def test_all_level_need_nothing():
    plan = decide((answer("a", 3, "L", held=(0, 1)), answer("b", 3, "L", held=(5,))))
    assert plan == Plan(3, "L", held=((0, 1), (5,)))
    assert not plan.moves


def test_whoever_is_one_step_behind_gets_the_result():
    """PROTOCOL S3: State is sent to newcomers only. What it held of that step is of no use."""
    plan = decide((answer("a", 2, "K", held=(0,)), answer("b", 3, "L", held=(4,))))
    assert plan == Plan(3, "L", result={"a": "b"}, rerun=True, held=((), (4,)))


def test_newcomers_share_the_donors():
    level = [answer(id, 3, "L") for id in "ab"]
    plan = decide((*level, *(answer(id) for id in "wxyz")))
    assert plan.state == {"w": "a", "x": "b", "y": "a", "z": "b"}


def test_donors_are_those_ahead_only():
    plan = decide((answer("a", 2, "K"), answer("b", 3, "L"), answer("n")))
    assert (plan.state, plan.result) == ({"n": "b"}, {"a": "b"})


def test_hooks_begin_again_if_one_that_is_ahead_has_not_finished_them():
    """PROTOCOL S7: State before them is put back, so it is a Move."""
    plan = decide((answer("a", 3, "L"), answer("b", 3, "L", hooked=2)))
    assert (plan.rerun, plan.moves) == (True, True)


@pytest.mark.parametrize(("who", "stopped"), [("a", True), ("b", False)])
def test_a_stop_counts_if_one_that_is_ahead_knows_it(who, stopped):
    answers = (answer("a", 3, "L", stopped=who == "a"), answer("b", 2, "K", stopped=who == "b"))
    assert decide(answers).stopped is stopped


@pytest.mark.parametrize(
    "answers",
    [
        (answer("a", 3, "L"), answer("b", 1, "J")),
        (answer("a", 3, "L"), answer("b", 3, "other")),
    ],
)
def test_members_further_apart_than_a_step_are_an_error(answers):
    """PROTOCOL S3: members never differ by more than one step, nor in what it was."""
    with pytest.raises(ProtocolError, match=r"further apart.*a: step 3 of L, b: step"):
        decide(answers)


def test_flags_combine_to_the_same_whoever_says_what():
    """PROTOCOL S4: all act on the combined value."""
    every = (
        Flags(joins=(Candidate(9, "c"), Candidate(7, "d")), nonfinite=("step 3 micro-batch 1",)),
        Flags(joins=(Candidate(9, "c"),), leaves=("b",), stop=True),
        Flags(leaves=("a",)),
        NOTHING,
    )
    expected = Flags(
        (Candidate(7, "d"), Candidate(9, "c")), ("a", "b"), True, ("step 3 micro-batch 1",)
    )
    assert {combine(order) for order in permutations(every)} == {expected}
    assert combine([]) == NOTHING
