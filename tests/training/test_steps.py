"""One step's work: leaves, their reduction, the update, and results for whoever is behind."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

import elastic.tensor as torch
from elastic import audit
from elastic.collectives.frames import as_bytes
from elastic.errors import ConfigError, DataError, ProtocolError, StateError
from elastic.tensor import nn
from elastic.training import randomness
from elastic.training.agreement import Flags
from elastic.training.events import Computed
from elastic.training.solo import SoloGroup
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.wire import to_json
from tests.training.crew import STEPS_PER_EPOCH, job, make_state

NOTHING = Flags()


@pytest.fixture(autouse=True)
def _own_streams():
    with randomness.restored():
        yield


def make(train_step=None, state=None, **asked):
    options = job(state, **({"train_step": train_step} if train_step else {}), **asked)
    options.loader.begin()
    return Steps(options.state, options.loader, options.pairs)


def reduced(steps, number=1, lineage="L", flags=NOTHING):
    for leaf in range(steps.leaf_count(number)):
        steps.compute(number, leaf, lineage)
    return steps.reduce(SoloGroup(), number, lineage, flags)


def applied(steps, number=1, lineage="L"):
    reduced(steps, number, lineage)
    return steps.apply(steps.reduced, 7, lineage)


def test_steps_have_a_place_in_their_epoch():
    """B2: the last batch is ragged, and has fewer leaves."""
    steps = make()
    assert [steps.place(n) for n in (1, 3, 4, 6, 7)] == [(0, 0), (0, 2), (1, 0), (1, 2), (2, 0)]
    assert [steps.leaf_count(n) for n in range(1, 7)] == [4, 4, 2, 4, 4, 2]


# -- a leaf --------------------------------------------------------------------------------------


def test_a_leaf_leaves_state_as_it_was():
    """B2, B4: gradients None, buffers as committed; what it gives is held."""
    steps = make()
    before = steps.state.state_digest()
    assert steps.compute(1, 2, "L") == Computed(2)
    assert steps.state.state_digest() == before
    assert all(p.grad is None for p in steps.state.model.parameters())
    assert all(module.training for module in steps.state.named_modules().values())


def test_a_leaf_draws_the_numbers_of_its_place():
    """B3: whoever computes it, in whatever order."""
    drawn = []

    def train_step(state, batch):
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
        return state.model(batch[0]).sum()

    steps = make(train_step)
    for leaf in (1, 0, 1):
        steps.forget()
        torch.manual_seed(99)
        steps.compute(1, leaf, "L")
    assert drawn[0] == drawn[2] != drawn[1]


def test_stop_iteration_leaves_nothing_behind():
    """S4."""

    def stop(state, batch):
        state.model(batch[0]).sum().backward()
        raise StopIteration

    steps = make(stop)
    before = steps.state.state_digest()
    assert steps.compute(1, 0, "L") == Computed(0, stop=True)
    assert steps.state.state_digest() == before
    assert all(p.grad is None for p in steps.state.model.parameters())
    flags = steps.reduce(SoloGroup(), 1, "L", Flags(stop=True))
    assert flags.stop


def test_a_loss_that_is_not_finite_is_told_with_its_place():
    """U4."""
    steps = make(lambda state, batch: state.model(batch[0]).sum() * float("inf"))
    assert steps.compute(2, 3, "L").nonfinite == "step 2 micro-batch 3"


RETURNED = [
    (None, "got NoneType"),
    (1.5, "got float; return the tensor, without .item()"),
    ({"weight": 1.0}, "got NoneType"),
    ({"loss": "x"}, "got str"),
    ({"loss": 1, "extra": 2}, "got the key 'extra'"),
]


@pytest.mark.parametrize(("returned", "text"), RETURNED)
def test_what_is_no_loss_is_refused(returned, text):
    """U1."""
    steps = make(lambda state, batch: returned)
    expected = "train_step expects to return a loss, or a dict of loss, weight, metrics and carry; "
    with pytest.raises(ConfigError) as caught:
        steps.compute(1, 0, "L")
    assert str(caught.value) == expected + text


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_positive(weight):
    """U1."""

    def train_step(state, batch):
        return {"loss": state.model(batch[0]).sum(), "weight": weight}

    with pytest.raises(ConfigError, match="train_step expects a positive weight, got"):
        make(train_step).compute(1, 0, "L")


def test_state_is_read_only_in_train_step():
    """U1."""

    def train_step(state, batch):
        state.history = []

    steps = make(train_step, make_state(history=[]))
    with pytest.raises(StateError, match="read-only in train_step, got a write to 'history'"):
        steps.compute(1, 0, "L")


# -- the reduction and the update ----------------------------------------------------------------


def test_a_step_is_the_weighted_mean_of_its_leaves():
    """B1, U1: metrics too; the default weight is the number of samples."""
    seen = []

    def train_step(state, batch):
        weight = float(len(seen) + 1)
        seen.append((weight, batch[0].sum().item()))
        return {
            "loss": state.model[0](batch[0]).sum(),
            "weight": torch.tensor(weight),
            "metrics": {"sum": batch[0].sum()},
        }

    def update(state):
        state.history = [state.metrics["sum"], state.model[0].bias.grad.tolist()]

    steps = make(train_step, make_state(history=[]), update=update)
    applied(steps)
    total = sum(weight for weight, _ in seen)
    mean, bias_grad = steps.state.history
    assert mean == pytest.approx(sum(w * s for w, s in seen) / total)
    # each of a leaf's two samples adds 1
    assert bias_grad == pytest.approx([2.0] * 6)
    assert (steps.state.step, steps.state.epoch) == (1, 0)


def test_an_update_draws_the_numbers_of_its_step():
    """B3."""
    drawn = []

    def update(state):
        drawn.append(random.random())

    for seed in (1, 2):
        random.seed(seed)
        applied(make(update=update))
    assert drawn[0] == drawn[1]


def test_the_line_of_a_step_is_its_evidence():
    """D2: leaves with their samples, chained; an epoch's first line announces the epoch."""
    steps, verifier, lineage = make(), audit.Verifier(), "00"
    verifier.feed(json.dumps({"open": 0, "lineage": lineage}))
    for number in range(1, 2 * STEPS_PER_EPOCH + 1):
        lineage = applied(steps, number, lineage)
        line = steps.last_line
        assert (line["step"], line["generation"], line["lineage"]) == (number, 7, lineage)
        assert ("epoch_count" in line) == (number in (1, 4))
        verifier.feed(json.dumps(line))
    report = verifier.report()
    assert (report.verdict, report.epochs, report.samples) == ("ok", 2, 40)
    assert (steps.state.epoch, steps.loader.cursor.epoch) == (2, 2)


