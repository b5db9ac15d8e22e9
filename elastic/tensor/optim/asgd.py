"""ASGD: gradient descent that also keeps the average of where it has been."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.optimizer import Group, check_settings, scalar_state, settings, zeros_for

__all__ = ["ASGD"]


class ASGD(Elementwise):
    """param -= eta * grad with a falling rate eta; state "ax" averages param from step t0 on.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    """

    added_settings: ClassVar[Group] = {**Elementwise.added_settings, "capturable": False}
    on_device = "params, mus, etas, and state_steps"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, weight_decay=weight_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {
            "step": scalar_state(0.0, param),
            "eta": scalar_state(float(group["lr"]), param),
            "mu": scalar_state(1.0, param),
            "ax": zeros_for(param),
        }

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        step = count_step(state)
        lr, lambd, alpha = float(group["lr"]), group["lambd"], group["alpha"]
        eta, mu = state["eta"].item(), state["mu"].item()
        state["eta"].fill_(lr / (1 + lambd * lr * step) ** alpha)
        state["mu"].fill_(1 / max(1, step - group["t0"]))
        return eta, mu, 1 - lambd * eta

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        eta, mu, shrink = coefficients
        average = state["ax"]
        param *= shrink
        param -= F.mul(grad, eta)
        if mu == 1:
            average[...] = param
        else:
            change = F.sub(param, average)
            change *= mu
            average += change
