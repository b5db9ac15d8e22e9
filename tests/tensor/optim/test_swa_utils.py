"""Averages of models: means, moving averages, and what belongs to them."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from elastic.tensor.optim import swa_utils


def model(weight=0.0):
    made = nn.BatchNorm1d(1)
    made.weight.data.fill_(weight)
    made.running_mean.fill_(weight)
    return made


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 2.0),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, 2.0),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.5)}, 2.25),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)}, 2.25),
    ],
)
@pytest.mark.parametrize("use_buffers", [False, True])
def test_an_average_of_three(settings, expected, use_buffers):
    averaged = swa_utils.AveragedModel(model(), use_buffers=use_buffers, **settings)
    for weight in (1.0, 2.0, 3.0):
        averaged.update_parameters(model(weight))
    assert averaged.n_averaged.item() == 3
    assert averaged.module.weight.item() == pytest.approx(expected)
    assert averaged.module.running_mean.item() == pytest.approx(expected if use_buffers else 3.0)
    assert "module.weight" in averaged.state_dict()
    assert averaged.eval()(torch.zeros(1, 1)).shape == (1, 1)


def test_whole_numbers_are_averaged_too():
    mean, now = torch.tensor([10]), torch.tensor([20])
    swa_utils.get_ema_multi_avg_fn(0.75)([mean], [now], 1)
    assert mean.tolist() == [12]


def test_statistics_are_computed_anew():
    net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)).eval()
    momentum = net[0].momentum
    swa_utils.update_bn([torch.tensor([[0.0], [2.0]]), [torch.tensor([[4.0], [6.0]])]], net)
    assert net[0].running_mean.item() == pytest.approx(3.0)
    assert net[0].momentum == momentum
    assert not net.training


@pytest.mark.parametrize(
    ("strategy", "expected"), [("linear", [0.4, 0.3, 0.2, 0.1, 0.1]), ("cos", None)]
)
def test_the_rate_goes_to_its_end(strategy, expected):
    optimizer = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    schedule = swa_utils.SWALR(optimizer, 0.1, 4, strategy)
    found = []
    for _ in range(5):
        optimizer.step()
        schedule.step()
        found += schedule.get_last_lr()
    if expected:
        assert found == pytest.approx(expected)
    assert found[-1] == pytest.approx(0.1)


def test_misuse_is_told():
    optimizer = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    with pytest.raises(ValueError, match="Invalid decay value 2 provided"):
        swa_utils.get_ema_avg_fn(2)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(model(), avg_fn=min, multi_avg_fn=min)
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0, got -1"):
        swa_utils.SWALR(optimizer, 0.1, -1)
    with pytest.raises(ValueError, match="instead got x"):
        swa_utils.SWALR(optimizer, 0.1, 1, "x")
