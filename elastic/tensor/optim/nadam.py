"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import running_moments, step_count
from elastic.tensor.optim.optimizer import Group, check_settings, scalar_state, settings, zeros_for

__all__ = ["NAdam"]


class NAdam(Elementwise):
    """Adam that looks one step of momentum ahead; the momentum grows as `momentum_decay` says.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
    """

    added_settings: ClassVar[Group] = {
        **Elementwise.added_settings,
        "capturable": False,
        "decoupled_weight_decay": False,
    }
    on_device = "params, mu_products and state_steps"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        check_settings(momentum_decay=momentum_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        there = param if group["capturable"] else None
        state = {"step": step_count(param, group), "mu_product": scalar_state(1.0, there)}
        return state | {"exp_avg": zeros_for(param), "exp_avg_sq": zeros_for(param)}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        step = count_step(state)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        decay = group["momentum_decay"]
        mu, following = (beta1 * (1 - 0.5 * 0.96 ** (n * decay)) for n in (step, step + 1))
        state["mu_product"].mul_(mu)
        product = state["mu_product"].item()
        rates = lr * (1 - mu) / (1 - product), lr * following / (1 - product * following)
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1
        return *rates, 1 - beta2**step, beta1, beta2, group["eps"], shrink

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        grad_rate, mean_rate, correction, beta1, beta2, eps, shrink = coefficients
        if shrink != 1:
            param *= shrink
        mean, variance = running_moments(F, grad, state, beta1, beta2)
        scale = F.add(F.sqrt(F.div(variance, correction)), eps)
        for rate, direction in ((grad_rate, grad), (mean_rate, mean)):
            step = F.mul(direction, rate)
            step /= scale
            param -= step
