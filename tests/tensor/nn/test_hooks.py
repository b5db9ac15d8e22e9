"""Hooks of modules: order, arguments and replacements, as in PyTorch 2.13.0."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.tensor import nn


class Double(nn.Module):
    def forward(self, x, *, plus=0.0):
        return x * 2 + plus


class Fails(nn.Module):
    def forward(self, x, **options):
        raise ValueError("in forward")


def test_forward_hooks_see_and_replace_arguments_and_output():
    module, log = Double(), []
    module.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    module.register_forward_hook(lambda m, args, out: log.append((args[0].item(), out.item())))
    module.register_forward_hook(lambda m, args, out: out * 10)
    assert module(torch.tensor(1.0)).item() == 40.0
    assert log == [(2.0, 4.0)]


def test_a_pre_hook_may_return_a_single_value():
    module = Double()
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    assert module(torch.tensor(1.0)).item() == 4.0


def test_hooks_with_kwargs_see_and_replace_them():
    module, seen = Double(), []
    module.register_forward_pre_hook(lambda m, a, k: (a, {"plus": 5.0}), with_kwargs=True)
    module.register_forward_hook(lambda m, a, k, out: seen.append(k), with_kwargs=True)
    assert module(torch.tensor(1.0), plus=1.0).item() == 7.0
    assert seen == [{"plus": 5.0}]


def test_a_pre_hook_with_kwargs_must_return_a_pair():
    module = Double()
    module.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(
        RuntimeError, match=r"None or a tuple of \(new_args, new_kwargs\), but got 3"
    ):
        module(torch.tensor(1.0))


def test_prepend_puts_a_hook_first():
    module, log = Double(), []
    module.register_forward_hook(lambda *_: log.append("second"))
    module.register_forward_hook(lambda *_: log.append("first"), prepend=True)
    module(torch.tensor(1.0))
    assert log == ["first", "second"]


def test_a_removed_hook_is_not_called():
    module, log = Double(), []
    with module.register_forward_hook(lambda *_: log.append("with")):
        module(torch.tensor(1.0))
    handle = module.register_forward_hook(lambda *_: log.append("handle"))
    handle.remove()
    handle.remove()
    module(torch.tensor(1.0))
    assert log == ["with"]


def test_hooks_that_are_always_called_see_the_failure_of_forward():
    module, log = Fails(), []
    module.register_forward_hook(lambda *_: log.append("never"))
    module.register_forward_hook(
        lambda m, a, k, out: log.append((k, out)), with_kwargs=True, always_call=True
    )
    with pytest.raises(ValueError, match="in forward"):
        module(1, b=2)
    assert log == [({"b": 2}, None)]


def test_a_failing_hook_does_not_hide_the_failure_of_forward():
    module = Fails()
    module.register_forward_hook(lambda *_: 1 / 0, always_call=True)
    with (
        pytest.warns(UserWarning, match="silenced as another error was raised in forward"),
        pytest.raises(ValueError, match="in forward"),
    ):
        module(1)


def _grads(values):
    return [None if value is None else value.tolist() for value in values]


def test_backward_hooks_see_and_replace_gradients():
    module, log = Double(), []
    module.register_full_backward_pre_hook(lambda m, out: (out[0] * 3,))
    module.register_full_backward_hook(lambda m, into, out: log.append((_grads(into), _grads(out))))
    module.register_full_backward_hook(lambda m, into, out: (into[0] * 10,))
    x = torch.ones(2, requires_grad=True)
    module(x).sum().backward()
    assert log == [([[6.0, 6.0]], [[3.0, 3.0]])]
    assert x.grad.tolist() == [60.0, 60.0]


def test_backward_hook_of_a_module_whose_inputs_want_no_gradient():
    module, log = nn.Linear(1, 1), []
    module.register_full_backward_hook(lambda m, into, out: log.append((into, _grads(out))))
    module(torch.ones(1, 1)).sum().backward()
    assert log == [((None,), [[[1.0]]])]


class Swap(nn.Module):
    def forward(self, a, scale, b):
        return b * scale, a


def test_backward_hook_of_several_inputs_and_outputs():
    module, log = Swap(), []
    module.register_full_backward_hook(lambda m, into, out: log.append((_grads(into), _grads(out))))
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    first, second = module(a, 2, b)
    (first * 3 + second * 5).sum().backward()
    assert log == [([[5.0], None, [6.0]], [[3.0], [5.0]])]


def test_backward_hook_must_return_as_many_gradients_as_there_are_inputs():
    module = Double()
    module.register_full_backward_hook(lambda *_: (1, 2))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        module(torch.ones(1, requires_grad=True)).sum().backward()


def test_a_module_without_hooks_calls_forward_alone():
    module = Double()
    handle = module.register_forward_hook(lambda *_: None)
    handle.remove()
    assert not module._hooks


# ---- hooks of all modules, of registration and of state_dict ------------------------------------


def test_hooks_of_all_modules_run_until_they_are_removed():
    from elastic.tensor.nn.modules.module import (
        register_module_forward_hook,
        register_module_forward_pre_hook,
        register_module_full_backward_hook,
    )

    seen = []
    handles = [
        register_module_forward_pre_hook(lambda m, args: seen.append("before")),
        register_module_forward_hook(lambda m, args, out: seen.append("after")),
        register_module_full_backward_hook(lambda m, given, out: seen.append("backward")),
    ]
    layer = nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    for handle in handles:
        handle.remove()
    layer(torch.ones(1, 2)).sum().backward()
    assert seen == ["before", "after", "backward"]


def test_a_hook_of_registration_may_replace_what_is_registered():
    from elastic.tensor.nn.modules.module import register_module_parameter_registration_hook

    handle = register_module_parameter_registration_hook(
        lambda module, name, value: nn.Parameter(value.detach() * 0) if name == "bias" else None
    )
    layer = nn.Module()
    layer.bias = nn.Parameter(torch.ones(2))
    layer.weight = nn.Parameter(torch.ones(2))
    handle.remove()
    assert layer.bias.tolist() == [0.0, 0.0]
    assert layer.weight.tolist() == [1.0, 1.0]


def test_an_old_backward_hook_sees_the_gradients_of_the_last_node():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    seen = []
    layer.register_backward_hook(lambda module, given, out: seen.append((len(given), len(out))))
    layer(torch.ones(1, 2)).sum().backward()
    assert seen == [(1, 1)]
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks"):
        layer.register_full_backward_hook(lambda module, given, out: None)


def test_hooks_of_state_dict_run_in_order_and_may_change_it():
    layer = nn.Linear(1, 1)
    seen = []
    layer.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append("save_pre"))
    layer.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop(prefix + "bias"))
    layer._register_state_dict_hook(lambda m, state, prefix, meta: {"own": 1, **state})
    layer.register_load_state_dict_pre_hook(
        lambda m, state, prefix, *rest: state.setdefault(prefix + "bias", torch.ones(1))
    )
    layer.register_load_state_dict_post_hook(lambda m, keys: seen.append("load_post"))
    with pytest.raises(RuntimeError, match="post-hook must return None"):
        layer.state_dict()
    layer._state_hooks.pop(next(k for k, h in layer._state_hooks.items() if h.kind == "save_post"))
    assert list(layer.state_dict()) == ["own", "weight", "bias"]
    layer.load_state_dict({"weight": torch.zeros(1, 1)})
    assert layer.bias.item() == 1.0
    assert seen == ["save_pre", "save_pre", "load_post"]
