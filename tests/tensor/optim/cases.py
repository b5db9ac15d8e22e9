"""Short trainings computed both by PyTorch and by us: the table behind golden.json.

`python tests/tensor/optim/cases.py`, run beside PyTorch 2.13.0, writes golden.json anew.
"""

from __future__ import annotations

import json
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
}

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.01}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (epoch + 1)}),
}


def train(torch: Any, optimizer: Any, param: Any, steps: int) -> None:
    """Take steps down 0.5 * c * x ** 2 with a gradient that changes and is absent once."""
    slope = torch.tensor([1.0, -2.0, 3.0])
    for step in range(steps):
        optimizer.zero_grad()
        if step != 2:
            (slope * param * param * (0.5 + 0.1 * step)).sum().backward()
        optimizer.step()


def trained(torch: Any, name: str) -> list[float]:
    """Return a parameter after six steps."""
    kind, settings = OPTIMIZERS[name]
    param = torch.nn.Parameter(torch.tensor([1.0, -0.5, 2.0]))
    train(torch, getattr(torch.optim, kind)([param], **settings), param, 6)
    return param.detach().tolist()


def rates(torch: Any, name: str) -> list[float]:
    """Return the learning rates of ten epochs."""
    kind, settings = SCHEDULERS[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **settings)
    found = []
    for _ in range(10):
        optimizer.step()
        scheduler.step()
        found.append(scheduler.get_last_lr()[0])
    return found


def _write() -> None:
    import torch

    golden = {name: trained(torch, name) for name in OPTIMIZERS}
    golden |= {name: rates(torch, name) for name in SCHEDULERS}
    lines = ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in golden.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    _write()
