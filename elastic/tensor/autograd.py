"""PyTorch's `autograd` namespace."""

from __future__ import annotations

from elastic.tensor._autograd import backward, grad
from elastic.tensor._grad_mode import enable_grad, no_grad, set_grad_enabled

__all__ = ["backward", "enable_grad", "grad", "no_grad", "set_grad_enabled"]
