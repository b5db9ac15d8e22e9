"""PyTorch's `autograd` namespace."""

from __future__ import annotations

import importlib
from typing import Any

from elastic.tensor._engine import backward, grad
from elastic.tensor._function import Function, once_differentiable
from elastic.tensor._grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from elastic.tensor._tensor import Tensor
from elastic.tensor.autograd import function, grad_mode, graph
from elastic.tensor.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """`data` itself, as a leaf: what a Variable was before tensors learned to differentiate."""
    return data.detach().requires_grad_(requires_grad)


class set_multithreading_enabled:
    """Accepted for PyTorch's sake: backward runs in the thread that calls it, either way."""

    def __init__(self, mode: bool):
        self.mode = mode

    def __enter__(self) -> None:
        """Changes nothing."""

    def __exit__(self, *exc: object) -> None:
        """Changes nothing."""


def __getattr__(name: str) -> Any:
    if name in ("forward_ad", "functional"):  # loaded when first asked for
        return importlib.import_module(f"elastic.tensor.autograd.{name}")
    if name in ("GradcheckError", "gradcheck", "gradgradcheck"):
        return getattr(importlib.import_module("elastic.tensor._gradcheck"), name)
    raise AttributeError(f"module 'elastic.tensor.autograd' has no attribute {name!r}")


__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]
