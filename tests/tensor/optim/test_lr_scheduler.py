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
    made = optim.SGD([nn.Parameter(torch.ones(1))], lr=lr)
    made.step()
    return made


@pytest.mark.parametrize("name", SCHEDULERS)
def test_rates_are_pytorchs(name):
    assert rates(torch, name) == RECORDED[name]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedule_goes_on_from_its_state_dict(name):
    kind, settings = SCHEDULERS[name]
    first, second = optimizer(), optimizer()
    schedule = getattr(lr_scheduler, kind)(first, **settings)
    other = getattr(lr_scheduler, kind)(second, **settings)
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
    }


def test_a_cosine_may_start_in_the_middle():
    made = optimizer()
    made.param_groups[0]["initial_lr"] = 0.1
    schedule = lr_scheduler.CosineAnnealingLR(made, T_max=4, last_epoch=1)
    assert schedule.get_last_lr() == [pytest.approx(0.05)]


def test_lambda_takes_one_function_a_group():
    made = optimizer()
    made.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.5})
    schedule = lr_scheduler.LambdaLR(made, [lambda epoch: 1.0, lambda epoch: 1 / (1 + epoch)])
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
    schedule = lr_scheduler.LambdaLR(optimizer(), Warmup())
    schedule.step()
    assert schedule.state_dict()["lr_lambdas"] == [{"calls": 2}]
    other = lr_scheduler.LambdaLR(optimizer(), Warmup())
    other.load_state_dict(schedule.state_dict())
    assert other.lr_lambdas[0].calls == 2
    for function in (abs, lambda epoch: 1.0):
        plain = lr_scheduler.LambdaLR(optimizer(), function)
        assert plain.state_dict()["lr_lambdas"] == [None]


def test_a_step_before_the_optimizers_warns():
    schedule = lr_scheduler.StepLR(optim.SGD([nn.Parameter(torch.ones(1))]), 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()


def test_misuse_is_told():
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        lr_scheduler.StepLR(3, 3)
    with pytest.raises(KeyError, match="'initial_lr' is not specified in param_groups"):
        lr_scheduler.StepLR(optimizer(), 3, last_epoch=2)
    with pytest.raises(NotImplementedError, match="LRScheduler must define rate"):
        lr_scheduler.LRScheduler(optimizer())
