"""Who holds the others up, and by what evidence."""

from __future__ import annotations

from elastic.telemetry.stragglers import Pace, stragglers


def paces(*each):
    return [Pace(rank, *numbers) for rank, numbers in enumerate(each)]


def test_a_straggler_is_named_with_its_evidence():
    """Ten steps in ten seconds: rank 2 costs the others four of them, its leaves are slow."""
    (found,) = stragglers(paces((0, 20, 4), (0.1, 20, 4), (4, 20, 8)), 10, 10.0)
    assert (found.accused_rank, found.reason, found.share) == (2, "leaves", 0.4)
    assert str(found) == (
        "rank 2 makes the others wait 400 ms a step, 40% of their time: its leaves take 400 ms, "
        "the others' 200 ms"
    )


def test_a_slow_link_is_not_taken_for_slow_leaves():
    (found,) = stragglers(paces((0, 20, 4), (5, 20, 4)), 10, 10.0)
    assert found.reason == "messages"
    assert "its leaves are as quick as the others'" in str(found)


def test_who_is_dealt_one_leaf_more_is_no_straggler():
    """Four leaves over three members: rank 0 has two, of half a second each."""
    assert stragglers(paces((5, 20, 10), (0, 10, 5), (0, 10, 5)), 10, 10.0) == ()


def test_several_are_told_worst_first_and_nobody_in_an_empty_window():
    many = paces((3, 20, 4), (4, 20, 4), (0, 20, 4))
    assert [found.accused_rank for found in stragglers(many, 10, 10.0)] == [1, 0]
    assert stragglers(many, 0, 10.0) == stragglers(many, 3, 0.0) == ()
