"""State: what it holds, how it is saved, and its digests."""

from __future__ import annotations

import random

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.checkpoint import format
from elastic.errors import StateError
from elastic.tensor import nn, optim
from elastic.training import randomness
from elastic.training.state import State


@pytest.fixture(autouse=True)
def _own_streams():
    with randomness.restored():
        torch.manual_seed(0)
        yield


class Cursor:
    """A part that saves itself, with a numpy array and a tensor."""

    def __init__(self):
        self.at = 0
        self.order = np.arange(3)
        self.noise = torch.zeros(2)

    def state_dict(self):
        return {"at": self.at, "order": self.order, "noise": self.noise}

    def load_state_dict(self, state):
        self.at, self.order, self.noise = state["at"], state["order"], state["noise"]


def make(**more):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2)
    return State(model=model, optimizer=optimizer, scheduler=scheduler, **more)


def train(state, steps=1):
    for _ in range(steps):
        state.optimizer.zero_grad()
        (state.model(torch.randn(4, 2)) ** 2).sum().backward()
        state.optimizer.step()
        state.scheduler.step()
        state.step += 1


# ---- what it holds -----------------------------------------------------------------------------


def test_parts_are_attributes_in_their_order():
    state = make(best=1.5)
    assert [name for name, _ in state.parts()] == ["model", "optimizer", "scheduler", "best"]
    assert (state.step, state.epoch, state.metrics) == (0, 0, {})
    assert repr(state) == (
        "State(model=Sequential, optimizer=Adam, scheduler=StepLR, best=float, step=0, epoch=0)"
    )
    assert list(state.named_parameters())[:2] == ["model.0.weight", "model.0.bias"]
    assert list(state.named_modules()) == ["model", "model.0", "model.1", "model.2"]


def test_plain_values_may_be_assigned():
    state = make(best=1.5)
    state.best = [2, "x"]
    state.epoch += 1
    assert (state.best, state.epoch) == ([2, "x"], 1)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"log": open}, "'log', a builtin_function_or_method; give it state_dict"),
        ({"seen": {1, 2}}, "cannot save 'seen', a set"),
        ({"nets": [nn.ReLU()]}, "a ReLU as a part of its own only, got it within 'nets.0'"),
        ({"x": {"a": [1, object()]}}, r"cannot save 'x.a.1', a object"),
        ({"x": {(1, 2): 3}}, "cannot save 'x', a dict"),
        ({"x": np.array([None])}, "cannot save 'x', a ndarray"),
        ({"layer": nn.Linear}, "cannot save 'layer', a type"),
        ({"step": 3}, "keeps the name 'step' for itself"),
        ({"carry": 3}, "keeps the name 'carry' for itself"),
        ({"capture": 3}, "keeps the name 'capture' for itself"),
        ({"_x": 3}, "keeps the name '_x' for itself"),
        ({"w": torch.zeros(1, requires_grad=True)}, "'w' is a tensor that requires a gradient"),
        ({"w": nn.Parameter(torch.zeros(1))}, "put it into a Module as a Parameter"),
        (
            {"optimizer": optim.SGD([nn.Parameter(torch.zeros(1))])},
            "'optimizer' trains parameters of no module in State",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_at_once_with_the_cure(parts, text):
    with pytest.raises(StateError, match=text):
        State(**parts)


def test_assignment_is_checked_like_construction():
    state = make(best=1.5)
    with pytest.raises(StateError, match=r"has no part 'bets'; .* State\(bets=…\)"):
        state.bets = 1
    with pytest.raises(StateError, match="cannot save 'best', a set"):
        state.best = {1}
    with pytest.raises(StateError, match="keeps its Sequential 'model' for good"):
        state.model = nn.Linear(1, 1)


def test_tensors_of_modules_are_laid_out_in_c_order():
    """PROTOCOL B5."""
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2, 3).t())
    model.register_buffer("table", torch.zeros(2, 3).t())
    weight = model.weight
    State(model=model)
    assert model.weight is weight
    assert weight.is_contiguous()
    assert model.table.is_contiguous()


# ---- to a tree and back ------------------------------------------------------------------------


def test_training_goes_on_from_a_tree_with_the_same_bits():
    state = make(cursor=Cursor(), history=[1, ("a", None)])
    train(state, 2)
    state.history.append(b"bytes")
    tree = state.capture()
    train(state, 3)
    expected = state.state_digest()
    assert state.restore(tree) is None
    assert state.step == 2
    assert state.history == [1, ("a", None), b"bytes"]
    train(state, 3)
    assert state.state_digest() == expected


