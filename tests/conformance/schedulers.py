"""PyTorch's learning rate schedules against ours: rates, momenta, groups and state_dicts.

PyTorch has no database of them; the cases are here. Right is a schedule that gives the same bits
after each of twenty steps, for rates that are numbers and tensors, on SGD and Adam, also when it
jumps to an epoch or goes on from a state_dict of the other library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import elastic.tensor as ours
from tests.conformance.bridge import to_ours, to_torch
from tests.conformance.verdict import Verdict

STEPS = 20

CASES: dict[str, list[Callable[[Any, Any], Any]]] = {
    "LambdaLR": [lambda lr, o: lr.LambdaLR(o, [lambda epoch: 1 / (epoch + 1)] * 2)],
    "MultiplicativeLR": [lambda lr, o: lr.MultiplicativeLR(o, lambda epoch: 0.95)],
    "StepLR": [lambda lr, o: lr.StepLR(o, 3, 0.5)],
    "MultiStepLR": [lambda lr, o: lr.MultiStepLR(o, [2, 5, 5], 0.5)],
    "ConstantLR": [lambda lr, o: lr.ConstantLR(o, 0.3, 4)],
    "LinearLR": [lambda lr, o: lr.LinearLR(o, 0.2, 0.9, 6)],
    "ExponentialLR": [lambda lr, o: lr.ExponentialLR(o, 0.9)],
    "PolynomialLR": [lambda lr, o: lr.PolynomialLR(o, 7, 2.0)],
    "CosineAnnealingLR": [lambda lr, o: lr.CosineAnnealingLR(o, 4, 0.01)],
    "CosineAnnealingWarmRestarts": [
        lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 3),
        lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    ],
    "CyclicLR": [
        lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 3),
        lambda lr, o: lr.CyclicLR(o, [0.01, 0.02], [0.1, 0.2], 3, 2, mode="triangular2"),
        lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9),
        lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 3, 2, cycle_momentum=False),
        lambda lr, o: lr.CyclicLR(
            o, 0.01, 0.1, 3, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"
        ),
    ],
    "OneCycleLR": [
        lambda lr, o: lr.OneCycleLR(o, 0.1, 30),
        lambda lr, o: lr.OneCycleLR(
            o,
            [0.1, 0.2],
            epochs=6,
            steps_per_epoch=5,
            three_phase=True,
            anneal_strategy="linear",
        ),
    ],
    "SequentialLR": [
        lambda lr, o: lr.SequentialLR(
            o, [lr.LinearLR(o, 0.1, total_iters=4), lr.CosineAnnealingLR(o, 4)], [4]
        ),
        lambda lr, o: lr.SequentialLR(
            o, [lr.ChainedScheduler([lr.ConstantLR(o, 0.1, 3)]), lr.StepLR(o, 2)], [5]
        ),
    ],
    "ChainedScheduler": [
        lambda lr, o: lr.ChainedScheduler([lr.ConstantLR(o, 0.1, 3), lr.ExponentialLR(o, 0.9)])
    ],
    "ReduceLROnPlateau": [
        lambda lr, o: lr.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1, min_lr=0.01),
        lambda lr, o: lr.ReduceLROnPlateau(o, "max", patience=2, threshold_mode="abs"),
    ],
    "SWALR": [
        lambda lr, o: lr.SWALR(o, [0.05, 0.02], 4),
        lambda lr, o: lr.SWALR(o, 0.05, 0, "linear"),
    ],
}
COMPOSED = ("SequentialLR", "ChainedScheduler")


def names() -> list[str]:
    """The schedules."""
    return sorted(CASES)


def examine(name: str) -> Verdict:
    """Compare one schedule in all its cases."""
    verdict = Verdict(name)
    jumps = (False, True) if name not in (*COMPOSED, "ReduceLROnPlateau") else (False,)
    for k, make in enumerate(CASES[name]):
        for kind, tensor, jump in itertools.product(("SGD", "Adam"), (False, True), jumps):
            what = f"{name} case {k} of {kind}, tensor={tensor}, jump={jump}"
            verdict.note(what, partial(compare, name, make, kind, tensor, jump))
    return verdict


def compare(name: str, make: Callable, kind: str, tensor: bool, jump: bool) -> None:
    """Raises: AssertionError where the libraries differ."""
    pairs = [begin(library, make, kind, tensor) for library in (torch, ours)]
    for k in range(STEPS):
        found = [advance(name, *pair, k, jump) for pair in pairs]
        assert found[1] == found[0], f"step {k}: {found[1]}, not {found[0]}"
    states = [plain(schedule.state_dict()) for _, schedule in pairs]
    assert states[1] == states[0], f"{states[1]}, not {states[0]}"
    exchange(name, make, kind, tensor, pairs)


def begin(library: Any, make: Callable, kind: str, tensor: bool) -> tuple[Any, Any]:
    """An optimizer of two groups and its schedule."""
    rates = [library.tensor(rate) if tensor else rate for rate in (0.1, 0.2)]
    groups = [{"params": [library.nn.Parameter(library.ones(2))], "lr": rate} for rate in rates]
    optimizer = getattr(library.optim, kind)(groups)
    return optimizer, make(_Both(library.optim), optimizer)


class _Both:
    """The schedules of both modules in one."""

    def __init__(self, optim: Any):
        self.modules = optim.lr_scheduler, optim.swa_utils

    def __getattr__(self, name: str) -> Any:
        return next(getattr(m, name) for m in self.modules if hasattr(m, name))


def advance(name: str, optimizer: Any, schedule: Any, k: int, jump: bool) -> list[float]:
    """The rates and momenta after one step."""
    optimizer.step()
    if name == "ReduceLROnPlateau":
        schedule.step(1.0 / (1 + k) if k % 7 < 3 else 0.5)
    else:
        schedule.step(*[3] if jump and k == 7 else [])
    groups = optimizer.param_groups
    momenta = [g["momentum"] if "momentum" in g else g["betas"][0] for g in groups]
    return [float(rate) for rate in schedule.get_last_lr()] + [float(m) for m in momenta]


def plain(value: Any) -> Any:
    """A state with its tensors as numbers."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value.item() if hasattr(value, "item") else value


def exchange(name: str, make: Callable, kind: str, tensor: bool, pairs: list) -> None:
    """Each goes on from the other's state_dicts."""
    others = [begin(library, make, kind, tensor) for library in (torch, ours)]
    crossed = zip(others, reversed(pairs), (to_torch, to_ours), strict=True)
    for (optimizer, schedule), (from_optimizer, from_schedule), convert in crossed:
        schedule.load_state_dict(convert(from_schedule.state_dict()))
        optimizer.load_state_dict(convert(from_optimizer.state_dict()))
    for k in range(3):
        found = [advance(name, *pair, k, False) for pair in others]
        assert found[1] == found[0], f"after exchange, step {k}: {found[1]}, not {found[0]}"
