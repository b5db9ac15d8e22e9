"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.optim.optimizer import Group, Optimizer, check_not_negative, zeros_for

__all__ = ["SGD"]


class SGD(Optimizer):
    """param -= lr * buffer, where buffer = momentum * buffer + (1 - dampening) * grad.

    The first buffer is the gradient itself. With nesterov the step is grad + momentum * buffer.
    Source: Sutskever et al., "On the importance of initialization and momentum", 2013.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **kernel_flags: Any,
    ):
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        settings = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, settings, **kernel_flags)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"momentum_buffer": None} if group["momentum"] else {}

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        step = -grad if group["maximize"] else grad
        if group["weight_decay"]:
            step = step.add(param, alpha=group["weight_decay"])
        if group["momentum"]:
            step = self._with_momentum(step, state, group)
        param.add_(step, alpha=-group["lr"])

    def _with_momentum(self, grad: Tensor, state: dict[str, Any], group: Group) -> Tensor:
        buffer = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = zeros_for(grad).copy_(grad)
        else:
            buffer.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
        return grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
