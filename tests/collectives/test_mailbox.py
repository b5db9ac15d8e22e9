"""The mailbox's shell: payloads, callers that wait, and readers that are held back."""

from __future__ import annotations

import pytest

from elastic.collectives import core
from elastic.collectives.frames import Header, Message
from elastic.collectives.mailbox import Mailbox
from elastic.errors import Aborted, ProtocolError
from tests.collectives.company import in_background


class Told:
    """What a mailbox tells the rest of the shell."""

    def __init__(self) -> None:
        self.aborts = 0
        self.suspicions: list[tuple[int, str, str]] = []

    def abort(self) -> None:
        self.aborts += 1

    def suspect(self, generation: int, id: str, reason: str) -> None:
        self.suspicions.append((generation, id, reason))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def mailbox(told):
    made = Mailbox(10, told.abort, told.suspect)
    made.enter(1, ("a", "b"))
    yield made
    core.invariants(made.standing)
    assert made._payloads.keys() == made.standing.parked.keys()


def message(index: int, text: bytes = b"", generation: int = 1) -> Message:
    return Message(Header(generation, 0, index, "tag"), [memoryview(text)])


def test_a_caller_gets_every_source(mailbox):
    mailbox.message("a", message(0, b"from a"))
    ticket = mailbox.expect(("round", 0), ("a", "b"))
    mailbox.message("b", message(0, b"from b"))
    assert {k: bytes(m.blobs[0]) for k, m in ticket.wait().items()} == {
        "a": b"from a",
        "b": b"from b",
    }


def test_refused_and_forgotten_payloads_are_dropped(mailbox):
    mailbox.message("a", message(0, generation=0))
    mailbox.message("stranger", message(0))
    mailbox.message("a", message(0, b"first"))
    mailbox.message("a", message(0, b"again"))
    assert [bytes(m.blobs[0]) for m in mailbox._payloads.values()] == [b"first"]
    mailbox.message("a", message(0, generation=3))
    mailbox.enter(2, ("a",))
    assert [generation for generation, _, _ in mailbox._payloads] == [3]


def test_a_loss_wakes_every_caller_and_is_told_once(mailbox, told):
    waiting = [in_background(mailbox.expect((name, 0), ("a",)).wait) for name in "xy"]
    mailbox.lost("b", "broke")
    for each in waiting:
        with pytest.raises(Aborted, match="broke") as caught:
            each.result(10)
        assert caught.value.peer == "b"
    mailbox.lost("b", "broke again")
    with pytest.raises(Aborted):
        mailbox.expect(("round", 0), ("a",))
    assert (told.aborts, told.suspicions) == (1, [(1, "b", "broke")])


def test_an_illegal_wait_leaves_the_others_as_they_are(mailbox):
    ticket = mailbox.expect(("round", 0), ("a",))
    with pytest.raises(ProtocolError, match="one caller at a time"):
        mailbox.expect(("round", 1), ("a",))
    mailbox.message("a", message(0))
    assert list(ticket.wait()) == ["a"]


def test_a_reader_is_held_back_until_what_it_brought_is_wanted(mailbox):
    mailbox.wait_readable("a")
    mailbox.message("a", message(1, b"ten bytes!"))
    held = in_background(mailbox.wait_readable, "a")
    with pytest.raises(TimeoutError):
        held.result(0.05)
    ticket = mailbox.expect(("round", 0), ("a",))
    held.result(10)
    mailbox.message("a", message(0))
    ticket.wait()


@pytest.mark.parametrize("event", [core.Closed(), core.Interrupted(2, "newer")])
def test_the_end_of_a_generation_lets_readers_go(mailbox, event):
    mailbox.message("a", message(1, b"ten bytes!"))
    held = in_background(mailbox.wait_readable, "a")
    mailbox.take(event)
    held.result(10)
