"""Module: registration, walking, conversion, state_dict and repr, as PyTorch 2.13.0 has them."""

from __future__ import annotations

import copy
import pickle

import pytest

import elastic.tensor as torch
from elastic.tensor import nn


class Twice(nn.Module):
    """A module that holds the same child under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.again(self.first(x)) * self.scale


def test_assignment_registers_in_order_and_each_value_once():
    module = Twice()
    assert [name for name, _ in module.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
    ]
    assert [name for name, _ in module.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in module.named_modules()] == ["", "first"]
    assert [name for name, _ in module.named_children()] == ["first"]
    assert [n for n, _ in module.named_parameters(recurse=False)] == ["scale"]
    assert len(list(module.named_parameters(remove_duplicate=False))) == 5


def test_registered_values_are_plain_attributes_of_the_instance():
    module = nn.Linear(2, 2)
    assert module.__dict__["weight"] is module.weight is module._parameters["weight"]


def test_assigning_over_a_parameter_keeps_its_place():
    module = nn.Linear(2, 3)
    new = nn.Parameter(torch.zeros(1, 3))
    module.weight = nn.Parameter(torch.ones(3, 2))
    module.bias = new
    assert module.bias is new
    assert list(module.state_dict()) == ["weight", "bias"]
    module.bias = None
    assert list(module.state_dict()) == ["weight"]
    assert module.bias is None


def test_a_parameter_may_replace_a_plain_attribute():
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(torch.ones(1))
    assert [name for name, _ in module.named_parameters()] == ["x"]


def test_a_name_moves_between_registries():
    module = nn.Linear(2, 2)
    module.bias = nn.ReLU()
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    assert isinstance(module.bias, nn.ReLU)
    del module.bias
    assert not hasattr(module, "bias")


def test_buffer_class_registers_itself():
    module = nn.Module()
    module.kept = nn.Buffer(torch.ones(1))
    module.lost = nn.Buffer(torch.ones(1), persistent=False)
    module.kept = torch.zeros(1)
    assert list(module.state_dict()) == ["kept"]
    assert module.state_dict()["kept"].item() == 0


class NoInit(nn.Module):
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: NoInit(nn.ReLU()), AttributeError, "cannot assign module before Module.__init__"),
        (lambda: NoInit(nn.Parameter(torch.ones(1))), AttributeError, "assign parameters before"),
        (
            lambda: setattr(nn.Linear(1, 1), "weight", 3),
            TypeError,
            "cannot assign 'int' as parameter",
        ),
        (
            lambda: setattr(nn.Linear(1, 1), "weight", torch.ones(1)),
            TypeError,
            r"cannot assign 'torch.FloatTensor' as parameter 'weight' \(torch.nn.Parameter or None",
        ),
        (lambda: setattr(nn.Sequential(nn.ReLU()), "0", 3), TypeError, "'int' as child module '0'"),
        (
            lambda: setattr(nn.BatchNorm1d(1), "running_mean", 3),
            TypeError,
            "as buffer 'running_mean'",
        ),
        (lambda: nn.Module().register_buffer("a.b", None), KeyError, r"can.+t contain"),
        (lambda: nn.Module().register_parameter("", None), KeyError, r"can.+t be empty"),
        (lambda: nn.Module().register_buffer(3, None), TypeError, "should be a string. Got int"),
        (lambda: nn.Linear(1, 1).register_buffer("weight", None), KeyError, "already exists"),
        (lambda: nn.Module().register_buffer("x", 3), TypeError, "torch Tensor or None required"),
        (
            lambda: nn.Module().register_parameter("x", torch.ones(1)),
            TypeError,
            "torch.nn.Parameter",
        ),
        (lambda: nn.Module().add_module("x", 3), TypeError, "int is not a Module subclass"),
        (lambda: nn.Linear(1, 1).get_submodule("x"), AttributeError, "Linear has no attribute `x`"),
        (lambda: nn.Linear(1, 1).get_submodule("weight"), AttributeError, "not an nn.Module"),
        (lambda: nn.Linear(1, 1).get_buffer("weight"), AttributeError, "`weight` is not a buffer"),
        (lambda: nn.Linear(1, 1).to(torch.int64), TypeError, "only accepts floating point"),
        (lambda: nn.Linear(1, 1).train(1), ValueError, "expected to be boolean"),
        (lambda: nn.Module()(1), NotImplementedError, r"Module \[Module\] is missing the required"),
        (lambda: nn.Linear(1, 1).missing, AttributeError, "no attribute 'missing'"),
    ],
)
def test_misuse_is_told_in_pytorchs_words(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_register_parameter_refuses_a_computed_tensor():
    computed = nn.Parameter(torch.ones(1)) * 2
    computed.__class__ = nn.Parameter
    with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor to parameter 'x'"):
        nn.Module().register_parameter("x", computed)


def test_get_parameter_and_submodule_follow_dotted_paths():
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
    assert module.get_submodule("") is module
    assert module.get_submodule("1.0") is module[1][0]
    assert module.get_parameter("0.bias") is module[0].bias
    assert module.get_buffer("1.0.running_var") is module[1][0].running_var


def test_apply_goes_children_first():
    seen = []
    nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())).apply(
        lambda m: seen.append(type(m).__name__)
    )
    assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_train_and_eval_reach_all_descendants():
    module = nn.Sequential(nn.Sequential(nn.Dropout()))
    assert not module.eval()[0][0].training
    assert module.train()[0][0].training


def test_conversion_keeps_parameters_and_integers():
    module = nn.BatchNorm1d(2)
    weight, optimized = module.weight, [module.weight]
    module.weight.grad = torch.ones(2)
    module.double()
    assert module.weight is weight is optimized[0]
    assert (
        module.weight.dtype
        is module.weight.grad.dtype
        is module.running_mean.dtype
        is torch.float64
    )
    assert module.num_batches_tracked.dtype is torch.int64
    assert module.running_mean is module._buffers["running_mean"]
    for name in ("float", "half", "bfloat16"):
        getattr(module, name)()
    assert module.weight.dtype is torch.bfloat16
    assert module.to(torch.float32).weight.dtype is torch.float32
    assert module.to("cpu", torch.float64).weight.dtype is torch.float64
    assert module.to(torch.ones(1)).weight.dtype is torch.float32


def test_requires_grad_and_zero_grad():
    module = nn.Linear(2, 1)
    module(torch.ones(1, 2)).sum().backward()
    grad = module.weight.grad
    module.zero_grad(set_to_none=False)
    assert module.weight.grad is grad
    assert grad.tolist() == [[0.0, 0.0]]
    module.zero_grad()
    assert module.weight.grad is None
    assert not module.requires_grad_(False).weight.requires_grad


def test_deepcopy_and_pickle_give_a_module_of_its_own():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert other[0].weight is other[0]._parameters["weight"]
        assert other[0].weight is not module[0].weight
        assert other[1].running_mean is other[1]._buffers["running_mean"]
        assert torch.equal(other[0].weight, module[0].weight)
        assert other[0].weight.requires_grad


# ---- state_dict --------------------------------------------------------------------------------


def test_state_dict_names_and_shares_the_tensors():
    module = Twice()
    state = module.state_dict()
    assert list(state) == [
        "scale", "count", "first.weight", "first.bias", "again.weight", "again.bias"
    ]  # fmt: skip
    assert not state["scale"].requires_grad
    state["scale"].fill_(5)
    assert module.scale.tolist() == [5.0, 5.0]
    assert module.state_dict(keep_vars=True)["scale"] is module.scale
    assert next(iter(module.state_dict(prefix="p."))) == "p.scale"
    assert state._metadata["first"] == {"version": 1}


def test_load_state_dict_copies_in_place_and_says_that_all_matched():
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    weight = target.weight
    assert repr(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    assert target.weight is weight
    assert torch.equal(weight, source.weight)
    assert weight.requires_grad


def test_load_state_dict_can_assign_instead():
    source, target = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    state = source.state_dict()
    target.load_state_dict(state, assign=True)
    assert target.running_mean is state["running_mean"]
    assert target.weight.data_ptr() == source.weight.data_ptr()
    assert isinstance(target.weight, nn.Parameter)


def test_load_state_dict_tells_all_errors_at_once():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2, bias=False)))
    state = {"0.weight": torch.zeros(2, 4), "x": torch.zeros(1), "2.0.weight": 3, "2.9.y": 1}
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias". \n'
        '\tUnexpected key(s) in state_dict: "x", "2.9.y". \n'
        "\tsize mismatch for 0.weight: copying a param with shape torch.Size([2, 4]) from "
        "checkpoint, the shape in current model is torch.Size([2, 3]).\n"
        '\tWhile copying the parameter named "2.0.weight", expected torch.Tensor or Tensor-like '
        "object from checkpoint but received <class 'int'>"
    )


def test_load_state_dict_not_strict_returns_what_did_not_match():
    result = nn.Linear(1, 1).load_state_dict({"weight": torch.ones(1, 1), "x": 1}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["x"]
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['x'])"


def test_load_state_dict_wants_a_mapping():
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'int'>"):
        nn.Linear(1, 1).load_state_dict(5)


class WithExtra(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


def test_extra_state_travels_with_the_module():
    module = WithExtra()
    module.steps = 3
    state = module.state_dict()
    assert state == {"_extra_state": {"steps": 3}}
    other = WithExtra()
    other.load_state_dict(state)
    assert other.steps == 3
    with pytest.raises(RuntimeError, match=r'Missing key.*"_extra_state"'):
        other.load_state_dict({})


# ---- repr --------------------------------------------------------------------------------------


def test_repr_of_a_tree_is_pytorchs():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
        "track_running_stats=True)\n"
        "  )\n"
        ")"
    )


class TwoLines(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def extra_repr(self):
        return "a=1\nb=2"


def test_repr_with_lines_of_its_own_comes_before_the_children():
    assert repr(TwoLines()) == "TwoLines(\n  a=1\n  b=2\n  (act): ReLU()\n)"


def test_dir_leaves_out_the_indices_of_children():
    names = dir(nn.Sequential(nn.ReLU()))
    assert "0" not in names
    assert "forward" in names
