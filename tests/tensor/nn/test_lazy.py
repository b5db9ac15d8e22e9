"""Layers that take their sizes from their first input."""

from __future__ import annotations

import copy

import pytest

import elastic.tensor as torch
from elastic.tensor import nn

LAYERS = [
    (nn.LazyLinear(3), (5, 4), nn.Linear(4, 3)),
    (nn.LazyConv1d(3, 2), (2, 4, 5), nn.Conv1d(4, 3, 2)),
    (nn.LazyConv2d(4, 3, 2, groups=2), (2, 4, 5, 6), nn.Conv2d(4, 4, 3, 2, groups=2)),
    (nn.LazyConvTranspose2d(3, 2), (2, 4, 5, 6), nn.ConvTranspose2d(4, 3, 2)),
    (nn.LazyBatchNorm2d(), (2, 4, 5, 6), nn.BatchNorm2d(4)),
    (nn.LazyInstanceNorm1d(), (2, 4, 5), nn.InstanceNorm1d(4, 1e-5, 0.1, True, True)),
]


@pytest.mark.parametrize(("lazy", "shape", "plain"), LAYERS, ids=lambda v: type(v).__name__)
def test_a_lazy_layer_becomes_the_plain_one(lazy, shape, plain):
    lazy = copy.deepcopy(lazy)
    assert lazy.has_uninitialized_params()
    torch.manual_seed(0)
    lazy(torch.ones(shape))
    torch.manual_seed(0)
    plain.reset_parameters()
    assert type(lazy) is type(plain)
    assert repr(lazy) == repr(plain)
    assert [n for n, _ in lazy.named_parameters()] == [n for n, _ in plain.named_parameters()]
    for a, b in zip(lazy.parameters(), plain.parameters(), strict=True):
        assert type(a) is nn.Parameter
        assert torch.equal(a, b)


def test_an_uninitialised_parameter_tells_its_name_and_has_no_shape():
    layer = nn.LazyLinear(3)
    assert repr(layer.weight) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized"):
        _ = layer.weight.shape


def test_a_lazy_layer_loads_the_state_of_a_plain_one():
    layer = nn.LazyLinear(3)
    plain = nn.Linear(4, 3)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, plain.weight)
    assert layer(torch.ones(1, 4)).shape == (1, 3)


def test_optimizers_see_the_same_parameter_before_and_after():
    layer = nn.LazyLinear(3)
    before = layer.weight
    layer(torch.ones(1, 4))
    assert layer.weight is before
