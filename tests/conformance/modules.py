"""PyTorch's module database against ours: every module, in training and in evaluation.

Each module of `module_db` is built on both libraries with the same arguments and seed. Right is a
module whose repr, parameters, buffers and state_dict agree, whose results and gradients (of inputs
and of parameters) agree for every sample, which survives copying and pickling, and which raises
PyTorch's errors for what the database calls wrong.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from functools import partial
from typing import Any

import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

import elastic.tensor as ours
from elastic.tensor import nn
from tests.conformance.bridge import mapped, tensors_in, to_ours, to_torch
from tests.conformance.operators import Verdict, detached, same_gradient, tolerance


def names() -> list[str]:
    """The modules of the database."""
    return sorted(comparable())


def comparable() -> dict[str, Any]:
    """The entries of the database by the name of the module."""
    return {entry.name: entry for entry in module_db}


def examine(name: str) -> Verdict:
    """Compare one module on all its samples and on its wrong inputs."""
    entry, verdict = comparable()[name], Verdict(name)
    our_class = getattr(nn, name.removeprefix("nn."), None)
    if our_class is None:
        verdict.missing = True
        return verdict
    for training in (True, False):
        for k, sample in enumerate(samples(entry, training)):
            mode = "training" if training else "evaluation"
            what = f"{name} {mode} {k} ({sample.desc}) {sample.constructor_input}"
            verdict.note(what, partial(compare, entry.module_cls, our_class, sample, training))
    for k, wrong in enumerate(wrong_inputs(entry)):
        check = partial(compare_errors, entry.module_cls, our_class, wrong)
        verdict.note(f"{name} wrong input {k}", check)
    return verdict


def samples(entry: Any, training: bool) -> list:
    """The inputs of the constructor and of forward that the database has."""
    torch.manual_seed(0)
    return entry.module_inputs_func(
        entry, device="cpu", dtype=torch.float32, requires_grad=True, training=training
    )


def wrong_inputs(entry: Any) -> list:
    """The inputs for which the database expects an error."""
    if entry.module_error_inputs_func is None:
        return []
    torch.manual_seed(0)
    return entry.module_error_inputs_func(
        entry, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    )


def translated(value: Any) -> Any:
    """An argument of PyTorch as one of ours: also modules and functions of nn.functional."""
    if isinstance(value, torch.nn.Module):
        return twin_of(value)
    if isinstance(value, (list, tuple)):
        return type(value)([translated(each) for each in value])
    if isinstance(value, dict):
        return {name: translated(each) for name, each in value.items()}
    if callable(value) and not isinstance(value, (torch.Tensor, type)):
        return getattr(nn.functional, getattr(value, "__name__", ""), value)
    return to_ours(value)


def cut(value: Any) -> Any:
    """`value` with every tensor as a leaf of its own: the database also gives one tensor twice."""
    if isinstance(value, torch.Tensor) and value.requires_grad:
        return value.detach().requires_grad_()
    return mapped(cut, value)


def twin_of(module: torch.nn.Module) -> nn.Module:
    """Our module of the same class, with the same settings and copies of its tensors."""
    name = type(module).__name__
    kind = getattr(nn, name, None) or getattr(nn.linear, name)
    twin = kind.__new__(kind)
    nn.Module.__init__(twin)
    for name, value in vars(module).items():
        if name not in vars(torch.nn.Module()):
            setattr(twin, name, translated(value))
    for name, each in module._parameters.items():
        value = None if each is None else nn.Parameter(to_ours(each.detach()), each.requires_grad)
        twin.register_parameter(name, value)
    for name, each in module._modules.items():
        twin.add_module(name, twin_of(each))
    return twin


def built(kind: Any, library: Any, args: tuple, kwargs: dict, training: bool) -> Any:
    """A module made from seed 0."""
    library.manual_seed(0)
    return kind(*args, **kwargs).train(training)


def compare(theirs: Any, our_class: Any, sample: Any, training: bool) -> None:
    """One sample on both. Raises: whatever ours raised, or AssertionError when they differ."""
    given, inputs = sample.constructor_input, sample.forward_input
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args, kwargs = translated(tuple(given.args)), translated(given.kwargs)
        expected = built(theirs, torch, given.args, given.kwargs, training)
        got = built(our_class, ours, args, kwargs, training)
        same_state(got, expected, initialised="Lazy" not in our_class.__name__)
        if inputs is None:
            return
        their_args, their_kwargs = cut(tuple(inputs.args)), cut(inputs.kwargs)
        forward_args, forward_kwargs = translated(their_args), translated(their_kwargs)
        first = copies(got)
        if not runs(expected, their_args, their_kwargs):
            return  # the sample is made for another dtype
        same_results((expected, their_args, their_kwargs), (got, forward_args, forward_kwargs))
        same_state(got, expected)
        for name, module in first.items():
            ours.manual_seed(1)
            result = module(*forward_args, **forward_kwargs)
            assert tensors_in(result), f"no result after {name}"


def runs(module: torch.nn.Module, args: tuple, kwargs: dict) -> bool:
    """Whether PyTorch takes these inputs; the module is not changed."""
    try:
        copy.deepcopy(module)(*args, **kwargs)
    except RuntimeError:
        return False
    return True


def copies(module: nn.Module) -> dict[str, nn.Module]:
    """The module, copied and pickled."""
    return {"deepcopy": copy.deepcopy(module), "pickle": pickle.loads(pickle.dumps(module))}


def same_state(got: nn.Module, expected: torch.nn.Module, initialised: bool = True) -> None:
    """Same repr, names and values of parameters and buffers, in the same order."""
    assert repr(got) == repr(expected), f"repr {got!r}, not {expected!r}"
    assert list(got.state_dict()) == list(expected.state_dict()), (
        f"state_dict {list(got.state_dict())}, not {list(expected.state_dict())}"
    )
    for kind in ("named_parameters", "named_buffers"):
        mine, theirs = dict(getattr(got, kind)()), dict(getattr(expected, kind)())
        assert list(mine) == list(theirs), f"{kind} {list(mine)}, not {list(theirs)}"
        for name in mine if initialised else ():
            assert mine[name].requires_grad == theirs[name].requires_grad, name
            torch.testing.assert_close(
                to_torch(mine[name]),
                theirs[name].detach(),
                rtol=2e-6,
                atol=1e-6,
                equal_nan=True,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def same_results(theirs: tuple, mine: tuple) -> None:
    """Same results and gradients of all inputs and parameters."""
    torch.manual_seed(1)
    expected = theirs[0](*theirs[1], **theirs[2])
    ours.manual_seed(1)
    got = mine[0](*mine[1], **mine[2])
    pairs = list(zip(tensors_in(got), tensors_in(expected), strict=True))
    for a, b in pairs:
        close(to_torch(a), detached(b))
    pairs = [(a, b) for a, b in pairs if a.requires_grad or b.requires_grad]
    if not pairs:
        return
    for a, b in pairs:
        assert a.requires_grad == b.requires_grad, f"requires_grad is {a.requires_grad}"
    leaves = [t for t in tensors_in(theirs[1:]) if t.requires_grad] + [*theirs[0].parameters()]
    my_leaves = [t for t in tensors_in(mine[1:]) if t.requires_grad] + [*mine[0].parameters()]
    trained = [k for k, t in enumerate(leaves) if t.requires_grad]
    generator = torch.Generator().manual_seed(3)
    seeds = [torch.randn(b.shape, generator=generator, dtype=b.dtype) for _, b in pairs]
    wanted = torch.autograd.grad(
        [b for _, b in pairs], [leaves[k] for k in trained], seeds, allow_unused=True
    )
    found = ours.autograd.grad(
        [a for a, _ in pairs], [my_leaves[k] for k in trained], to_ours(seeds), allow_unused=True
    )
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        same_gradient(f"gradient {k}", leaves[trained[k]].detach(), a, b)


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    """Same dtype, shape and values."""
    assert got.dtype == expected.dtype, f"dtype {got.dtype}, not {expected.dtype}"
    assert got.shape == expected.shape, f"shape {got.shape}, not {expected.shape}"
    torch.testing.assert_close(got, expected, equal_nan=True, **tolerance(got.dtype))


def compare_errors(theirs: Any, our_class: Any, wrong: Any) -> None:
    """Both raise the same error, at construction or in forward."""
    sample = wrong.module_error_input
    given, inputs = sample.constructor_input, sample.forward_input
    in_forward = wrong.error_on == ModuleErrorEnum.FORWARD_ERROR

    def attempt(kind: Any, library: Any, change: Any) -> Exception | None:
        try:
            module = built(kind, library, change(tuple(given.args)), change(given.kwargs), True)
            if in_forward:
                module(*change(tuple(inputs.args)), **change(inputs.kwargs))
        except Exception as error:  # noqa: BLE001
            return error
        return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = attempt(theirs, torch, lambda value: value)
        got = attempt(our_class, ours, translated)
    mine, theirs = ((type(each).__name__, str(each)) for each in (got, expected))
    assert mine == theirs, f"{mine}\n    not {theirs}"
