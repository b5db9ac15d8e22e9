"""The manual clock and its lanes."""

from __future__ import annotations

from random import Random

from elastic.testing.clock import Lane, ManualClock


def test_what_is_due_runs_in_order_of_time_and_then_of_asking():
    clock, ran = ManualClock(), []
    for t, name in [(2.0, "c"), (1.0, "a"), (1.0, "b")]:
        clock.at(t, lambda name=name, t=t: ran.append((name, clock.now == t)))
    clock.advance(1.5)
    assert ran == [("a", True), ("b", True)]
    assert clock.now == 1.5
    clock.advance(1.0)
    assert ran[2:] == [("c", True)]


def test_the_past_is_now():
    clock, ran = ManualClock(), []
    clock.advance(5.0)
    clock.at(1.0, lambda: ran.append(clock.now))
    assert clock.next(5.0)
    assert not clock.next(5.0)
    assert ran == [5.0]


def test_a_lane_keeps_order_whatever_the_delays():
    clock, arrived = ManualClock(), []
    lane = Lane(clock, Random(1), (0.0, 1.0))
    for i in range(50):
        lane.send(lambda i=i: arrived.append(i))
    clock.advance(1.0)
    assert arrived == list(range(50))


def test_a_cut_lane_delivers_a_beginning_and_nothing_more():
    seen = set()
    for seed in range(20):
        clock, arrived = ManualClock(), []
        lane = Lane(clock, Random(seed), (0.0, 1.0))
        for i in range(5):
            lane.send(lambda i=i, arrived=arrived: arrived.append(i))
        lane.cut()
        lane.send(lambda arrived=arrived: arrived.append("too late"))
        clock.advance(3.0)
        assert arrived == list(range(len(arrived)))
        seen.add(len(arrived))
    assert len(seen) > 1


def test_a_busy_lane_holds_what_comes():
    clock, arrived = ManualClock(), []
    lane = Lane(clock, Random(1), (0.0, 0.1))
    lane.hold(3.0)
    lane.send(lambda: arrived.append(clock.now))
    clock.advance(5.0)
    assert arrived == [3.0]
