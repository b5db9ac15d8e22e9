"""What a user may ask of `elastic.train`, and each way to ask for what cannot be."""

from __future__ import annotations

import re

import pytest

from elastic.data import DataLoader
from elastic.errors import ConfigError, DataError
from elastic.tensor import nn, optim
from elastic.training.options import make_options
from elastic.training.state import State
from tests.training.crew import ASKED, STEPS_PER_EPOCH, make_state


def options(state=None, train_step=print, **asked):
    length = {"steps": None if "epochs" in asked else 2}
    return make_options(state or make_state(), train_step, **ASKED | length | asked)


def test_epochs_become_steps():
    made = options(epochs=2)
    assert (made.total_steps, made.steps_per_epoch) == (2 * STEPS_PER_EPOCH, STEPS_PER_EPOCH)
    assert made.checkpoint_every == STEPS_PER_EPOCH, "once an epoch"
    assert (made.checkpoint_dir, made.sync, made.on_step, made.on_epoch) == (None,) * 4


def test_hooks_and_directories_are_kept(tmp_path):
    made = options(sync=min, on_step=max, on_epoch=sum, update=len, checkpoint_dir=str(tmp_path))
    assert (made.sync, made.on_step, made.on_epoch) == (min, max, sum)
    assert made.pairs == ((print, len),)
    assert made.checkpoint_dir == tmp_path


def test_the_loader_named_so_is_trained_on():
    spare = DataLoader([1, 2], batch_size=2, micro_batches=1)
    state = make_state(spare=spare)
    assert options(state).loader is state.loader


REFUSED = [
    (
        {"train_step": None},
        "train_step expects a function, or a list of (train_step, update) pairs; got NoneType",
    ),
    (
        {"train_step": 3},
        "train_step expects a function, or a list of (train_step, update) pairs; got int",
    ),
    ({"update": "adam"}, "update expects a function, got str"),
    ({"sync": 1}, "sync expects a function, got int"),
    ({"on_step": {}}, "on_step expects a function, got dict"),
    ({"on_epoch": 1.0}, "on_epoch expects a function, got float"),
    (
        {"train_step": [(print, len), print]},
        "train_step expects a list of (train_step, update) pairs of functions, phase 1 is a "
        "builtin_function_or_method",
    ),
    (
        {"train_step": [(print, None)]},
        "train_step expects a list of (train_step, update) pairs of functions, phase 0 is "
        "(builtin_function_or_method, NoneType)",
    ),
    ({"train_step": []}, "train_step expects at least one (train_step, update) pair, got none"),
    (
        {"train_step": [(print, len)], "update": print},
        "a list of (train_step, update) pairs has its updates, got update= too; leave it out",
    ),
    ({"state": nn.Linear(1, 1)}, "train expects an elastic.State, got Linear"),
    ({"nonfinite": "ignore"}, "nonfinite expects one of 'warn', 'error', got 'ignore'"),
    (
        {"epochs": 1, "steps": 1},
        "train expects either epochs= or steps=, so that all know the end",
    ),
    (
        {"epochs": None, "steps": None},
        "train expects either epochs= or steps=, so that all know the end",
    ),
    ({"steps": 0}, "steps expects a whole number of at least 1, got 0"),
    ({"epochs": 1.5}, "epochs expects a whole number of at least 1, got 1.5"),
    ({"steps": True}, "steps expects a whole number of at least 1, got True"),
    (
        {"checkpoint_every": 0},
        "checkpoint_every expects a whole number of at least 1, got 0",
    ),
    (
        {"checkpoint_keep": "3"},
        "checkpoint_keep expects a whole number of at least 1, got '3'",
    ),
    (
        {"update": print, "scheduler_every": "step"},
        "scheduler_every is for the default update, got an update= too: step the scheduler in "
        "it, and leave scheduler_every out",
    ),
    (
        {"scheduler_every": "batch"},
        "scheduler_every expects one of 'step', 'epoch', got 'batch'",
    ),
]


@pytest.mark.parametrize(("asked", "text"), REFUSED)
def test_what_cannot_be_is_refused(asked, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        options(**asked)


def refused(state, text, **asked):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        options(state, **asked)


def test_a_state_without_a_loader():
    module = nn.Linear(1, 1)
    refused(
        State(model=module),
        "State expects one DataLoader to train on, got none; name it: State(…, loader=…)",
    )


def test_a_state_with_two_loaders_of_other_names():
    loaders = {name: DataLoader([1, 2], batch_size=2, micro_batches=1) for name in "ab"}
    refused(
        State(**loaders),
        "State expects one DataLoader to train on, got a, b; name it: State(…, loader=…)",
    )


def test_a_state_without_an_optimizer():
    loader = DataLoader([1, 2], batch_size=2, micro_batches=1)
    refused(State(loader=loader), "State expects an optimizer, or train an update= of your own")
    assert options(State(loader=loader), update=print).pairs[0].update is print


def test_a_scheduler_wants_to_know_when():
    """U3."""
    state = make_state()
    state = State(
        **dict(state.parts()), scheduler=optim.lr_scheduler.StepLR(state.optimizer, step_size=1)
    )
    refused(
        state,
        "State has a scheduler: say scheduler_every='step' or 'epoch', or give an update=",
    )


def test_a_state_that_was_trained_before():
    state = make_state()
    state.step = 4
    refused(
        state,
        "train expects a State that no training has begun with, got one of step 4; "
        "make a new State of the same parts",
    )


def test_a_batch_that_micro_batches_do_not_divide():
    """D1."""
    state = make_state()
    state.loader.micro_batches = 3
    with pytest.raises(DataError, match="3"):
        options(state)


# -- the default update --------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "rates"), [("step", [0.1, 0.2]), ("epoch", [0.1])])
def test_the_default_update_steps_and_zeroes(every, rates):
    """U3: all optimizers, and the scheduler when it was asked for."""
    state = make_state()
    scheduler = optim.lr_scheduler.LambdaLR(state.optimizer, lambda n: 0.1 * (n + 1))
    before = state.model[0].weight.detach().clone()
    state = State(**dict(state.parts()), scheduler=scheduler)
    update = options(state, scheduler_every=every).pairs[0].update
    state.model[0].weight.grad = before * 0 + 1
    first = state.optimizer.param_groups[0]["lr"]
    update(state)
    assert not (state.model[0].weight == before).any()
    assert state.model[0].weight.grad is None
    assert (state.optimizer.param_groups[0]["lr"] != first) == (every == "step")
    for state.step in range(1, STEPS_PER_EPOCH):
        update(state)
    assert scheduler.last_epoch == (STEPS_PER_EPOCH if every == "step" else 1)
