"""The guard: train_step writes module buffers and gradients, nothing else of State."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.errors import StateError
from elastic.tensor import nn, optim
from elastic.training.state import State


class Cursor:
    """A part that saves itself."""

    def __init__(self):
        self.at = 0

    def state_dict(self):
        return vars(self)

    def load_state_dict(self, state):
        vars(self).update(state)


def make(**more):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2)
    return State(model=model, optimizer=optimizer, scheduler=scheduler, **more)


@contextmanager
def guarded(state):
    """One micro-batch alone."""
    guard = state.guard()
    with guard:
        yield
    guard.release()


def train(state, steps=1):
    for _ in range(steps):
        state.optimizer.zero_grad()
        (state.model(torch.randn(4, 2)) ** 2).sum().backward()
        state.optimizer.step()
        state.scheduler.step()
        state.step += 1


def test_train_step_may_write_buffers_and_gradients():
    """PROTOCOL U1."""
    state = make(cursor=Cursor())
    with guarded(state):
        (state.model(torch.randn(4, 2)) ** 2).sum().backward()
    assert state.model[1].num_batches_tracked.item() == 1
    train(state)


def _optimize(state):
    (state.model(torch.randn(4, 2)) ** 2).sum().backward()
    state.optimizer.step()


WRITES = [
    ("optimizer|model", _optimize),
    ("model", lambda s: s.model[0].weight.data.clamp_(-0.1, 0.1)),
    ("model", lambda s: s.model[0].load_state_dict(s.model[0].state_dict())),
    ("model", lambda s: s.model[0].weight.detach().numpy().fill(3)),
    ("model", lambda s: setattr(s.model[0], "weight", nn.Parameter(torch.zeros(3, 2)))),
    ("model", lambda s: setattr(s.model[0].weight, "data", torch.zeros(3, 2))),
    ("optimizer", lambda s: s.optimizer.param_groups[0].update(lr=3.0)),
    ("optimizer", lambda s: s.scheduler.step()),
    ("scheduler", lambda s: setattr(s.scheduler, "gamma", 0.5)),
    ("best", lambda s: setattr(s, "best", 3)),
    ("step", lambda s: setattr(s, "step", 3)),
    ("log", lambda s: s.log.append(3)),
    ("log", lambda s: s.log[0].update(b=1)),
    ("table", lambda s: s.table.fill(1)),
    ("ema", lambda s: s.ema.mul_(2)),
    ("cursor", lambda s: setattr(s.cursor, "at", 5)),
]


@pytest.mark.parametrize(("part", "write"), WRITES)
def test_train_step_may_write_nothing_else(part, write):
    """PROTOCOL U1."""
    state = make(best=1.0, log=[{"a": 1}], table=np.ones(2), ema=torch.ones(2), cursor=Cursor())
    train(state)
    before = state.digest()
    expected = rf"State is read-only in train_step, got a write to (part )?'({part}|\?)'.*update"
    with pytest.raises(StateError, match=expected), guarded(state):
        write(state)
    if part != "model":
        assert state.digest() == before
    train(state)  # nothing is locked any more


def test_a_guard_stays_up_between_micro_batches():
    """PROTOCOL U1. What was written between two shows at the end of the second."""
    state = make(best=[1])
    guard = state.guard()
    with guard:
        pass
    with pytest.raises(ValueError, match="read-only"):
        state.model[0].weight.detach().numpy().fill(3)
    state.best.append(2)
    with pytest.raises(StateError, match="'best'"), guard:
        pass
    train(state)  # an error has released it
    with guard:
        (state.model(torch.randn(4, 2)) ** 2).sum().backward()
    guard.release()
    train(state)


def test_the_guard_lets_other_errors_pass():
    state = make()
    with pytest.raises(ValueError, match="mine"), guarded(state):
        raise ValueError("mine")
    expanded = torch.zeros(1).expand(3)
    with pytest.raises(RuntimeError, match="more than one element"), guarded(state):
        expanded.add_(1)


def test_arrays_that_are_read_only_stay_so():
    table = np.ones(2)
    table.flags.writeable = False
    state = make(table=table)
    with guarded(state):
        pass
    assert not state.table.flags.writeable
