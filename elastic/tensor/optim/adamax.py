"""Adamax: Adam with the largest recent gradient in place of the variance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["Adamax"]


class Adamax(Elementwise):
    """param -= lr * mean / norm, where norm = max(beta2 * norm, abs(grad) + eps).

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, section 7.1.
    """

    added_settings: ClassVar[Group] = {**Elementwise.added_settings, "capturable": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        moments = {"exp_avg": zeros_for(param), "exp_inf": zeros_for(param)}
        return {"step": step_count(param, group), **moments}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        beta1, beta2 = group["betas"]
        return group["lr"] / (1 - beta1 ** count_step(state)), beta1, beta2, group["eps"]

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        rate, beta1, beta2, eps = coefficients
        mean, norm = state["exp_avg"], state["exp_inf"]
        change = F.sub(grad, mean)
        change *= 1 - beta1
        mean += change
        size = F.abs(grad)
        size += eps
        norm *= beta2
        norm[...] = F.maximum(norm, size)
        step = F.mul(mean, rate)
        step /= norm
        param -= step
