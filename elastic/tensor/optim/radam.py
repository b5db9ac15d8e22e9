"""RAdam: Adam that starts as plain momentum while the variance is not yet known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import running_moments, step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["RAdam"]


class RAdam(Elementwise):
    """Adam whose scale is rectified, and left out in the first steps.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2019.
    """

    added_settings: ClassVar[Group] = {
        **Elementwise.added_settings,
        "capturable": False,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        moments = {"exp_avg": zeros_for(param), "exp_avg_sq": zeros_for(param)}
        return {"step": step_count(param, group), **moments}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        step = count_step(state)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        correction = 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / correction
        rect = None
        if length > 5:
            top, bottom = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2)
            rect = (top / (bottom * length)) ** 0.5
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1
        rates = 1 - beta1**step, lr, correction**0.5, rect
        return *rates, beta1, beta2, group["eps"], shrink

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        mean_correction, lr, correction, rect, beta1, beta2, eps, shrink = coefficients
        if shrink != 1:
            param *= shrink
        mean, variance = running_moments(F, grad, state, beta1, beta2)
        step = F.div(mean, mean_correction)
        step *= lr
        if rect is not None:
            scale = F.div(F.add(F.sqrt(variance), eps), correction)
            step /= scale
            step *= rect
        param -= step
