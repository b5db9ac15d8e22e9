"""Short trainings computed both by PyTorch and by us: the table behind golden.json.

`python tests/tensor/optim/cases.py`, run beside PyTorch 2.13.0, writes golden.json anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden.json")

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd-dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    "sgd-nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd-maximize": ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    "adam": ("Adam", {"lr": 0.1}),
    "adam-decay": ("Adam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1}),
    "adam-amsgrad": ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    "adamw-amsgrad": ("AdamW", {"lr": 0.1, "amsgrad": True}),
    "adam-betas": ("Adam", {"lr": 0.1, "betas": (0.0, 0.5)}),
    "adadelta": ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
    "adafactor": ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}),
    "adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 0.1}),
    "adamax": ("Adamax", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    "asgd": ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 2}),
    "nadam": ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 6e-3}),
    "nadam-decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    "radam-decoupled": ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": ("RMSprop", {"lr": 0.1, "weight_decay": 0.1}),
    "rmsprop-centered": ("RMSprop", {"centered": True, "momentum": 0.9, "maximize": True}),
    "rprop": ("Rprop", {"lr": 0.3, "etas": (0.5, 1.5), "step_sizes": (0.1, 0.4)}),
}

SCHEDULERS: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda lr, o: lr.StepLR(o, step_size=3, gamma=0.5),
    "multistep": lambda lr, o: lr.MultiStepLR(o, [2, 5, 5], gamma=0.5),
    "constant": lambda lr, o: lr.ConstantLR(o, factor=0.3, total_iters=4),
    "linear": lambda lr, o: lr.LinearLR(o, 0.2, 0.9, total_iters=6),
    "exponential": lambda lr, o: lr.ExponentialLR(o, gamma=0.9),
    "polynomial": lambda lr, o: lr.PolynomialLR(o, total_iters=7, power=2.0),
    "cosine": lambda lr, o: lr.CosineAnnealingLR(o, T_max=4, eta_min=0.01),
    "restarts": lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.01),
    "lambda": lambda lr, o: lr.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    "multiplicative": lambda lr, o: lr.MultiplicativeLR(o, lambda epoch: 1 - 0.01 * epoch),
    "cyclic": lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 3, 2, mode="triangular2"),
    "cyclic-range": lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9),
    "onecycle": lambda lr, o: lr.OneCycleLR(o, 0.1, total_steps=12),
    "onecycle-phases": lambda lr, o: lr.OneCycleLR(
        o, 0.1, epochs=3, steps_per_epoch=4, three_phase=True, anneal_strategy="linear"
    ),
    "sequential": lambda lr, o: lr.SequentialLR(
        o, [lr.LinearLR(o, 0.1, total_iters=4), lr.ExponentialLR(o, 0.9)], [4]
    ),
    "chained": lambda lr, o: lr.ChainedScheduler(
        [lr.ConstantLR(o, 0.1, 3), lr.ExponentialLR(o, 0.9)]
    ),
}


# Quasi-Newton steps down a curved valley, in float64: rounding would lead them elsewhere
LBFGS: dict[str, dict[str, Any]] = {
    "lbfgs": {"lr": 0.1, "max_iter": 7},
    "lbfgs-history": {"lr": 0.1, "history_size": 2, "max_eval": 15},
    "lbfgs-wolfe": {"line_search_fn": "strong_wolfe", "max_iter": 5},
}


def train(torch: Any, optimizer: Any, param: Any, steps: int) -> None:
    """Take steps down 0.5 * c * x ** 2 with a gradient that changes and is absent once."""
    slope = torch.tensor([1.0, -2.0, 3.0])
    for step in range(steps):

        def closure(step: int = step) -> Any:
            optimizer.zero_grad()
            loss = (slope * param * param * (0.5 + 0.1 * step)).sum()
            if step != 2:
                loss.backward()
            return loss

        optimizer.step(closure)


def trained(torch: Any, name: str) -> list[float]:
    """Return a parameter after six steps."""
    kind, settings = OPTIMIZERS[name]
    param = torch.nn.Parameter(torch.tensor([1.0, -0.5, 2.0]))
    train(torch, getattr(torch.optim, kind)([param], **settings), param, 6)
    return param.detach().tolist()


def minimised(torch: Any, name: str) -> list[float]:
    """Return Rosenbrock's parameter after three steps, and how often the loss was computed."""
    param = torch.nn.Parameter(torch.tensor([-1.5, 2.0, 0.5], dtype=torch.float64))
    optimizer = torch.optim.LBFGS([param], **LBFGS[name])

    def closure() -> Any:
        optimizer.zero_grad()
        a, b = param[:-1], param[1:]
        loss = (10 * (b - a * a) * (b - a * a) + (1 - a) * (1 - a)).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return [*param.detach().tolist(), optimizer.state[param]["func_evals"]]


def rates(torch: Any, name: str) -> list[float]:
    """Return the learning rate and the momentum after each of ten epochs."""
    param = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.5)
    scheduler = SCHEDULERS[name](torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(10):
        optimizer.step()
        scheduler.step()
        found += [scheduler.get_last_lr()[0], optimizer.param_groups[0]["momentum"]]
    return found


def _write() -> None:
    import torch

    golden = {name: trained(torch, name) for name in OPTIMIZERS}
    golden |= {name: minimised(torch, name) for name in LBFGS}
    golden |= {name: rates(torch, name) for name in SCHEDULERS}
    lines = ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in golden.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    _write()