def test_a_tree_survives_the_checkpoint_format():
    state, other = [make(cursor=Cursor(), table=np.full(4, n)) for n in (1, 2)]
    train(state)
    state.cursor.at = 7
    tree = format.unpack(*format.pack(state.capture()))
    train(state)
    other.restore(tree)
    assert other.cursor.at == 7
    assert isinstance(other.cursor.order, np.ndarray)
    assert isinstance(other.cursor.noise, torch.Tensor)
    assert isinstance(other.table, np.ndarray)
    train(other)
    assert other.state_digest() == state.state_digest()


def test_what_state_has_not_captured_is_refused():
    state = make()
    tree = state.capture()
    del tree["numpy_paths"], tree["step"]
    with pytest.raises(StateError, match="got a tree without numpy_paths, step; was it written by"):
        state.restore(tree)


def test_restore_keeps_the_objects():
    """PROTOCOL B5. Optimizers go on with the same parameters, in the same layout."""
    ema, table = torch.zeros(2), np.zeros(2)
    state = make(ema=ema, table=table)
    weight, memory = state.model[0].weight, state.model[0].weight.data_ptr()
    train(state)
    ema.fill_(3)
    table[:] = 4
    tree = state.capture()
    train(state)
    ema.zero_()
    table[:] = 0
    state.restore(tree)
    assert state.model[0].weight is weight
    assert weight.data_ptr() == memory
    assert state.optimizer.param_groups[0]["params"][0] is weight
    assert state.ema is ema
    assert ema.tolist() == [3.0, 3.0]
    assert state.table is table
    assert table.tolist() == [4.0, 4.0]
    assert all(v.is_contiguous() for s in state.optimizer.state.values() for v in s.values())


def test_a_part_of_another_shape_is_replaced():
    state = make(table=np.zeros(2), ema=torch.zeros(1))
    tree = state.capture()
    state.table, state.ema = "none", torch.zeros(3)
    state.restore(tree)
    assert state.table.tolist() == [0.0, 0.0]
    assert state.ema.shape == (1,)


def test_a_copy_is_independent_and_a_view_is_not():
    state = make()
    copy, view = state.capture(), state.capture(copy=False)
    with torch.no_grad():
        state.model[0].bias.fill_(9)
    assert view["parts"]["model"]["0.bias"].tolist() == [9.0] * 3
    assert copy["parts"]["model"]["0.bias"].tolist() != [9.0] * 3


def test_random_streams_travel():
    """PROTOCOL B3."""
    state = make()
    tree = state.capture()
    expected = [random.random(), np.random.random_sample(), torch.rand(1).item()]
    state.restore(tree)
    assert [random.random(), np.random.random_sample(), torch.rand(1).item()] == expected


def test_a_tree_of_another_state_is_refused():
    with pytest.raises(StateError, match="expects the parts model, optimizer, scheduler; got best"):
        make().restore(make(best=1).capture())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_travels(dtype):
    state = State(model=nn.Linear(2, 2).to(dtype))
    tree = format.unpack(*format.pack(state.capture()))
    other = State(model=nn.Linear(2, 2).to(dtype))
    other.restore(tree)
    assert other.digest() == state.digest()


# ---- digests -----------------------------------------------------------------------------------


def test_digests_tell_parameters_and_everything_apart():
    """PROTOCOL B7."""
    state = make(best=1.0)
    parameters, everything = state.digest(), state.state_digest()
    assert parameters.startswith("sha256:")
    state.best = 2.0
    assert state.digest() == parameters
    assert state.state_digest() != everything
    state.best = 1.0
    assert state.state_digest() == everything
    with torch.no_grad():
        state.model[0].bias[0] += 1e-6
    assert state.digest() != parameters
    assert state.state_digest() != everything


def test_digests_see_signs_of_zero_and_the_types_of_numbers():
    """PROTOCOL B7."""
    one = [State(x=value).state_digest() for value in (0.0, -0.0, 0, False, None, "0", [0], (0,))]
    assert len(set(one)) == len(one)


def test_digests_do_not_depend_on_the_order_of_dicts_or_on_random_streams():
    """PROTOCOL B7. Training seeds the streams; outside they are the process's own."""
    first = State(x={"a": 1, "b": 2}).state_digest()
    random.random()
    assert State(x={"b": 2, "a": 1}).state_digest() == first


def test_the_fingerprint_is_of_names_shapes_and_dtypes():
    """PROTOCOL B6."""
    assert make().fingerprint() == make(best=3).fingerprint()
    others = [nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 3).double(), nn.Sequential()]
    assert len({State(model=m).fingerprint() for m in others}) == 4
