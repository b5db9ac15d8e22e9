"""PROTOCOL S9, the shells: shares of State cut, sent, verified and put together; what follows."""

from __future__ import annotations

import json
import threading

import pytest

import elastic.tensor as torch
from elastic import control
from elastic.collectives.frames import Header, Message, as_bytes
from elastic.control import Candidate
from elastic.errors import Aborted, ProtocolError
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.borrower import Borrower, CopyHere, FeedEnded, ResultHere
from elastic.training.lender import Lender
from elastic.training.link import Inbox
from elastic.training.newcomers import Copy
from elastic.training.shares import cut
from elastic.training.standing import Standing
from elastic.world import Member, World
from tests.training.test_transfer import Party, changed

C = Candidate(9, "c", "c:1")
PATIENCE_S = 20


def test_shares_are_equal_and_cover_every_byte_once():
    sizes = {"b": 10, "empty": 0, "a": 100, "c": 1}
    cuts = cut(sizes, 3)
    assert cuts == cut(dict(reversed(sizes.items())), 3)
    assert [sum(p.stop - p.start for p in pieces) for pieces in cuts] == [37, 37, 37]
    for name, size in sizes.items():
        pieces = sorted((p.start, p.stop) for share in cuts for p in share if p.name == name)
        assert [a for a, _ in pieces] == [0, *(b for _, b in pieces[:-1])][: len(pieces)]
        assert (pieces[-1][1] if pieces else 0) == size


class Feeds:
    """What a group's `feeds` is to lenders and a borrower, within one process."""

    def __init__(self):
        self.calls = []
        self.sent = []
        self.source = None
        self.arrived = threading.Event()

    def send(self, ids, generation, tag, blobs):
        message = [memoryview(bytearray(as_bytes(blob))) for blob in blobs]
        self.sent.append((tuple(ids), Message(Header(generation, 2, 0, tag), message)))
        self.arrived.set()

    def read(self, note, source):
        self.source = source

    def __getattr__(self, name):
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.values()))


class Side:
    """A member or a newcomer with its feeds."""

    def __init__(self, id):
        self.party = changed(Party(id, best=0.0)) if id != "c" else Party(id, best=0.0)
        self.feeds = Feeds()
        self.inbox = Inbox()
        state, steps = self.party.state, self.party.steps
        self.lender = Lender(state, steps, self)
        self.borrower = Borrower(state, steps, self, self.inbox)

    def lend(self, rank, size):
        members = tuple(Member(id) for id in "ab"[:size])
        standing = Standing(id="ab"[rank], applied=3, lineage="L", identity={"model": "m"})
        self.lender.lend((C,), standing, World(2, members, rank))
        self.lender.settle()
        assert self.feeds.arrived.wait(PATIENCE_S)
        return self.feeds.sent[-1][1]

    def invited(self, source="a", generation=2):
        note = Note(source, generation)
        self.borrower.heard(note)
        return self.feeds.source

    def messages(self):
        return list(self.inbox._messages)


class Note:
    def __init__(self, source, generation, address="a:1", step=3):
        self.source, self.generation = source, generation
        self.address, self.step = address, step


@pytest.fixture
def newcomer():
    return Side("c")


def test_shares_of_two_members_make_the_state_that_both_had(newcomer):
    shares = [Side("ab"[rank]).lend(rank, 2) for rank in (0, 1)]
    assert abs(shares[0].nbytes - shares[1].nbytes) < 5000  # heads and header apart
    newcomer.invited("a").message("a", shares[0])
    assert newcomer.messages() == []
    newcomer.invited("b").message("b", shares[1])
    (copy,) = newcomer.messages()
    assert newcomer.borrower.told(copy) == ev.Offered(2, 3, "a", {"model": "m"})
    assert newcomer.borrower.restore() == ev.Copied(3, "L")
    assert newcomer.party.state.state_digest() == Side("a").party.state.state_digest()


def test_results_that_overtake_a_share_wait_for_it(newcomer):
    """PROTOCOL S9: a step that is lost on the way would be waited for in vain."""
    shares = [Side("ab"[rank]).lend(rank, 2) for rank in (0, 1)]
    feeder = newcomer.invited("a")
    feeder.message("a", shares[0])
    for step in (4, 5):
        result = [memoryview(bytearray(str(step).encode())), memoryview(bytearray(1))]
        feeder.message("a", Message(Header(2, 2, 0, "result"), result))
    assert newcomer.messages() == []
    newcomer.invited("b").message("b", shares[1])
    copy, *results = newcomer.messages()
    assert isinstance(copy, CopyHere)
    assert [result.event for result in results] == [ev.Fed(2, 4), ev.Fed(2, 5)]


def test_state_may_be_written_as_soon_as_it_is_settled(newcomer):
    donor = Side("a")
    digest = donor.party.state.state_digest()
    message = donor.lend(0, 1)
    donor.party.step(1)
    newcomer.invited().message("a", message)
    newcomer.borrower.told(newcomer.inbox.get())
    newcomer.borrower.restore()
    assert newcomer.party.state.state_digest() == digest


def test_a_share_with_other_bytes_is_refused_and_state_untouched(newcomer):
    before = newcomer.party.state.state_digest()
    message = Side("a").lend(0, 1)
    message.blobs[-1][0] ^= 1
    newcomer.invited().message("a", message)
    (ended,) = newcomer.messages()
    assert "another digest" in ended.reason
    assert newcomer.borrower.told(ended) == ev.FeedLost(2)
    assert newcomer.party.state.state_digest() == before


