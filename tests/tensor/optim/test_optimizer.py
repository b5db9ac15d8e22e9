"""Optimizers: groups, state_dicts, texts and values, as in PyTorch 2.13.0."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from tests.tensor.optim.cases import GOLDEN, LBFGS, OPTIMIZERS, minimised, train, trained

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


@pytest.mark.parametrize("name", LBFGS)
def test_quasi_newton_steps_lead_where_pytorchs_do(name):
    assert minimised(torch, name) == pytest.approx(RECORDED[name], rel=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_from_a_state_dict_with_the_same_bits(name):
    kind, settings = OPTIMIZERS[name]
    first = parameter(1.0, -0.5, 2.0)
    optimizer = getattr(optim, kind)([first], **settings)
    train(torch, optimizer, first, 3)
    second = nn.Parameter(first.detach().clone())
    other = getattr(optim, kind)([second], lr=1.0)
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


def test_hooks_stand_around_a_step():
    calls = []
    optimizer = optim.SGD([with_gradient(1.0)], lr=0.5)
    handles = [
        optim.optimizer.register_optimizer_step_pre_hook(lambda *given: calls.append("all before")),
        optim.optimizer.register_optimizer_step_post_hook(lambda *given: calls.append("all after")),
        optimizer.register_step_pre_hook(lambda *given: calls.append("before")),
        optimizer.register_step_post_hook(lambda *given: calls.append("after")),
    ]
    optimizer.step()
    assert calls == ["all before", "before", "after", "all after"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(calls) == 4


def test_a_hook_may_change_what_a_step_gets():
    optimizer = optim.SGD([with_gradient(1.0)])
    handle = optimizer.register_step_pre_hook(lambda me, args, kwargs: ((me, lambda: 3), {}))
    assert optimizer.step() == 3
    handle.remove()
    optimizer.register_step_pre_hook(lambda me, args, kwargs: 5)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of .*, but got 5"):
        optimizer.step()


def test_hooks_of_state_dicts():
    calls = []
    optimizer = optim.SGD([with_gradient(1.0)])
    optimizer.register_state_dict_pre_hook(lambda me: calls.append("second"))
    optimizer.register_state_dict_pre_hook(lambda me: calls.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda me, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda me, state: state.pop("more") and None)
    optimizer.register_load_state_dict_post_hook(lambda me: calls.append("loaded"))
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    assert state["more"] == 1
    assert calls == ["first", "second", "loaded"]


class Plain(optim.Optimizer):
    """An optimizer as they are written for PyTorch."""

    def __init__(self, params):
        super().__init__(params, {"lr": optim.optimizer.required})

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                state["calls"] = state.get("calls", 0) + 1
                with torch.no_grad():
                    param.add_(param.grad, alpha=-group["lr"])


def test_an_optimizer_may_write_its_own_step():
    param, calls = with_gradient(1.0), []
    optimizer = Plain([{"params": [param], "lr": 0.5}])
    optimizer.register_step_post_hook(lambda *given: calls.append(1))
    optimizer.step()
    assert (param.item(), calls, optimizer.state[param]) == (0.5, [1], {"calls": 1})
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Plain([param])


def test_copies_and_pickles_go_on_alike():
    param = with_gradient(1.0, 2.0)
    optimizer = optim.Adam([param], lr=0.1)
    optimizer.step()
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (other,) = twin.param_groups[0]["params"]
        other.grad = torch.ones_like(other)
        twin.step()
        assert other is not param
        assert twin.state[other]["step"].item() == 2.0


def test_states_of_old_files_are_completed():
    optimizer = optim.NAdam([with_gradient(1.0)])
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0].update(step=1, mu_product=0.5)
    del state["param_groups"][0]["foreach"]
    optimizer.load_state_dict(state)
    assert optimizer.state[optimizer.param_groups[0]["params"][0]]["step"].item() == 1.0
    assert optimizer.param_groups[0]["foreach"] is None


class Sparse(torch.Tensor):
    """As much of a sparse gradient as an optimizer looks at."""

    is_sparse = True

    def coalesce(self):
        return self

    def indices(self):
        return torch.tensor([[0, 2]])

    def values(self):
        return torch.tensor([1.0, -1.0])


def test_sparse_adam_moves_what_the_gradient_touches():
    param = parameter(1.0, 1.0, 1.0)
    param.grad = Sparse(3)
    optimizer = optim.SparseAdam([param], lr=0.5)
    optimizer.step()
    assert param.tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert optimizer.state[param]["exp_avg"].tolist() == pytest.approx([0.1, 0.0, -0.1])
    with pytest.raises(RuntimeError, match="Adam does not support sparse gradients, please cons"):
        optim.Adam([param]).step()
    param.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients, please"):
        optimizer.step()


def test_muons_steps_are_orthogonal():
    torch.manual_seed(0)
    param = nn.Parameter(torch.zeros(6, 4))
    param.grad = torch.randn(6, 4)
    optim.Muon([param], lr=1.0, adjust_lr_fn="match_rms_adamw").step()
    gram = (param.T @ param).detach() / (0.2 * 6**0.5) ** 2
    assert torch.allclose(gram, torch.eye(4), atol=0.5)
    with pytest.raises(ValueError, match="Muon only supports 2D parameters whereas"):
        optim.Muon([parameter()])
    with pytest.raises(ValueError, match="Adjust learning rate function x is not supported"):
        optim.Muon([param], adjust_lr_fn="x")


def test_duplicates_in_a_group_warn():
    param = parameter()
    with pytest.warns(UserWarning, match="contains a parameter group with duplicate parameters"):
        optim.SGD([param, param])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda p: optim.SGD(p, lr=torch.ones(2)), "Tensor lr must be 1-element"),
        (lambda p: optim.Adam(p, betas=(0.9, torch.tensor(0.9))), "either both floats or both"),
        (
            lambda p: optim.Adam(p, lr=torch.tensor(0.1), foreach=True),
            "lr as a Tensor is not supported for capturable=False and foreach=True",
        ),
        (lambda p: optim.Adadelta(p, rho=1.1), "Invalid rho value: 1.1"),
        (lambda p: optim.Adafactor(p, d=0.5), "Clipping threshold d should be >= 1 but is: 0.5"),
        (lambda p: optim.Adafactor(p, eps=(-1, 1)), "epsilon1 should be >= 0 but is: -1"),
        (lambda p: optim.Rprop(p, etas=(1.0, 0.5)), "Invalid eta values: 1.0, 0.5"),
        (lambda p: optim.SparseAdam(p, lr=0), "Invalid learning rate: 0"),
        (lambda p: optim.LBFGS([{"params": p}, {"params": parameter()}]), "doesn't support per-p"),
        (lambda p: optim.SGD([("w", p[0]), parameter()]), "Some param names are missing"),
        (
            lambda p: optim.SGD([{"params": p}, {"params": [("w", parameter())]}]),
            "cannot add param group with names to the optimizer",
        ),
    ],
)
def test_more_bad_settings_are_told_in_pytorchs_words(call, text):
    with pytest.raises(ValueError, match=text):
        call([parameter()])


def test_flags_that_exclude_each_other():
    with pytest.raises(RuntimeError, match=r"`fused` and `foreach` cannot be `True` together."):
        optim.SGD([parameter()], fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        optim.Adam([parameter()], fused=True, differentiable=True)
