"""Containers: they behave like lists and dicts, and register what they hold."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import elastic.tensor as torch
from elastic.tensor import nn


def kinds(container):
    return [type(module).__name__ for module in container]


def test_sequential_chains_its_modules():
    chain = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x = torch.ones(1, 2)
    assert torch.equal(chain(x), chain[1](chain[0](x)))
    assert [n for n, _ in chain.named_parameters()] == ["0.weight", "0.bias"]


def test_sequential_takes_names():
    chain = nn.Sequential(OrderedDict(hidden=nn.Tanh(), out=nn.ReLU()))
    assert kinds([chain.hidden, chain[1]]) == ["Tanh", "ReLU"]
    assert list(chain[1:]._modules) == ["out"]


@pytest.mark.parametrize("make", [lambda *m: nn.Sequential(*m), lambda *m: nn.ModuleList(m)])
def test_sequences_behave_like_lists(make):
    held = make(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(held) == 3
    assert kinds([held[-1]]) == ["Sigmoid"]
    held.insert(1, nn.GELU())
    assert kinds(held) == ["ReLU", "GELU", "Tanh", "Sigmoid"]
    del held[0]
    assert list(held._modules) == ["0", "1", "2"]
    assert kinds([held.pop(0)]) == ["GELU"]
    held[0] = nn.SiLU()
    held += [nn.Mish()]
    held.append(nn.ReLU()).extend([nn.ReLU()])
    assert kinds(held) == ["SiLU", "Sigmoid", "Mish", "ReLU", "ReLU"]
    assert kinds(held[1:3]) == ["Sigmoid", "Mish"]
    del held[1:]
    assert kinds(held + make(nn.Tanh())) == ["SiLU", "Tanh"]
    assert kinds(held) == ["SiLU"]
    assert type(held[:0]) is type(held)


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_out_of_range_is_an_error(index):
    with pytest.raises(IndexError, match=f"index {index} is out of range"):
        nn.ModuleList([nn.ReLU(), nn.ReLU()])[index]


def test_module_list_prints_runs_of_equal_modules_once():
    assert repr(nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()])) == (
        "ModuleList(\n"
        "  (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)\n"
        "  (2): ReLU()\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict_behaves_like_a_dict():
    held = nn.ModuleDict({"a": nn.ReLU()})
    held["b"] = nn.Linear(1, 1)
    held.update([("c", nn.Tanh())])
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert kinds(held.values()) == ["ReLU", "Linear", "Tanh"]
    assert [n for n, _ in held.named_parameters()] == ["b.weight", "b.bias"]
    assert kinds([held.pop("a")]) == ["ReLU"]
    assert "a" not in held
    assert len(held) == 2
    assert [name for name, _ in held.items()] == ["b", "c"]
    held.clear()
    assert len(held) == 0


def test_parameter_list_registers_tensors_only():
    held = nn.ParameterList([torch.zeros(2, 3), nn.Parameter(torch.zeros(3)), 5])
    assert [n for n, _ in held.named_parameters()] == ["0", "1"]
    assert held[2] == 5
    held[2] = torch.ones(1)
    held += [torch.ones(4)]
    assert [list(value.shape) for value in held] == [[2, 3], [3], [1], [4]]
    assert all(isinstance(value, nn.Parameter) for value in held[1:])
    with pytest.raises(IndexError, match="index 9 is out of range"):
        held[9]


def test_parameter_list_prints_what_it_holds():
    assert repr(nn.ParameterList([torch.zeros(2, 3), 5])) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Object of type: int\n"
        ")"
    )


def test_parameter_dict_registers_tensors_only():
    held = nn.ParameterDict({"a": torch.zeros(2), "b": 3})
    held["c"] = torch.ones(1)
    assert [n for n, _ in held.named_parameters()] == ["a", "c"]
    del held["c"]
    assert "c" not in held
    assert len(held) == 2
    assert list(held) == list(held.keys()) == ["a", "b"]
    assert held.values()[1] == 3
    assert held.items()[1] == ("b", 3)
    assert repr(nn.ParameterDict({"a": torch.zeros(2)})) == (
        "ParameterDict(  (a): Parameter containing: [torch.FloatTensor of size 2])"
    )


def test_a_sequential_can_be_repeated():
    chain = nn.Sequential(nn.Identity(), nn.ReLU())
    assert [type(m).__name__ for m in 2 * chain] == ["Identity", "ReLU"] * 2
    chain *= 2
    assert len(chain) == 4
    with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
        chain * 0
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*"):
        chain * 1.5


def test_a_parameter_dict_is_a_dict():
    values = nn.ParameterDict({"b": torch.ones(1), "a": 3})
    assert list(values) == ["a", "b"]
    assert list(reversed(values)) == ["b", "a"]
    assert values.get("c", 7) == 7
    assert values.setdefault("c", 5) == 5
    assert values.popitem() == ("c", 5)
    assert list(values | {"d": 1}) == ["a", "b", "d"]
    assert list({"d": 1} | values) == ["d", "a", "b"]
    values |= {"e": 2}
    assert values.pop("e") == 2
    assert values.fromkeys("xy", 0)["y"] == 0
    values.clear()
    assert len(values) == 0
    with pytest.raises(TypeError, match="as it is not a string"):
        values[1] = 2
