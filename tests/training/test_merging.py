"""`state.merge`: what becomes of a buffer that micro-batches change differently."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.errors import StateError
from elastic.tensor import nn
from elastic.training import randomness
from elastic.training.gradients import Bridge
from elastic.training.standing import Phase
from elastic.training.state import State
from tests.training.crew import Crew, job, make_state
from tests.training.helpers import all_but, all_ended_as, digests, first_in
from tests.training.test_gradients import leaf, put


class Watching(nn.Module):
    """A layer with a buffer of each kind, which each micro-batch changes in its own way."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("centre", torch.zeros(4))
        self.register_buffer("histogram", torch.zeros(3))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("newest", torch.zeros(4))
        self.register_buffer("any", torch.zeros((), dtype=torch.bool))

    def forward(self, x):
        with torch.no_grad():
            self.centre.lerp_(x.mean(0), 0.1)
            self.histogram += torch.histc(x, 3, -2, 2)
            self.seen += len(x)
            self.newest.copy_(x[-1])
            self.any.fill_(bool(x.sum() > 0))
        return x * self.weight


RULES = {"centre": "mean", "histogram": "sum", "seen": "sum", "newest": "last", "any": "last"}


def watching(rules=RULES):
    with randomness.restored():
        torch.manual_seed(4)
        state = make_state(eye=Watching(), history=[])
    for name, how in rules.items():
        state.merge(f"eye.{name}", how)

    def train_step(state, batch):
        x, y = batch
        return F.cross_entropy(state.model(state.eye(x)), y)

    return job(state, train_step=train_step)


@pytest.fixture(scope="module")
def alone():
    (worker,) = Crew().train(watching())
    assert worker.state.eye.seen.item() == 20 + 16, "an epoch of 20, and two batches of 8"
    return digests(worker)


@pytest.mark.parametrize("members", [2, 3])
def test_any_number_of_members_merges_to_the_same_bits(crew, alone, members):
    """B4, S5."""
    all_ended_as(alone, crew.train(*[watching() for _ in range(members)]))


def test_a_loss_changes_no_merged_buffer(crew, alone):
    """B4, S3."""
    crew.start(watching(), watching(), watching())
    doomed = first_in(crew, Phase.REDUCING, 2)
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, all_but(doomed))


def test_each_rule_does_what_it_says():
    """B4."""
    module = Watching()
    state = State(model=module)
    for name, how in RULES.items():
        state.merge(f"model.{name}", how)
    bridge = Bridge(state)

    def change(value):
        module.centre.fill_(value)
        module.histogram.add_(value)
        module.seen.add_(int(value))
        module.newest.fill_(value)

    leaves = [leaf(bridge, w, lambda v=v: change(v)) for w, v in ((1, 2.0), (3, 6.0))]
    leaves.append(leaf(bridge, 4, lambda: None))
    put(bridge, leaves, (1, 3, 4))
    assert module.centre.tolist() == [2.5] * 4  # (1·2 + 3·6 + 4·0) / 8
    assert module.histogram.tolist() == [8.0] * 3
    assert module.seen.item() == 8
    assert module.newest.tolist() == [6.0] * 4
    assert not module.any


def test_a_buffer_without_a_rule_is_named_with_the_cure(crew):
    """B4."""
    rules = {name: how for name, how in RULES.items() if name != "newest"}
    (worker,) = crew.train(watching(rules))
    with pytest.raises(
        StateError, match=r"buffer 'eye.newest' .*state.merge\('eye.newest', 'mean'"
    ):
        _ = worker.result


REFUSED = [
    ("eye.sen", "sum", "got 'eye.sen'; did you mean 'eye.seen'"),
    ("eye.weight", "sum", "merge expects the path of a buffer, got 'eye.weight'"),
    ("eye.seen", "max", "merge expects 'mean', 'sum' or 'last' for 'eye.seen', got 'max'"),
    ("eye.seen", "mean", "of torch.int64, which has no mean; use 'sum'"),
    ("eye.any", "sum", "of bool, which has no sum; use 'last'"),
]


@pytest.mark.parametrize(("name", "how", "text"), REFUSED)
def test_what_cannot_be_merged_is_refused(name, how, text):
    """B4."""
    with pytest.raises(StateError, match=text.replace("(", r"\(")):
        make_state(eye=Watching()).merge(name, how)


def test_a_rule_comes_before_training():
    """B4: later it would change nothing."""
    state = make_state(eye=Watching())
    Bridge(state)
    with pytest.raises(StateError, match=r"expects merge\('eye.seen', …\) before training begins"):
        state.merge("eye.seen", "sum")
