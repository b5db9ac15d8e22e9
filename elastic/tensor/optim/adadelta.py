"""Adadelta: steps in the parameters' own units, without a rate to tune."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["Adadelta"]


class Adadelta(Elementwise):
    """param -= lr * grad * rms(steps) / rms(gradients), with running means.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
    """

    added_settings: ClassVar[Group] = {**Elementwise.added_settings, "capturable": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_settings(eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        means = {"square_avg": zeros_for(param), "acc_delta": zeros_for(param)}
        return {"step": step_count(param, group), **means}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        count_step(state)
        return group["lr"], group["rho"], group["eps"]

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        lr, rho, eps = coefficients
        squares, steps = state["square_avg"], state["acc_delta"]
        square = F.mul(grad, 1 - rho)
        square *= grad
        squares *= rho
        squares += square
        step = F.div(F.sqrt(F.add(steps, eps)), F.sqrt(F.add(squares, eps)))
        step *= grad
        square = F.mul(step, 1 - rho)
        square *= step
        steps *= rho
        steps += square
        step *= lr
        param -= step
