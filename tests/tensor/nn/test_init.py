"""Initialisers: PyTorch's numbers for its seeds (2.13.0)."""

from __future__ import annotations

import math

import pytest

import elastic.tensor as torch
from elastic.tensor.nn import init

DRAWN = [
    (
        "uniform_",
        {"a": -1, "b": 2},
        [0.60476762, -0.40359044, 0.97763509, 0.97067082, -0.30171531, 0.27518421],
    ),
    (
        "normal_",
        {"mean": 1, "std": 2},
        [0.70640981, 2.5722826, 2.8936431, -1.228688, 4.3815804, -0.78965575],
    ),
    (
        "trunc_normal_",
        {"std": 1, "a": -1, "b": 1},
        [-0.14679509, 0.78614128, 0.94682163, -0.91793072, 0.3176783, -0.8948279],
    ),
    (
        "xavier_uniform_",
        {"gain": 2},
        [0.15302292, -1.3197783, 0.6976307, 0.68745875, -1.1709802, -0.32836449],
    ),
    (
        "xavier_normal_",
        {},
        [-0.092841372, 0.49719942, 0.59882259, -0.70477307, 1.0693495, -0.56593883],
    ),
    (
        "kaiming_uniform_",
        {"mode": "fan_out", "nonlinearity": "relu"},
        [0.12097523, -1.0433763, 0.55152547, 0.54348385, -0.92574108, -0.25959492],
    ),
    (
        "kaiming_normal_",
        {"a": 0.3},
        [-0.11480285, 0.61481112, 0.74047309, -0.87148601, 1.3223025, -0.6998108],
    ),
    (
        "orthogonal_",
        {"gain": 2},
        [-0.2368865, 1.2686142, 1.5279078, -0.97842175, 1.2644739, -1.2015809],
    ),
]


@pytest.mark.parametrize(("name", "settings", "expected"), DRAWN)
def test_draws_are_pytorchs(name, settings, expected):
    torch.manual_seed(7)
    weight = torch.empty(2, 3, requires_grad=True)
    drawn = getattr(init, name)(weight, **settings)
    assert drawn is weight
    assert weight.is_leaf
    assert weight.reshape(-1).tolist() == pytest.approx(expected, rel=2e-6)


def test_an_own_generator_leaves_the_default_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    init.uniform_(torch.empty(5), generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(3), expected)


def test_constants():
    assert init.constant_(torch.empty(2), 3).tolist() == [3.0, 3.0]
    assert init.ones_(torch.empty(2)).tolist() == [1.0, 1.0]
    assert init.zeros_(torch.empty(2)).tolist() == [0.0, 0.0]
    assert init.eye_(torch.empty(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.5, math.sqrt(2 / 1.25)),
        ("selu", None, 0.75),
    ],
)
def test_gains(name, param, gain):
    assert init.calculate_gain(name, param) == gain


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: init.calculate_gain("sine"), "Unsupported nonlinearity sine"),
        (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
        (lambda: init.kaiming_uniform_(torch.empty(3)), "fewer than 2 dimensions"),
        (lambda: init.kaiming_uniform_(torch.empty(3, 3), mode="fan"), "Mode fan not supported"),
        (lambda: init.eye_(torch.empty(3)), "Only tensors with 2 dimensions"),
        (lambda: init.orthogonal_(torch.empty(3)), "2 or more dimensions"),
    ],
)
def test_bad_input_is_told(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_nothing_to_draw_is_left_alone_with_a_warning(name):
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        getattr(init, name)(torch.empty(2, 0))
