"""PyTorch's optimizer database against ours: every setting, twenty steps, state_dicts both ways.

Each input of each optimizer (`optim_db` of torch.testing) trains the same small model from the
same values on both libraries. Right is an optimizer whose parameters and state agree after twenty
steps, for float32 and float64, that goes on equally after the state_dicts have been exchanged, and
that refuses what PyTorch refuses, with the same error and text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.testing._internal.common_optimizers import (
    OptimizerErrorEnum,
    OptimizerInput,
    optim_db,
)

import elastic.tensor as ours
from tests.conformance.bridge import to_ours, to_torch
from tests.conformance.verdict import Verdict

STEPS = 20
DTYPES = (torch.float32, torch.float64)
IMPLEMENTATIONS: tuple[dict[str, Any], ...] = ({}, {"foreach": True}, {"fused": True})
SHAPES = ((4, 3), (4,), (2, 4), (2,))
MATRICES = ((4, 3), (2, 4))  # Muon takes no others


def names() -> list[str]:
    """The optimizers of the database."""
    return sorted(comparable())


def comparable() -> dict[str, Any]:
    """The entries of the database by the name of the optimizer."""
    return {info.name: info for info in optim_db}


def examine(name: str) -> Verdict:
    """Compare one optimizer on all its inputs, and on what it refuses."""
    info, verdict = comparable()[name], Verdict(name)
    kind = getattr(ours.optim, name, None)
    if kind is None:
        verdict.missing = True
        return verdict
    for dtype in DTYPES:
        for given in info.optim_inputs_func("cpu", dtype):
            for flags in IMPLEMENTATIONS:
                if set(flags) <= set(info.supported_impls):
                    wanted = {**given.kwargs, **flags}
                    what = f"{name} {dtype} {given.desc} {wanted}"
                    verdict.note(what, partial(compare, info, kind, dtype, wanted))
    for refused in info.optim_error_inputs_func("cpu", torch.float32):
        what = f"{name} refuses: {refused.optimizer_error_input.desc}"
        verdict.note(what, partial(compare_error, info, kind, refused))
    return verdict


def leaves(info: Any, dtype: torch.dtype) -> list[torch.nn.Parameter]:
    """Parameters with values that are the same at each call."""
    generator = torch.Generator().manual_seed(5)
    shapes = MATRICES if info.name == "Muon" else SHAPES
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [torch.nn.Parameter(each.to(dtype)) for each in drawn]


def twins(info: Any, dtype: torch.dtype) -> tuple[list, list]:
    """The same parameters in both libraries."""
    theirs = leaves(info, dtype)
    return theirs, [ours.nn.Parameter(to_ours(each.detach())) for each in theirs]


def loss_of(library: Any, params: list) -> Any:
    """A loss that is no sum over the elements, with gradients of both signs."""
    total = 0
    for k, param in enumerate(params):
        scale = library.arange(1, param.numel() + 1, dtype=param.dtype).reshape(param.shape)
        bowl = (param - 0.3 * (k + 1)) * scale
        total = total + (bowl * bowl).sum() + 0.1 * library.sin(3 * param).sum()
    return total


def advance(library: Any, optimizer: Any, params: list, steps: int, sparse: bool = False) -> None:
    """Take steps, with a closure, the first parameter without a gradient in the third of them."""
    count = iter(range(10**6))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(library, params)
        loss.backward()
        if sparse:
            for param in params:
                param.grad = param.grad.to_sparse()
        if next(count) == 2 and len(params) > 2:
            params[0].grad = None
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def compare(info: Any, kind: type, dtype: torch.dtype, kwargs: dict[str, Any]) -> None:
    """Train on both, compare, exchange the state_dicts, train on and compare again."""
    theirs, mine = twins(info, dtype)
    # LBFGS takes twenty steps in one; with rounding it may find another of several minima.
    steps = STEPS if info.name != "LBFGS" else 5 if dtype is torch.float64 else 1
    optimizers = [info.optim_cls(theirs, **kwargs), kind(mine, **to_ours(kwargs))]
    sparse = info.only_supports_sparse_grads
    advance(torch, optimizers[0], theirs, steps, sparse)
    advance(ours, optimizers[1], mine, steps, sparse)
    same(theirs, mine, *optimizers)
    exchanged = [info.optim_cls(theirs, **kwargs), kind(mine, **to_ours(kwargs))]
    exchanged[0].load_state_dict(to_torch(optimizers[1].state_dict()))
    exchanged[1].load_state_dict(to_ours(optimizers[0].state_dict()))
    for a, b in zip(theirs, mine, strict=True):
        b.data.copy_(to_ours(a.detach()))
    advance(torch, exchanged[0], theirs, min(steps, 3), sparse)
    advance(ours, exchanged[1], mine, min(steps, 3), sparse)
    same(theirs, mine, *exchanged)


def same(theirs: list, mine: list, optimizer: Any, own: Any) -> None:
    """Raises: AssertionError when parameters, state_dicts or reprs differ."""
    precise = theirs[0].dtype == torch.float64
    # Even then PyTorch's foreach keeps the rates of ASGD in float32.
    near = {"rtol": 1e-6 if precise else 1e-4, "atol": 1e-8 if precise else 1e-5}
    searches = type(own).__name__ == "LBFGS" and not precise  # where rounding is what is left
    near = {"rtol": 1e-2, "atol": 1e-3} if searches else near
    for k, (a, b) in enumerate(zip(theirs, mine, strict=True)):
        torch.testing.assert_close(to_torch(b.detach()), a.detach(), msg=f"parameter {k}", **near)
    wanted, got = optimizer.state_dict(), to_torch(own.state_dict())
    assert got["state"].keys() == wanted["state"].keys(), "states of other parameters"
    for i, state in wanted["state"].items():
        if searches:
            continue
        assert got["state"][i].keys() == state.keys(), f"{[*got['state'][i]]}, not {[*state]}"
        for name, value in state.items():
            same_value(name, got["state"][i][name], value, near)
    for a, b in zip(got["param_groups"], wanted["param_groups"], strict=True):
        assert a == b, f"{a} is not {b}"
    assert repr(own) == repr(optimizer), f"{own!r} is not {optimizer!r}"


def same_value(name: str, got: Any, wanted: Any, near: dict[str, float]) -> None:
    """One entry of a state: a tensor, a number or a list of them."""
    if isinstance(wanted, list):
        for a, b in zip(got, wanted, strict=True):
            same_value(name, a, b, near)
    elif wanted is None:
        assert got is None, name
    else:
        a, b = (torch.as_tensor(each) for each in (got, wanted))
        if isinstance(wanted, torch.Tensor) and isinstance(got, torch.Tensor):
            assert a.dtype == b.dtype, f"{name} has dtype {a.dtype}, not {b.dtype}"
        wide = {"rtol": 50 * near["rtol"], "atol": 50 * near["atol"]}
        torch.testing.assert_close(a.double(), b.double(), msg=f"{name}: {a}, not {b}", **wide)


def compare_error(info: Any, kind: type, refused: Any) -> None:
    """Ours raises, or warns, what PyTorch is told to raise, in the same words."""
    given: OptimizerInput = refused.optimizer_error_input
    params = leaves(info, torch.float32) if given.params is None else given.params
    raised = [
        outcome(make, refused)
        for make in (
            lambda: info.optim_cls(params, **given.kwargs),
            lambda: kind(as_ours(params), **to_ours(given.kwargs)),
        )
    ]
    assert type(raised[1]) is type(raised[0]), f"{raised[1]!r} is not {raised[0]!r}"
    assert re.search(refused.error_regex, str(raised[1])), f"{raised[1]} is not {raised[0]}"
    assert str(raised[1]) == str(raised[0]), f"{raised[1]} is not {raised[0]}"


def as_ours(params: Any) -> Any:
    """Parameters of PyTorch as ours: one twin for each, with its gradient."""
    known: dict[int, Any] = {}

    def twin(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in known:
                known[id(value)] = to_ours(value.detach()).requires_grad_(value.requires_grad)
                if value.grad is not None:
                    known[id(value)].grad = to_ours(value.grad)
            return known[id(value)]
        if isinstance(value, dict):
            return {name: twin(each) for name, each in value.items()}
        return type(value)(map(twin, value)) if isinstance(value, (list, tuple)) else value

    return twin(params)


def outcome(make: Callable[[], Any], refused: Any) -> Exception | None:
    """What making the optimizer, or its first step, raises or warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            optimizer = make()
            if refused.error_on == OptimizerErrorEnum.STEP_ERROR:
                optimizer.step()
        except (Exception, UserWarning) as error:  # noqa: BLE001
            return error
    return None