@pytest.mark.parametrize("change", [{"step": 4}, {"lineage": "M"}, {"pieces": ()}])
def test_shares_that_do_not_fit_together_are_refused(newcomer, change):
    first, second = (Side("ab"[rank]).lend(rank, 2) for rank in (0, 1))
    head = json.loads(bytes(second.blobs[0])) | change
    blobs = second.blobs[: 2 + len(head["pieces"])]
    head["digests"] = head["digests"][: len(head["pieces"])]
    blobs[0] = memoryview(json.dumps(head).encode())
    newcomer.invited("a").message("a", first)
    newcomer.invited("b").message("b", Message(second.header, blobs))
    (ended,) = newcomer.messages()
    assert isinstance(ended, FeedEnded)
    assert ended.broken


def test_what_was_lent_in_an_earlier_generation_is_dropped(newcomer):
    old = newcomer.invited(generation=2)
    newcomer.invited(generation=3)
    old.message("a", Side("a").lend(0, 1))
    old.ended("too late")
    assert newcomer.messages() == []


def test_a_new_admission_ends_what_was_lent_to_the_old_one(newcomer):
    """PROTOCOL M6."""
    old = newcomer.invited()
    newcomer.borrower.forget()
    old.message("a", Side("a").lend(0, 1))
    assert newcomer.messages() == []


def test_only_a_feed_that_matters_is_missed(newcomer):
    feeds = [newcomer.invited(id) for id in "ab"]
    for rank in (0, 1):
        feeds[rank].message("ab"[rank], Side("ab"[rank]).lend(rank, 2))
    assert isinstance(newcomer.inbox.get(), CopyHere)
    feeds[1].ended("its donor died, but its share is here")
    assert newcomer.messages() == []
    feeds[0].ended("the feeder died")
    assert newcomer.messages() == [FeedEnded(2, "the feeder died", broken=True)]


# -- results ---------------------------------------------------------------------------------------


def fed(*steps):
    """A donor's results of these steps as they arrive, and its lineage after the last."""
    donor, lineage, results = Party("a", best=0.0), "start", []
    for step in steps:
        lineage = donor.step(step, lineage)
        blobs = [memoryview(bytearray(as_bytes(blob))) for blob in donor.steps.pack_last()]
        results.append(ResultHere(2, step, blobs))
    return donor, lineage, results


def catch_up(side, step, lineage):
    standing = Standing(lineage="start", generation=3, copy=Copy(2, "a"))
    lost = []
    over = lambda message: isinstance(message, control.Group)  # noqa: E731
    command = do.CatchUp(step, lineage)
    return side.borrower.catch_up(command, standing, over, lost.append), lost


def test_replayed_results_lead_to_the_same_state(newcomer):
    donor, lineage, results = fed(1, 2)
    for result in results:
        newcomer.inbox.put(result)
    assert catch_up(newcomer, 2, lineage) == (ev.Copied(2, lineage), [])
    assert newcomer.party.state.state_digest() == donor.state.state_digest()
    assert newcomer.party.steps.last_line is None


def test_a_result_that_leads_elsewhere_is_an_error(newcomer):
    _, _, (result,) = fed(1)
    newcomer.inbox.put(result)
    with pytest.raises(ProtocolError, match="not the one the job has"):
        catch_up(newcomer, 1, "another lineage")


def test_catching_up_ends_with_the_generation(newcomer):
    newcomer.inbox.put(FeedEnded(2, "the feeder died", broken=True))
    newcomer.inbox.put(control.Group(4, (), "a loss"))
    with pytest.raises(Aborted):
        catch_up(newcomer, 1, "L")


def test_a_newcomer_tells_the_feeder_or_all_if_it_cannot(newcomer):
    newcomer.invited("a")
    newcomer.invited("b")
    newcomer.borrower.report(5, Copy(2, "a"))
    newcomer.borrower.report(-1, None)
    reports = [call for call in newcomer.feeds.calls if call[0] == "report"]
    assert reports == [
        ("report", id, "a:1", 2, step) for id, step in [("a", 5), ("a", -1), ("b", -1)]
    ]


def test_a_note_of_a_newcomer_is_for_the_core(newcomer):
    newcomer.borrower.heard(Note("c", 2, address="", step=7))
    assert newcomer.inbox.get() == ev.NewcomerAt(2, "c", 7)


def test_buffers_are_copied_at_once_all_else_behind_the_step(newcomer):
    """`train_step` writes buffers; what `update` writes cannot change before it is settled."""
    donor, later = Side("a"), []
    digest = donor.party.state.state_digest()
    donor.lender._later = later.append
    members = (Member("a"),)
    donor.lender.lend((C,), Standing(id="a", applied=3, lineage="L"), World(2, members, 0))
    assert not donor.lender._copied.is_set()
    with torch.no_grad():
        donor.party.state.model[1].running_mean.add_(1)
    later[0]()
    assert donor.lender._copied.is_set()
    newcomer.invited().message("a", donor.feeds.sent[0][1])
    newcomer.borrower.told(newcomer.inbox.get())
    newcomer.borrower.restore()
    assert newcomer.party.state.state_digest() == digest
