"""State and results on their way: verified before anything is changed."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.collectives.frames import as_bytes
from elastic.errors import Aborted, ProtocolError
from elastic.training.agreement import Flags, Plan
from elastic.training.solo import SoloGroup
from elastic.training.standing import Standing
from elastic.training.steps import Steps
from elastic.training.transfer import Mover
from elastic.world import Member, World
from tests.training.crew import job, make_state

MEMBERS = (Member("a"), Member("b"), Member("c"))


class Wire:
    """A group whose `round` keeps what is sent, and delivers what was put there."""

    def __init__(self):
        self.sent, self.arrived, self.expected = {}, {}, []

    def round(self, tag, outgoing, expect):
        self.sent, self.expected = dict(outgoing), list(expect)
        return {rank: self.arrived[rank] for rank in self.expected}


def as_received(message):
    """Blobs as the transport hands them over."""
    return [memoryview(bytearray(as_bytes(blob))) for blob in message]


class Party:
    """One member at the beginning of a generation."""

    def __init__(self, id, **parts):
        options = job(make_state(**parts), on_step=None, on_epoch=None)
        options.loader.begin()
        self.state = options.state
        self.steps = Steps(options.state, options.loader, options.pairs)
        self.standing = Standing(id=id, lineage="" if id == "b" else "start")
        rank = "abc".index(id)
        world = World(2, MEMBERS, rank)
        self.mover = Mover(self.state, self.steps, self.standing, world)
        self.wire = Wire()

    def move(self, plan, lineage="L"):
        return self.mover.move(self.wire, plan, lineage)

    def step(self, number=1, lineage="start"):
        """Compute and apply a step alone; return its lineage."""
        for leaf in range(self.steps.leaf_count(number)):
            self.steps.compute(number, leaf, lineage)
        self.steps.reduce(SoloGroup(), number, lineage, Flags())
        return self.steps.apply(self.steps.reduced, 1, lineage)


def changed(party):
    """Let a member's State differ from that of a new process."""
    with torch.no_grad():
        party.state.model[0].weight.add_(1)
    party.state.step = 3
    party.state.best = 0.5
    return party


@pytest.fixture
def donor():
    return changed(Party("a", best=0.0, empty=np.zeros((0, 3))))


@pytest.fixture
def newcomer():
    return Party("b", best=0.0, empty=np.zeros((0, 3)))


STATE = Plan(3, "L", state={"b": "a"})


def test_a_newcomer_takes_state_and_lineage(donor, newcomer):
    """S9."""
    assert donor.move(STATE) == "L"
    assert list(donor.wire.sent) == [1]
    assert donor.wire.expected == []
    newcomer.wire.arrived = {0: as_received(donor.wire.sent[1])}
    assert newcomer.move(STATE, "") == "L"
    assert newcomer.mover.took_state
    assert not donor.mover.took_state
    assert newcomer.state.state_digest() == donor.state.state_digest()


def flip_array(message):
    """One bit of the last array that has any."""
    filled = [blob for blob in message if blob.nbytes]
    filled[-1][-1] ^= 1


def flip_value(message):
    """A plain value, which is in the header."""
    message[1] = memoryview(bytes(message[1]).replace(b"0.5", b"0.7"))


@pytest.mark.parametrize("tamper", [flip_array, flip_value])
def test_what_does_not_fit_its_digest_changes_nothing(donor, newcomer, tamper):
    """S9: verified before it is taken."""
    donor.move(STATE)
    message = as_received(donor.wire.sent[1])
    tamper(message)
    newcomer.wire.arrived = {0: message}
    before = newcomer.state.state_digest()
    with pytest.raises(ProtocolError, match="State arrived with another digest than it was sent"):
        newcomer.move(STATE, "")
    assert newcomer.state.state_digest() == before
    assert not newcomer.mover.took_state


def test_an_aborted_round_changes_nothing(newcomer):
    def aborted(*_):
        raise Aborted("a peer is gone")

    newcomer.wire.round = aborted
    before = newcomer.state.state_digest()
    with pytest.raises(Aborted):
        newcomer.move(STATE, "")
    assert newcomer.state.state_digest() == before


def test_the_first_one_names_the_lineage_of_a_job(donor):
    """S2: the digest of the starting State."""
    plan = Plan(0, "", state={"b": "a", "c": "a"})
    assert donor.move(plan, "") == donor.state.state_digest()
    assert sorted(donor.wire.sent) == [1, 2]
    assert donor.wire.sent[1] is donor.wire.sent[2], "packed once"


# -- results -------------------------------------------------------------------------------------


@pytest.fixture
def apart():
    """One member has applied step 1, the other not; and the lineage after it."""
    ahead, behind = Party("a"), Party("c")
    lineage = ahead.step()
    return ahead, behind, lineage


RESULT = Plan(1, "", result={"c": "a"}, rerun=True)


def test_who_is_behind_runs_the_update(apart):
    """S3: on the reduced gradient, with equal bits."""
    ahead, behind, lineage = apart
    ahead.move(RESULT, lineage)
    behind.wire.arrived = {0: as_received(ahead.wire.sent[2])}
    assert behind.move(RESULT, lineage) == lineage
    assert behind.wire.expected == [0]
    assert behind.state.state_digest() == ahead.state.state_digest()
    assert behind.steps.last_line["lineage"] == ahead.steps.last_line["lineage"]
    assert not behind.mover.took_state


def test_a_result_of_another_step_is_refused(apart):
    ahead, behind, lineage = apart
    lineage = ahead.step(2, lineage)
    ahead.move(RESULT, lineage)
    behind.wire.arrived = {0: as_received(ahead.wire.sent[2])}
    before = behind.state.state_digest()
    with pytest.raises(ProtocolError, match="got the result of step 2"):
        behind.move(RESULT, lineage)
    assert behind.state.state_digest() == before


def test_a_result_of_another_history_is_refused(apart):
    """S2: the lineage says so."""
    ahead, behind, lineage = apart
    ahead.move(RESULT, lineage)
    behind.wire.arrived = {0: as_received(ahead.wire.sent[2])}
    behind.mover.standing = behind.standing._replace(lineage="another")
    with pytest.raises(ProtocolError, match="is not the one the job has"):
        behind.move(RESULT, lineage)


def test_state_is_sent_if_no_result_is_left(apart):
    """S3: whoever got State itself has no result to give."""
    ahead, behind, lineage = apart
    ahead.steps.forget()
    ahead.move(RESULT, lineage)
    behind.wire.arrived = {0: as_received(ahead.wire.sent[2])}
    assert behind.move(RESULT, "") == lineage
    assert behind.mover.took_state
    assert behind.state.state_digest() == ahead.state.state_digest()
