"""Which checkpoints are kept, win and fit (PROTOCOL C, S2)."""

from __future__ import annotations

import pytest

from elastic.checkpoint.policy import Name, expired, misfit, winner


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (Name(12, 3), "step-00000012-g3"),
        (Name(0, 0), "step-00000000-g0"),
        (Name(123456789, 10), "step-123456789-g10"),
    ],
)
def test_a_name_is_its_text(name, text):
    assert str(name) == text
    assert Name.parse(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step-12-g3",
        "step-00000012-g03",
        "step-0000000012-g3",
        "step-00000012-g3/",
        "step-00000012-g3\n",
        "../step-00000012-g3",
        "step-00000012",
        "step--0000012-g3",
        "step-00000012-g-3",
        "step-٠٠٠٠٠٠١٢-g3",
        ".tmp-host-1-00000000",
        "old-1",
    ],
)
def test_anything_else_is_no_name(text):
    assert Name.parse(text) is None


def test_names_are_ordered_by_step_then_generation():
    assert Name(2, 9) < Name(10, 1) < Name(10, 2)


@pytest.mark.parametrize(
    ("steps", "written", "keep", "gone"),
    [
        ([1, 2, 3], 3, 3, []),
        ([1, 2, 3, 4], 4, 3, [1]),
        ([1, 2, 3, 4], 4, 1, [1, 2, 3]),
        ([4, 3, 2, 1], 4, 2, [2, 1][::-1]),
        ([5, 6, 7, 8, 2], 2, 1, []),
        ([1, 2, 8, 9], 3, 2, [1]),
        ([7], 7, 1, []),
    ],
)
def test_only_steps_older_than_the_written_one_expire(steps, written, keep, gone):
    """C1: a host that is behind, or resumed from an older step, deletes nothing newer."""
    names = [Name(step, 1) for step in steps]
    assert expired(names, Name(written, 1), keep) == [Name(step, 1) for step in gone]


def test_generations_of_one_step_count_once_and_go_together():
    names = [Name(1, 1), Name(1, 2), Name(2, 2), Name(3, 2), Name(3, 3)]
    assert expired(names, Name(3, 3), keep=2) == [Name(1, 1), Name(1, 2)]


@pytest.mark.parametrize(
    ("offers", "rank"),
    [
        ({}, None),
        ({0: None, 1: None}, None),
        ({0: None, 1: Name(4, 1)}, 1),
        ({0: Name(8, 1), 1: Name(12, 1), 2: Name(4, 7)}, 1),
        ({0: Name(12, 1), 1: Name(12, 2)}, 1),
        ({2: Name(12, 2), 1: Name(12, 2), 3: Name(12, 2)}, 1),
    ],
)
def test_the_newest_step_wins_then_generation_then_lowest_rank(offers, rank):
    """C1, S2: a pure function of what all members offer, so all agree."""
    assert winner(offers) == rank


def test_a_fingerprint_fits_only_itself_and_the_reason_names_both():
    assert misfit("abc", "abc") is None
    assert misfit("abc", "xyz") == (
        "it was written by another model (fingerprint 'abc', this one has 'xyz')"
    )
