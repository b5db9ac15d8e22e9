"""Where a worker's time goes; times are given."""

from __future__ import annotations

import pytest

from elastic.telemetry.account import Account, Collective, Timing, kind_of
from elastic.wire import from_json, to_json


def test_rounds_of_all_steps_are_one_kind():
    assert [kind_of(tag) for tag in ("step 3", "step 41, slices", "allreduce sum", "gather")] == [
        "reduce",
        "reduce, slices",
        "allreduce sum",
        "gather",
    ]


def test_a_window_has_bytes_and_time_of_each_collective():
    account = Account()
    account.take(10.0)
    account.round("step 1", 100, 300, 11.0, 11.5, {1: 11.2, 2: 11.4})
    account.round("step 2", 100, 300, 12.0, 12.5, {1: 12.1, 2: 12.1})
    account.round("barrier", 0, 0, 13.0, 13.1, {1: 12.0, 2: 12.5})
    timing = account.take(20.0)
    assert timing.seconds == 10.0
    reduce = timing.collectives["reduce"]
    assert (reduce.rounds, reduce.sent_bytes, reduce.received_bytes) == (2, 200, 600)
    assert reduce.seconds == pytest.approx(1.0)
    assert reduce.waited_s == pytest.approx(0.5)
    assert timing.collectives["barrier"] == Collective(1, 0, 0, pytest.approx(0.1), 0.0)
    assert from_json(Timing, to_json(timing)) == timing


def test_only_the_last_is_late_and_only_by_its_own():
    account = Account()
    account.take(0.0)
    account.round("step 1", 0, 0, 1.0, 2.0, {1: 1.9, 2: 1.4})  # 1 alone: half a second
    account.round("step 2", 0, 0, 3.0, 4.0, {1: 3.9, 2: 3.9})  # both: nobody's fault
    account.round("step 3", 0, 0, 5.0, 6.0, {1: 4.0, 2: 4.5})  # this one was last
    late = {pace.rank: pace.late_s for pace in account.take(6.0).paces}
    assert late == {1: pytest.approx(0.5)}


def test_taking_begins_a_new_window():
    account = Account()
    account.take(0.0)
    account.reduced(0.1, 0.2, {0: (2, 0.2)})
    account.applied(0.05)
    first, second = account.take(5.0), account.take(7.0)
    assert (first.steps, first.compute_s, first.reduce_s, first.update_s) == (1, 0.2, 0.1, 0.05)
    assert second == Timing(0, 2.0, 0.0, 0.0, 0.0, {}, ())
    assert not account.is_due(11.9, 5.0)
    assert account.is_due(12.0, 5.0)
