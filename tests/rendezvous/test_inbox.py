"""The inbox: what comes in a burst is taken at once, and nothing overtakes anything."""

from __future__ import annotations

import queue
import threading

import pytest

from elastic.rendezvous import events as ev
from elastic.rendezvous.inbox import Inbox

GONE = tuple(ev.MemberGone(f"m{i}") for i in range(5))
VERDICT = ev.Verdict(1, "m0", "", True, "refused")


def inbox(*items):
    box = Inbox()
    for item in items:
        box.put(item)
    return box


def test_a_run_is_taken_at_once_and_in_order():
    """PROTOCOL M3: losses that are known together are proposed together."""
    box = inbox(*GONE, VERDICT)
    assert box.get(0) == ev.Burst((*GONE, VERDICT))
    with pytest.raises(queue.Empty):
        box.get(0)


def test_others_are_neither_overtaken_nor_gathered():
    box = inbox(GONE[0], ev.Tick(), GONE[1], GONE[2], ev.Tick(), ev.LeaseLost(), GONE[3])
    taken = [box.get(0) for _ in range(6)]
    assert taken == [
        GONE[0],
        ev.Tick(),
        ev.Burst(GONE[1:3]),
        ev.Tick(),
        ev.LeaseLost(),
        GONE[3],
    ]


def test_whoever_waits_is_woken():
    box = inbox()
    thread = threading.Thread(target=box.put, args=(VERDICT,))
    thread.start()
    assert box.get(10.0) == VERDICT
    thread.join()
