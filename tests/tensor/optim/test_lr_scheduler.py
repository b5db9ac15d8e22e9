"""Learning rate schedules: PyTorch's rates to the last bit (2.13.0)."""

from __future__ import annotations

import json

import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from elastic.tensor.optim import lr_scheduler
from tests.tensor.optim.cases import GOLDEN, SCHEDULERS, rates

RECORDED = json.loads(GOLDEN.read_text())


def optimizer(lr=0.1):
    return optim.SGD([nn.Parameter(torch.ones(1))], lr=lr, momentum=0.5)


def stepped(make, **settings):
    """An optimizer that has taken a step since its schedule was made."""
    made = optimizer(**settings)
    schedule = make(made)
    made.step()
    return schedule


@pytest.mark.parametrize("name", SCHEDULERS)
def test_rates_are_pytorchs(name):
    assert rates(torch, name) == RECORDED[name]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedule_goes_on_from_its_state_dict(name):
    first, second = optimizer(), optimizer()
    schedule, other = (SCHEDULERS[name](lr_scheduler, each) for each in (first, second))
    for each in (first, second):
        each.step()
    for _ in range(4):
        schedule.step()
    other.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    schedule.step()
    other.step()
    assert other.get_last_lr() == schedule.get_last_lr()
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]


def test_state_dict_leaves_the_optimizer_out():
    assert lr_scheduler.StepLR(optimizer(), 3).state_dict() == {
        "step_size": 3,
        "gamma": 0.1,
        "base_lrs": [0.1],
        "last_epoch": 0,
        "_step_count": 1,
        "_last_lr": [0.1],
        "_get_lr_called_within_step": False,
        "_is_initial": False,
    }


def test_a_schedule_may_start_in_the_middle():
    made = optimizer()
    made.param_groups[0]["initial_lr"] = 0.1
    made.param_groups[0]["lr"] = 0.05
    schedule = lr_scheduler.CosineAnnealingLR(made, T_max=4, last_epoch=1)
    assert schedule.get_last_lr() == [0.05]
    made.step()
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.05 * (1 - 0.5**0.5))]


def test_lambda_takes_one_function_a_group():
    made = optimizer()
    made.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.5})
    schedule = lr_scheduler.LambdaLR(made, [lambda epoch: 1.0, lambda epoch: 1 / (1 + epoch)])
    made.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.1, 0.25]
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
        lr_scheduler.LambdaLR(made, [lambda epoch: 1.0])


class Warmup:
    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 1.0


def test_lambda_saves_callable_objects_but_no_functions():
    schedule = stepped(lambda made: lr_scheduler.LambdaLR(made, Warmup()))
    schedule.step()
    assert schedule.state_dict()["lr_lambdas"] == [{"calls": 2}]
    other = lr_scheduler.LambdaLR(optimizer(), Warmup())
    other.load_state_dict(schedule.state_dict())
    assert other.lr_lambdas[0].calls == 2
    for function in (abs, lambda epoch: 1.0):
        plain = lr_scheduler.LambdaLR(optimizer(), function)
        assert plain.state_dict()["lr_lambdas"] == [None]


