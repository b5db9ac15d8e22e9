"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["SGD"]


class SGD(Elementwise):
    """param -= lr * buffer, where buffer = momentum * buffer + (1 - dampening) * grad.

    The first buffer is the gradient itself. With nesterov the step is grad + momentum * buffer.
    Source: Sutskever et al., "On the importance of initialization and momentum", 2013.
    """

    added_settings: ClassVar[Group] = {
        **Elementwise.added_settings,
        "nesterov": False,
        "fused": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"momentum_buffer": None} if group["momentum"] else {}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        lr, momentum = group["lr"], group["momentum"]
        if not momentum:
            return lr, 0, 0, 1
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zeros_for(param)
            return lr, momentum if group["nesterov"] else 0, 0, 1
        keep, gain = momentum, 1 - group["dampening"]
        return lr, momentum if group["nesterov"] else 0, keep, gain

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        lr, nesterov, keep, gain = coefficients
        step = grad
        if "momentum_buffer" in state:
            step = state["momentum_buffer"]
            step *= keep
            step += grad if gain == 1 else F.mul(grad, gain)
            if nesterov:
                step = F.mul(step, nesterov)
                step += grad
        param -= F.mul(step, lr)
