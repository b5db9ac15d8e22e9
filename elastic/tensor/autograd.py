"""PyTorch's `autograd` namespace."""

from __future__ import annotations

from elastic.tensor._engine import backward, grad
from elastic.tensor._function import Function, once_differentiable
from elastic.tensor._grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from elastic.tensor._gradcheck import GradcheckError, gradcheck, gradgradcheck
from elastic.tensor._tensor import Tensor


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """`data` itself, as a leaf: what a Variable was before tensors learned to differentiate."""
    return data.detach().requires_grad_(requires_grad)


class function:
    """PyTorch's `autograd.function` namespace."""

    Function = Function
    once_differentiable = staticmethod(once_differentiable)


__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "enable_grad",
    "function",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]
