"""The marks of a recovery: which phases, of what, and when there is none."""

from __future__ import annotations

import pytest

from elastic.control import Group
from elastic.training.recovery import RecoveryMarks


def group(generation=2, lost=("b",), first_sign=1.0, decided=1.1):
    return Group(
        generation, (), f"cause {generation}", lost=lost, first_sign=first_sign, decided=decided
    )


def phases(recovery):
    names = ("detect_s", "rendezvous_s", "sync_s", "first_step_s", "total_s")
    return [pytest.approx(getattr(recovery, name)) for name in names]


@pytest.fixture
def marks():
    return RecoveryMarks()


def test_a_loss_and_its_phases(marks):
    marks.aborted(1.05)
    marks.formed(group(), 1.2)
    marks.synced(1.5)
    recovery = marks.committed(7, 2.0)
    assert (recovery.step, recovery.cause, recovery.lost) == (7, "cause 2", ("b",))
    assert phases(recovery) == [0.1, 0.1, 0.3, 0.5, 1.0]
    assert marks.committed(8, 3.0) is None, "told once"


def test_the_first_sign_may_be_this_workers_own(marks):
    """Its connection broke before its agent saw anything."""
    marks.aborted(0.9)
    marks.aborted(1.15)
    marks.formed(group(first_sign=0.0, decided=0.0), 1.2)
    marks.synced(1.5)
    assert marks.committed(7, 2.0).total_s == pytest.approx(1.1)


def test_losses_in_a_row_are_one(marks):
    """The first sign of the first, the end of the last, and all that were lost."""
    marks.formed(group(), 1.2)
    marks.aborted(1.3)
    marks.formed(group(3, ("c",), first_sign=1.3, decided=1.4), 1.5)
    marks.synced(1.6)
    recovery = marks.committed(7, 2.0)
    assert recovery.lost == ("b", "c")
    assert recovery.cause == "cause 2; cause 3"
    assert phases(recovery) == [0.1, 0.4, 0.1, 0.4, 1.0]


def test_a_join_amid_a_recovery_does_not_end_it(marks):
    marks.formed(group(), 1.2)
    marks.formed(group(3, lost=()), 1.4)
    marks.synced(1.5)
    assert marks.committed(7, 2.0).lost == ("b",)


def test_a_planned_change_is_no_recovery(marks):
    """Nor does an abort before it count as the sign of a later loss."""
    marks.aborted(0.5)
    marks.formed(group(lost=()), 0.6)
    assert marks.committed(5, 0.8) is None
    marks.formed(group(3), 1.2)
    marks.synced(1.5)
    assert marks.committed(7, 2.0).total_s == pytest.approx(1.0)


def test_a_planned_change_tells_once_how_long_all_paused(marks):
    marks.turned(1.0)
    assert marks.resumed(1.25) == 0.25
    assert marks.resumed(2.0) is None


def test_a_planned_change_that_is_aborted_tells_no_pause(marks):
    marks.turned(1.0)
    marks.aborted(1.1)
    assert marks.resumed(1.25) is None
