"""Recoveries told phase by phase, and goodput (design.md, promise 8)."""

from __future__ import annotations

import pytest

from elastic.telemetry.recovery import Marks, Recovery, goodput
from elastic.wire import from_json, to_json


def test_the_phases_add_up():
    marks = Marks(lost=10.0, aborted=10.25, grouped=10.5, synced=11.0, committed=13.0)
    recovery = Recovery.of(12, "m-7 exited with -9", ("m-7",), marks)
    assert recovery == Recovery(12, "m-7 exited with -9", ("m-7",), 0.25, 0.25, 0.5, 2.0, 3.0)


def test_a_phase_that_ended_before_it_began_took_no_time():
    """A worker whose connection broke aborts before its agent sees the exit."""
    marks = Marks(lost=10.0, aborted=9.5, grouped=10.5, synced=10.25, committed=11.0)
    recovery = Recovery.of(12, "", (), marks)
    assert (recovery.detect_s, recovery.rendezvous_s, recovery.sync_s) == (0.0, 0.5, 0.0)
    assert recovery.total_s == 1.0


def test_a_recovery_reads_as_a_sentence():
    marks = Marks(10.0, 10.05, 10.1, 10.2, 10.4)
    assert str(Recovery.of(12, "m-7 is gone", ("m-7",), marks)) == (
        "recovered at step 12 in 0.400 s (detect 0.050, rendezvous 0.050, sync 0.100, "
        "first step 0.200): m-7 is gone"
    )


def test_a_recovery_travels_as_json():
    recovery = Recovery.of(12, "gone", ("m-7",), Marks(0.0, 1.0, 2.0, 3.0, 4.0))
    assert from_json(Recovery, to_json(recovery)) == recovery


@pytest.mark.parametrize(
    ("total_s", "lost_s", "share"),
    [(10.0, 0.0, 1.0), (10.0, 2.5, 0.75), (10.0, 10.0, 0.0), (0.0, 0.0, 1.0), (1.0, 2.0, 0.0)],
)
def test_goodput_is_the_share_that_was_not_lost(total_s, lost_s, share):
    assert goodput(total_s, lost_s) == share
