"""Clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import math

import pytest

import elastic.tensor as torch
from elastic.tensor import nn
from elastic.tensor.nn import utils


@pytest.fixture
def params():
    """Two parameters with gradients (3, 4) and (12,), of norm 13, and one without."""
    values = [nn.Parameter(torch.zeros(n)) for n in (2, 1, 3)]
    values[0].grad = torch.tensor([3.0, 4.0])
    values[1].grad = torch.tensor([12.0])
    return values


def grads(params):
    return [p.grad.tolist() for p in params if p.grad is not None]


def test_clip_grad_norm_scales_all_gradients_together(params):
    kept = params[0].grad
    assert utils.clip_grad_norm_(params, 6.5).item() == pytest.approx(13.0)
    assert params[0].grad is kept
    assert grads(params) == [pytest.approx([1.5, 2.0]), pytest.approx([6.0])]


def test_clip_grad_norm_leaves_small_gradients_alone(params):
    utils.clip_grad_norm_(params, 100.0)
    assert grads(params) == [[3.0, 4.0], [12.0]]


def test_clip_grad_norm_knows_other_norms(params):
    assert utils.clip_grad_norm_(params, 6.0, math.inf).item() == 12.0
    assert grads(params) == [pytest.approx([1.5, 2.0]), pytest.approx([6.0])]


def test_clip_grad_norm_takes_one_tensor_an_iterator_or_nothing(params):
    assert utils.clip_grad_norm_(params[0], 1.0).item() == 5.0
    assert utils.clip_grad_norm_(iter(params[2:]), 1.0).item() == 0.0


def test_clip_grad_norm_may_refuse_what_is_not_finite(params):
    params[0].grad[0] = math.inf
    with pytest.raises(RuntimeError, match=r"total norm of order 2.0 for gradients .* non-finite"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_clip_grad_value_cuts_each_element(params):
    params[0].grad = torch.tensor([-3.0, 0.5])
    utils.clip_grad_value_(params, 1.0)
    assert grads(params) == [[-1.0, 0.5], [1.0]]


def test_vector_round_trip():
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    vector = utils.parameters_to_vector(source.parameters())
    assert vector.shape == (9,)
    weight = target.weight
    utils.vector_to_parameters(vector, target.parameters())
    assert target.weight is weight
    assert torch.equal(target.weight, source.weight)
    assert torch.equal(target.bias, source.bias)
