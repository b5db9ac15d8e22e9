"""Optimizers: groups, state_dicts, texts and values, as in PyTorch 2.13.0."""

from __future__ import annotations

import json

import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from tests.tensor.optim.cases import GOLDEN, OPTIMIZERS, train, trained

RECORDED = json.loads(GOLDEN.read_text())


def parameter(*values):
    return nn.Parameter(torch.tensor(values or (1.0,)))


def with_gradient(*values):
    param = parameter(*values)
    param.grad = torch.ones_like(param)
    return param


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_six_steps_lead_where_pytorchs_do(name):
    assert trained(torch, name) == pytest.approx(RECORDED[name], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_from_a_state_dict_with_the_same_bits(name):
    kind, settings = OPTIMIZERS[name]
    first = parameter(1.0, -0.5, 2.0)
    optimizer = getattr(optim, kind)([first], **settings)
    train(torch, optimizer, first, 3)
    second = nn.Parameter(first.detach().clone())
    other = getattr(optim, kind)([second], lr=9.0)
    other.load_state_dict(optimizer.state_dict())
    for each, param in ((optimizer, first), (other, second)):
        train(torch, each, param, 3)
    assert torch.equal(first, second)


def test_state_dict_has_pytorchs_layout():
    params = [with_gradient(1.0), parameter(2.0), with_gradient(3.0)]
    optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], 0.1, 0.9)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert {i: list(each) for i, each in state["state"].items()} == {
        0: ["momentum_buffer"],
        2: ["momentum_buffer"],
    }
    assert state["param_groups"][1] == {
        "lr": 0.5,
        "momentum": 0.9,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": None,
        "params": [2],
    }


def test_adams_state_is_a_step_and_two_moments():
    param = with_gradient(1.0)
    optimizer = optim.Adam([param])
    optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert {name: value.tolist() for name, value in state.items()} == {
        "step": 1.0,
        "exp_avg": [pytest.approx(0.1)],
        "exp_avg_sq": [pytest.approx(0.001)],
    }


def test_sgd_without_momentum_keeps_no_state():
    optimizer = optim.SGD([with_gradient()])
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


def test_loading_copies_into_c_order_and_the_parameters_dtype():
    """PROTOCOL B5: sums over another layout have other bits."""
    param = nn.Parameter(torch.zeros(2, 3))
    optimizer = optim.Adam([param])
    state = {
        "step": torch.tensor(2.0),
        "exp_avg": torch.ones(3, 2, dtype=torch.float64).t(),
        "exp_avg_sq": torch.ones(2, 3),
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {0: state}, "param_groups": groups})
    loaded = optimizer.state[param]
    assert loaded["exp_avg"].is_contiguous()
    assert loaded["exp_avg"].dtype is torch.float32
    assert loaded["exp_avg_sq"] is not state["exp_avg_sq"]
    assert loaded["step"].item() == 2.0


def test_momentum_is_in_c_order_whatever_the_gradient_is():
    """PROTOCOL B5."""
    param = nn.Parameter(torch.zeros(2, 3))
    param.grad = torch.ones(3, 2).t()
    optimizer = optim.SGD([param], momentum=0.9)
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].is_contiguous()


def test_a_step_skips_parameters_without_gradient_and_records_nothing():
    moved, still = with_gradient(1.0), parameter(1.0)
    optimizer = optim.SGD([moved, still], lr=0.5)
    optimizer.step()
    assert (moved.item(), still.item()) == (0.5, 1.0)
    assert moved.is_leaf
    assert moved.requires_grad


def test_a_closure_is_evaluated_with_gradients():
    param = parameter(2.0)
    optimizer = optim.SGD([param], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert param.item() == 1.0


def test_zero_grad_forgets_or_zeroes():
    param = with_gradient()
    optimizer = optim.SGD([param])
    grad = param.grad
    optimizer.zero_grad(set_to_none=False)
    assert param.grad is grad
    assert grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert param.grad is None


def test_a_group_may_be_added_later_and_named():
    first, second = with_gradient(1.0), with_gradient(1.0)
    optimizer = optim.SGD([first], lr=0.5)
    optimizer.add_param_group({"params": second, "lr": 0.25})
    optimizer.step()
    assert (first.item(), second.item()) == (0.5, 0.75)
    named = optim.SGD(nn.Linear(1, 1).named_parameters())
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]


def test_repr_is_pytorchs():
    optimizer = optim.AdamW([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.5}])
    settings = (
        "    amsgrad: False\n    betas: (0.9, 0.999)\n    capturable: False\n"
        "    decoupled_weight_decay: True\n    differentiable: False\n    eps: 1e-08\n"
        "    foreach: None\n    fused: None\n    lr: {}\n    maximize: False\n"
        "    weight_decay: 0.01\n"
    )
    assert repr(optimizer) == (
        f"AdamW (\nParameter Group 0\n{settings.format(0.001)}\n"
        f"Parameter Group 1\n{settings.format(0.5)})"
    )


class Halving(optim.Optimizer):
    """The smallest optimizer there is."""

    def __init__(self, params):
        super().__init__(params, {})

    def init_state(self, param, group):
        return {"calls": 0}

    def update(self, param, grad, state, group):
        state["calls"] += 1
        param.div_(2)


def test_a_new_optimizer_is_two_methods():
    param = with_gradient(8.0)
    optimizer = Halving([param])
    optimizer.step()
    optimizer.step()
    assert param.item() == 2.0
    assert optimizer.state_dict()["state"] == {0: {"calls": 2}}
    with pytest.raises(NotImplementedError, match="Optimizer must define update"):
        optim.Optimizer([with_gradient()], {}).step()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.SGD([3]), TypeError, "can only optimize Tensors, but .* params is int"),
        (lambda: optim.SGD(parameter()), TypeError, "iterable of Tensors or dicts, but got"),
        (lambda: optim.SGD([parameter() * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([parameter()] * 2), ValueError, "duplicate parameters"),
        (lambda: optim.SGD([{"params": {parameter()}}]), TypeError, "the ordering of tensors"),
        (lambda: optim.SGD([parameter()], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([parameter()], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda: optim.Adam([parameter()], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: optim.Adam([parameter()], betas=(0, 1)), ValueError, "parameter at index 1: 1"),
        (
            lambda: optim.SGD([parameter()], nesterov=True),
            ValueError,
            "Nesterov momentum requires a momentum and zero dampening",
        ),
        (
            lambda: optim.SGD([parameter()], foo=1),
            TypeError,
            r"SGD.__init__\(\) got an unexpected keyword argument 'foo'",
        ),
        (
            lambda: optim.SGD([parameter()]).add_param_group([]),
            TypeError,
            "param_group must be a dict",
        ),
    ],
)
def test_bad_settings_are_told_in_pytorchs_words(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_a_parameter_belongs_to_one_group():
    param = parameter()
    with pytest.raises(ValueError, match="appear in more than one parameter group"):
        optim.SGD([{"params": [param]}, {"params": [param]}])


def test_loading_wants_the_same_groups():
    one, two = optim.SGD([parameter()]), optim.SGD([parameter(), parameter()])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        one.load_state_dict(two.state_dict())
    two.add_param_group({"params": [parameter()]})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(two.state_dict())
