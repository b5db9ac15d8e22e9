"""PyTorch's `autograd.function`: what custom functions are made of."""

from __future__ import annotations

from elastic.tensor._function import Context as FunctionCtx
from elastic.tensor._function import Function, once_differentiable


class InplaceFunction(Function):
    """A Function that remembers whether it was asked to work in place."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace


__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]
