"""Feeds between a member and a newcomer over real gRPC: in order, fenced, ended (PROTOCOL S9)."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from elastic.collectives.feeds import Source
from elastic.collectives.group import Group
from elastic.world import Member

PATIENCE_S = 20


class Heard(Source):
    """What a feed brings, in order."""

    def __init__(self):
        self.queue: SimpleQueue[Any] = SimpleQueue()

    def message(self, source, message):
        self.queue.put((message.header.tag, [bytes(blob) for blob in message.blobs]))

    def left(self, id):
        self.queue.put("complete")

    def ended(self, why):
        self.queue.put("broken")

    def get(self):
        return self.queue.get(timeout=PATIENCE_S)


@pytest.fixture
def member():
    with Group("job", "secret", me="a") as group:
        group.enter(3, [Member("a", group.address)], 0)
        yield group


@pytest.fixture
def newcomer():
    with Group("job", "secret", me="c") as group:
        group.notes = SimpleQueue()
        group.on_note = group.notes.put
        yield group


def invited(member, newcomer, generation=3):
    member.feeds.open("c", generation)
    member.feeds.invite("c", newcomer.address, generation, 7)
    note = newcomer.notes.get(timeout=PATIENCE_S)
    assert (note.source, note.generation, note.step) == ("a", generation, 7)
    heard = Heard()
    newcomer.feeds.read(note, heard)
    return heard


def test_messages_arrive_in_order_and_the_end_after_them(member, newcomer):
    large = np.arange(3_000_000)
    heard = invited(member, newcomer)
    member.feeds.send(["c"], 3, "state", [b"head", large])
    assert heard.get() == ("state", [b"head", large.tobytes()])
    member.feeds.send(["c"], 3, "result", [b"1"])
    member.feeds.end(["c"], at_once=False)
    assert heard.get() == ("result", [b"1"])
    assert heard.get() == "complete"


def test_a_feed_that_is_in_vain_ends_as_broken(member, newcomer):
    heard = invited(member, newcomer)
    member.feeds.end(["c"], at_once=True)
    assert heard.get() == "broken"


def test_a_feed_goes_on_when_its_member_enters_the_next_generation(member, newcomer):
    heard = invited(member, newcomer)
    member.feeds.send(["c"], 3, "state", [b"1"])
    assert heard.get() == ("state", [b"1"])
    member.enter(4, [Member("a", member.address)], 0)
    member.feeds.send(["c"], 3, "result", [b"1"])
    assert heard.get() == ("result", [b"1"])


def test_nothing_of_another_generation_is_sent_or_read(member, newcomer):
    heard = invited(member, newcomer)
    member.feeds.send(["c"], 2, "result", [b"old"])
    member.feeds.send(["c"], 3, "result", [b"new"])
    assert heard.get() == ("result", [b"new"])
    member.feeds.open("c", 4)
    member.feeds.invite("c", newcomer.address, 3, 7)
    stale = Heard()
    newcomer.feeds.read(newcomer.notes.get(timeout=PATIENCE_S), stale)
    assert stale.get() == "broken"


def test_a_member_that_dies_breaks_its_feed(newcomer):
    with Group("job", "secret", me="a") as member:
        member.enter(3, [Member("a", member.address)], 0)
        heard = invited(member, newcomer)
        member._transport._server.stop(0)
        assert heard.get() == "broken"


def test_a_newcomer_reports_its_step(member, newcomer):
    told = SimpleQueue()
    member.on_note = told.put
    newcomer.feeds.report("a", member.address, 3, 9)
    note = told.get(timeout=PATIENCE_S)
    assert (note.source, note.generation, note.step, note.address) == ("c", 3, 9, "")


def test_a_stranger_reads_no_feed_and_is_not_heard(member):
    """PROTOCOL P3: without the job's token."""
    told = SimpleQueue()
    member.on_note = told.put
    member.feeds.open("c", 3)
    with Group("job", "another", me="c") as stranger:
        heard = Heard()
        stranger._transport.fetch("a", member.address, 3, heard)
        assert heard.get() == "broken"
        stranger.feeds.report("a", member.address, 3, 9)
        with Group("job", "secret", me="d") as friend:
            friend.feeds.report("a", member.address, 3, 1)
            assert told.get(timeout=PATIENCE_S).source == "d"
    assert member.counters()["refused_callers"] >= 1
    assert told.empty()