def test_flags_of_all_come_back():
    """S4."""
    assert reduced(make(), flags=Flags(leaves=("b", "a"))) == Flags(leaves=("a", "b"))


def test_a_step_without_all_its_leaves_is_no_step():
    """S6: only one that training ends before may lack some."""
    steps = make()
    steps.compute(1, 0, "L")
    with pytest.raises(ProtocolError, match=r"step 1 was reduced with the leaves \[0\]"):
        steps.reduce(SoloGroup(), 1, "L", Flags())


class Pair(SoloGroup):
    """A group with another member that says `theirs` and holds nothing."""

    def __init__(self, theirs):
        self.theirs = theirs

    def reduce_tree(self, tag, forest, header=b""):
        headers, total = super().reduce_tree(tag, forest, header)
        other = json.loads(headers[0]) | {"leaves": []} | self.theirs
        return [*headers, json.dumps(other).encode()], total


@pytest.mark.parametrize(
    ("theirs", "kind", "text"),
    [
        ({"step": 2}, ProtocolError, "rank 1 reduces step 2 of L, this one step 1 of L"),
        ({"lineage": "M"}, ProtocolError, "rank 1 reduces step 1 of M, this one step 1 of L"),
        ({"order": "x"}, DataError, "rank 1 has drawn another in step 1; make the sampler"),
    ],
)
def test_members_at_different_places_are_an_error(theirs, kind, text):
    """S3, D1."""
    steps = make()
    for leaf in range(4):
        steps.compute(1, leaf, "L")
    with pytest.raises(kind, match=text):
        steps.reduce(Pair(theirs), 1, "L", Flags())


def test_leaves_are_kept_by_step_and_lineage():
    """S6: another history's leaves are no part of the sum."""
    steps = make()
    for lineage in ("K", "L"):
        steps.compute(1, 0, lineage)
    with pytest.raises(ValueError, match="takes each once, got 0"):
        steps.compute(1, 0, "L")
    steps.forget()
    steps.compute(1, 0, "L")


def test_buffers_that_disagree_are_named():
    """B4."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))
            self.register_buffer("last", torch.zeros(1))

        def forward(self, x):
            self.last.copy_(x.sum().reshape(1).detach())
            return (x * self.weight).sum()

    state = State(**dict(make_state().parts()), odd=Odd())
    steps = make(lambda state, batch: state.odd(batch[0]), state, on_step=None, on_epoch=None)
    reduced(steps)
    with pytest.raises(StateError, match=r"buffer 'odd.last' expects the same value"):
        steps.apply(steps.reduced, 1, "L")


# -- results for who is behind -------------------------------------------------------------------


def as_received(message):
    return [memoryview(bytearray(as_bytes(blob))) for blob in message]


def test_a_result_travels_whole():
    """S3: applied elsewhere it gives the same bits and the same line."""
    ahead, behind = make(), make()
    lineage = applied(ahead)
    result = behind.unpack(as_received(ahead.pack_last()))
    assert behind.apply(result, 9, "L") == lineage
    assert behind.state.state_digest() == ahead.state.state_digest()
    assert behind.last_line["leaves"] == ahead.last_line["leaves"]


def test_a_step_without_any_gradient_travels_too():
    """B2: nothing is there, and it is not zero."""
    loss = torch.ones(1, requires_grad=True)

    def train_step(state, batch):
        return loss.sum()

    ahead, behind = make(train_step), make(train_step)
    applied(ahead)
    assert ahead.last.total.present.sum() == 0
    result = behind.unpack(as_received(ahead.pack_last()))
    assert result.total.present.tolist() == ahead.last.total.present.tolist()
    assert to_json(result.leaves) == to_json(ahead.last.leaves)
