"""What a micro-batch carries to the same one in the next step."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.collectives.frames import as_bytes
from elastic.errors import ConfigError, StateError
from elastic.tensor import nn
from elastic.training import carry, randomness
from elastic.training.agreement import NOTHING
from elastic.training.solo import SoloGroup
from elastic.training.standing import Phase
from elastic.training.state import State
from elastic.training.steps import Steps
from tests.training.crew import STEPS_PER_EPOCH, Crew, job, make_state
from tests.training.helpers import all_but, all_ended_as, digests, first_in

TREE = {
    "h": torch.tensor([[1.5, -0.0]]),
    "cell": [torch.arange(3), np.array([2.0, np.nan])],
    "half": torch.ones(2, dtype=torch.bfloat16),
    "n": (3, "word", None),
}


def test_a_tree_comes_back_with_its_bits_and_types():
    """U1."""
    back = carry.unpack(carry.pack(TREE))
    assert carry.pack(back) == carry.pack(TREE)
    assert isinstance(back["h"], torch.Tensor)
    assert isinstance(back["cell"][1], np.ndarray)
    assert back["half"].dtype == torch.bfloat16
    assert back["n"] == (3, "word", None)


def test_a_carried_tensor_is_detached_and_the_readers_own():
    """U1: a gradient does not reach into the step before, nor a write."""
    weight = nn.Parameter(torch.ones(2))
    packed = carry.pack(weight * 2)
    first = carry.unpack(packed)
    first.add_(1)
    assert not first.requires_grad
    assert carry.unpack(packed).tolist() == [2, 2]


def test_what_cannot_travel_is_refused():
    """U1: where it is made, with its place."""
    with pytest.raises(ConfigError, match=r"train_step expects to carry .*'carry.h'"):
        carry.pack({"h": object()})


# -- in State -----------------------------------------------------------------------------------


def test_carries_are_part_of_state():
    """U1: saved, restored and in the digest."""
    state = State(x=1)
    empty = state.state_digest()
    state.put_carries(0, {2: carry.pack(TREE)})
    full, tree = state.state_digest(), state.capture()
    assert full != empty
    other = State(x=1)
    other.restore(tree)
    assert other.state_digest() == full
    with other.carrying(0, 2):
        assert other.carry["n"][0] == 3
    assert other.carry is None
    other.carry = None
    assert other.state_digest() == empty
    with pytest.raises(StateError, match="has no part 'carry'"):
        other.carry = 3


# -- in training --------------------------------------------------------------------------------


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.RNNCell(4, 5), nn.Linear(5, 2)


def recurrent_job(**asked):
    with randomness.restored():
        torch.manual_seed(2)
        state = make_state(rnn=Recurrent(), history=[])

    def train_step(state, batch):
        x, y = batch
        before = state.carry
        if before is not None and before.shape[0] != len(x):  # a ragged batch was there
            before = None
        hidden = state.rnn.cell(x, before)
        return {"loss": F.cross_entropy(state.rnn.head(hidden), y), "carry": hidden}

    def update(state):
        with torch.no_grad():
            for p in state.rnn.parameters():
                p.sub_(p.grad, alpha=0.1)

    return job(state, **{"train_step": train_step, "update": update, "steps": 7} | asked)


@pytest.fixture(scope="module")
def alone():
    (worker,) = Crew().train(recurrent_job())
    return digests(worker)


def test_each_micro_batch_finds_its_own_of_the_step_before():
    """U1: nothing at first, nor where the last batch was shorter than this leaf's number."""
    found = {}

    def train_step(state, batch):
        found[state.step, batch[0].sum().item()] = state.carry
        loss = state.model(batch[0]).sum()
        return {"loss": loss, "carry": [state.step, batch[0].sum().item()]}

    options = job(train_step=train_step, on_step=None, on_epoch=None)
    options.loader.begin()
    steps, lineage, sums = Steps(options.state, options.loader, options.pairs), "L", []
    for number in range(1, STEPS_PER_EPOCH + 2):
        for leaf in range(steps.leaf_count(number)):
            steps.compute(number, leaf, lineage)
        sums.append([s for k, s in found if k == number - 1])
        steps.reduce(SoloGroup(), number, lineage, NOTHING)
        lineage = steps.apply(steps.reduced, 1, lineage)
    assert all(found[0, s] is None for s in sums[0])
    assert [found[1, s] for s in sums[1]] == [[0, s] for s in sums[0]]
    assert [found[2, s] for s in sums[2]] == [[1, s] for s in sums[1][:2]]
    assert [found[3, s] for s in sums[3]] == [[2, s] for s in sums[2]] + [None, None]


@pytest.mark.parametrize("members", [2, 3])
def test_any_number_of_members_carries_the_same(crew, alone, members):
    """U1, S5."""
    all_ended_as(alone, crew.train(*[recurrent_job() for _ in range(members)]))


@pytest.mark.parametrize(("phase", "applied"), [(Phase.REDUCING, 2), (Phase.HOOKING, 3)])
def test_a_loss_and_a_newcomer_change_no_carry(crew, alone, phase, applied):
    """U1, S3, S9: leaves change hands, whoever is behind gets the result, a newcomer the State."""
    crew.start(recurrent_job(), recurrent_job(), recurrent_job())
    doomed = first_in(crew, phase, applied)
    crew.kill(doomed)
    late = crew.add(recurrent_job())
    crew.go_on()
    all_ended_as(alone, all_but(doomed))
    assert late.result.world.size == 3


def test_a_result_travels_with_its_carries():
    """S3: for whoever is one step behind."""

    def made():
        options = recurrent_job()
        options.loader.begin()
        return Steps(options.state, options.loader, options.pairs)

    ahead, behind = made(), made()
    for leaf in range(4):
        ahead.compute(1, leaf, "L")
    ahead.reduce(SoloGroup(), 1, "L", NOTHING)
    lineage = ahead.apply(ahead.reduced, 1, "L")
    blobs = [memoryview(bytearray(as_bytes(blob))) for blob in ahead.pack_last()]
    assert behind.apply(behind.unpack(blobs), 2, "L") == lineage
    assert behind.state.state_digest() == ahead.state.state_digest()
    assert sorted(behind.state._carries[0]) == [0, 1, 2, 3]
