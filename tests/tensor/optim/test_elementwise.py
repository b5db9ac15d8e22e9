"""Blocks: the same bits as the formula on whole tensors, for every elementwise optimizer."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from elastic.tensor.optim import _blocks
from elastic.tensor.optim._elementwise import Elementwise
from tests.tensor.optim.cases import OPTIMIZERS

CASES = [name for name, (kind, _) in OPTIMIZERS.items() if kind not in ("Adafactor", "LBFGS")]
SHAPES = ((7, 11), (300,), (), (5, 1, 3))


def parameters(dtype=torch.float32):
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in SHAPES]


def train(optimizer, params, steps=4):
    rng = np.random.default_rng(2)
    for _ in range(steps):
        for param in params:
            drawn = np.asarray(rng.standard_normal(param.shape))
            param.grad = torch.from_numpy(drawn).to(param.dtype)
        optimizer.step()


def whole(optimizer):
    """Take all steps by the formula on whole tensors."""

    def step_group(group):
        for param in group["params"]:
            optimizer.update(param, param.grad, optimizer.state_of(param, group), group)

    optimizer.step_group = step_group
    return optimizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_blocks_give_the_bits_of_the_whole_formula(name, dtype, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 128)
    monkeypatch.setattr(_blocks, "ELEMENTS_A_THREAD", 100)
    monkeypatch.setattr(_blocks, "thread_count", lambda: 3)
    kind, settings = OPTIMIZERS[name]
    first, second = parameters(dtype), parameters(dtype)
    blocked = getattr(optim, kind)(first, **settings)
    plain = whole(getattr(optim, kind)(second, **settings))
    for optimizer, params in ((blocked, first), (plain, second)):
        train(optimizer, params)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())
        for key, value in blocked.state[a].items():
            assert np.array_equal(np.asarray(value), np.asarray(plain.state[b][key])), key


def test_every_elementwise_optimizer_is_compared():
    all_of_them = {
        name
        for name, value in vars(optim).items()
        if inspect.isclass(value) and issubclass(value, Elementwise)
    }
    assert all_of_them == {OPTIMIZERS[name][0] for name in CASES}


@pytest.mark.parametrize("fails_in", ["MainThread", "another"])
def test_an_error_in_any_thread_is_told(fails_in, monkeypatch):
    monkeypatch.setattr(_blocks, "thread_count", lambda: 2)
    monkeypatch.setattr(_blocks, "ELEMENTS_A_THREAD", 1)
    both = threading.Barrier(2, timeout=60)

    def formula(F, param, grad, state):
        both.wait()
        if (threading.current_thread().name == "MainThread") == (fails_in == "MainThread"):
            raise ZeroDivisionError

    jobs = [_blocks.Job(np.ones(4), np.ones(4), {}, 1, 0, ()) for _ in range(2)]
    with pytest.raises(ZeroDivisionError):
        _blocks.run(formula, jobs)


def test_a_gradient_in_another_order_counts_by_place():
    param = nn.Parameter(torch.zeros(2, 3))
    param.grad = torch.arange(6.0).reshape(3, 2).t()
    optim.SGD([param], lr=1.0).step()
    assert param.tolist() == [[0.0, -2.0, -4.0], [-1.0, -3.0, -5.0]]


def test_a_parameter_in_another_order_is_stepped_as_a_whole():
    param = nn.Parameter(torch.arange(6.0).reshape(3, 2).t())
    param.grad = torch.ones(2, 3)
    optimizer = optim.SGD([param], lr=1.0, momentum=0.9)
    optimizer.step()
    assert param.tolist() == [[-1.0, 1.0, 3.0], [0.0, 2.0, 4.0]]


def test_halves_are_stepped_too():
    param = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    param.grad = torch.ones(3, dtype=torch.bfloat16)
    optimizer = optim.Adam([param], lr=0.5)
    optimizer.step()
    assert param.dtype is torch.bfloat16
    assert param.tolist() == [0.5, 0.5, 0.5]
    assert optimizer.state[param]["exp_avg"].dtype is torch.bfloat16


def test_a_step_counts_the_version_up():
    param = nn.Parameter(torch.ones(3))
    loss = (param * param).sum()
    param.grad = torch.ones(3)
    optim.Adam([param]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_gradients_flow_through_a_differentiable_step(kind):
    def after(start, slope):
        param = (start * 1.0).requires_grad_()
        optimizer = getattr(optim, kind)([param], lr=0.1, differentiable=True)
        for _ in range(2):
            param.grad = slope * 2.0
            optimizer.step()
        return param

    torch.manual_seed(0)
    start = torch.rand(3, dtype=torch.float64).add(1.0).requires_grad_()
    slope = torch.rand(3, dtype=torch.float64).add(1.0).requires_grad_()
    assert torch.autograd.gradcheck(after, (start, slope))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda p: optim.Adam(p, capturable=True), AssertionError, "If capturable=True, params"),
        (lambda p: optim.ASGD(p, capturable=True), AssertionError, "params, mus, etas, and"),
        (
            lambda p: optim.SGD(p, foreach=True, differentiable=True),
            AssertionError,
            "_foreach ops don't support autograd",
        ),
    ],
)
def test_what_a_step_cannot_do_is_told(call, kind, text):
    param = nn.Parameter(torch.ones(1))
    param.grad = torch.ones(1)
    with pytest.raises(kind, match=text):
        call([param]).step()
