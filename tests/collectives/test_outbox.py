"""What is on its way: who gets it, what is lost with a stream, and how it ends."""

from __future__ import annotations

from elastic.collectives.frames import Header, Outgoing
from elastic.collectives.outbox import Ending, Outbox
from tests.collectives.company import in_background


def message(generation: int = 1, text: bytes = b"") -> Outgoing:
    return Outgoing(Header(generation, 0, 0, "tag"), [memoryview(text)], chunk_bytes=100)


def test_a_newer_subscription_takes_over_what_was_not_sent():
    outbox = Outbox()
    held = in_background(list, outbox.frames(outbox.subscribe(1)))
    second = outbox.subscribe(1)
    assert held.result(10) == []
    outbox.put(message())
    assert next(outbox.frames(second))


def test_what_was_sent_on_a_broken_stream_is_lost_for_its_generation():
    outbox = Outbox()
    outbox.put(message(generation=3))
    assert next(outbox.frames(outbox.subscribe(3)))
    assert outbox.subscribe(3).code == "DATA_LOSS"
    assert not isinstance(outbox.subscribe(4), Ending)


def test_an_outbox_ends_after_what_is_waiting():
    outbox = Outbox()
    outbox.put(message(text=b"last words"))
    outbox.end(Ending())
    (frame,) = outbox.frames(outbox.subscribe(1))
    assert b"last words" in frame
    assert outbox.ending.code == "OK"


def test_who_hangs_up_frees_the_thread():
    outbox = Outbox()
    queue = outbox.subscribe(1)
    held = in_background(list, outbox.frames(queue))
    outbox.hang_up(queue)
    assert held.result(10) == []


def test_what_a_superseded_thread_took_is_given_back():
    outbox = Outbox()
    first = outbox.subscribe(1)
    outbox.put(message(text=b"not lost"))
    taken = first.get()
    second = outbox.subscribe(1)
    first.put(taken)
    while not first.empty():
        assert outbox._next(first) is None
    assert b"not lost" in next(outbox.frames(second))


def test_earlier_generations_are_purged():
    outbox = Outbox()
    outbox.put(message(1, b"old"))
    outbox.put(message(2, b"new"))
    outbox.purge(2)
    assert b"new" in next(outbox.frames(outbox.subscribe(2)))
