"""Refusals: counted one by one, told now and then."""

from __future__ import annotations

import os

from elastic.telemetry.refusals import REFUSED, Refusals


def told(events):
    assert {event.event for event in events} == {REFUSED}
    assert {event.fields["pid"] for event in events} == {os.getpid()}
    return [(event.fields["reason"], event.fields["count"]) for event in events]


def test_a_flood_is_few_words_and_whole_at_the_end():
    """P3: a stranger is seen at once, and cannot fill a disk with what is said of him."""
    events = []
    refusals = Refusals("ping", events.append)
    for _ in range(1000):
        refusals.count("no proof")
    refusals.count("too long")
    refusals.close()
    counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert told(events) == [
        *(("no proof", count) for count in counts),
        ("too long", 1),
        ("no proof", 1000),
    ]
    assert refusals.total == 1001


def test_closing_again_has_nothing_new_to_say():
    events = []
    refusals = Refusals("ping", events.append)
    for _ in range(3):
        refusals.count("no proof")
    refusals.close()
    refusals.close()
    assert told(events) == [("no proof", 1), ("no proof", 2), ("no proof", 3)]