def test_a_step_before_the_optimizers_warns():
    made = optim.SGD([nn.Parameter(torch.ones(1))])
    made.step()  # before the schedule: PyTorch does not count it
    schedule = lr_scheduler.StepLR(made, 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()


def test_a_replaced_step_warns():
    made = optimizer()
    schedule = lr_scheduler.StepLR(made, 3)
    made.step = lambda: None
    with pytest.warns(UserWarning, match=r"`optimizer.step\(\)` has been overridden after"):
        schedule.step()


def test_old_ways_warn():
    schedule = stepped(lambda made: lr_scheduler.ExponentialLR(made, 0.5))
    with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step"):
        schedule.step(3)
    assert schedule.get_last_lr() == [0.1 * 0.5**3]
    with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
        schedule.get_lr()


def test_a_rate_that_is_a_tensor_changes_in_place():
    rate = torch.tensor(0.5)
    schedule = stepped(lambda made: lr_scheduler.ExponentialLR(made, 0.5), lr=rate)
    schedule.step()
    assert rate.item() == 0.25
    assert schedule.base_lrs[0].item() == 0.5


def test_the_schedule_goes_below_a_plateau():
    made = optimizer(lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(made, factor=0.5, patience=1, cooldown=1, min_lr=0.3)
    found = []
    for metric in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0):
        schedule.step(torch.tensor(metric))
        found += schedule.get_last_lr()
    assert found == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    other = lr_scheduler.ReduceLROnPlateau(made, mode="max", threshold_mode="abs")
    other.load_state_dict(schedule.state_dict())
    assert (other.best, other.mode, other.num_bad_epochs) == (1.0, "min", 0)


def test_a_cycle_moves_the_first_beta():
    made = optim.Adam([nn.Parameter(torch.ones(1))], betas=(0.5, 0.999))
    schedule = lr_scheduler.OneCycleLR(made, 0.1, total_steps=10)
    assert made.param_groups[0]["betas"] == (0.95, 0.999)
    made.step()
    schedule.step()
    assert made.param_groups[0]["betas"][0] < 0.95


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda lr, o: lr.StepLR(3, 3), TypeError, "int is not an Optimizer"),
        (lambda lr, o: lr.StepLR(o, 3, last_epoch=2), KeyError, "'initial_lr' is not specified"),
        (lambda lr, o: lr.LRScheduler(o), NotImplementedError, "LRScheduler must define"),
        (lambda lr, o: lr.MultiplicativeLR(o, 3), TypeError, "should be a function, but got int"),
        (lambda lr, o: lr.ConstantLR(o, 2.0), ValueError, "to be between 0 and 1."),
        (lambda lr, o: lr.LinearLR(o, 0), ValueError, "greater than 0 and less or equal to 1"),
        (lambda lr, o: lr.LinearLR(o, 1, 2), ValueError, "Ending multiplicative factor"),
        (lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0"),
        (lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "integer T_mult >= 1"),
        (lambda lr, o: lr.CyclicLR(o, 0, 1, mode="x"), ValueError, "scale_fn is None"),
        (lambda lr, o: lr.CyclicLR(o, [0, 1], 1), ValueError, "has 2 values, param_groups has 1"),
        (lambda lr, o: lr.OneCycleLR(o, 1), ValueError, "You must define either total_steps"),
        (lambda lr, o: lr.OneCycleLR(o, 1, 0), ValueError, "positive integer total_steps"),
        (lambda lr, o: lr.OneCycleLR(o, 1, 9, pct_start=2), ValueError, "between 0 and 1 pct"),
        (lambda lr, o: lr.OneCycleLR(o, 1, 9, anneal_strategy="x"), ValueError, "instead got x"),
        (lambda lr, o: lr.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda lr, o: lr.SequentialLR(o, [3], []), TypeError, "should have `optimizer`"),
        (
            lambda lr, o: lr.SequentialLR(o, [lr.StepLR(optimizer(), 3)], []),
            ValueError,
            "expects all schedulers to belong to the same optimizer",
        ),
        (
            lambda lr, o: lr.SequentialLR(o, [lr.StepLR(o, 3)], [4]),
            ValueError,
            "one more than the number of milestone points",
        ),
        (lambda lr, o: lr.ChainedScheduler([]), ValueError, "at least one scheduler to be chained"),
        (
            lambda lr, o: lr.ChainedScheduler([lr.ReduceLROnPlateau(o)]),
            ValueError,
            "does not support `ReduceLROnPlateau`",
        ),
        (lambda lr, o: lr.ReduceLROnPlateau(o, factor=1), ValueError, "Factor should be < 1.0."),
        (lambda lr, o: lr.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown!"),
        (
            lambda lr, o: lr.ReduceLROnPlateau(o, threshold_mode="x"),
            ValueError,
            "threshold mode x is unknown!",
        ),
        (lambda lr, o: lr.ReduceLROnPlateau(o, min_lr=[0, 0]), ValueError, "expected 1 min_lrs"),
    ],
)
def test_misuse_is_told_in_pytorchs_words(call, kind, text):
    with pytest.raises(kind, match=text):
        call(lr_scheduler, optimizer())


def test_one_cycle_ends():
    schedule = stepped(lambda made: lr_scheduler.OneCycleLR(made, 0.1, total_steps=2))
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match=r"Tried to step 3 times. The specified number"):
        schedule.step()
