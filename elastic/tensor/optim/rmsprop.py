"""RMSprop: steps scaled by the running size of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["RMSprop"]


class RMSprop(Elementwise):
    """param -= lr * grad / (sqrt(mean square) + eps), or a running sum of these with `momentum`.

    With `centered` the square of the running mean is taken off the mean square.
    Source: Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
    """

    added_settings: ClassVar[Group] = {
        **Elementwise.added_settings,
        "momentum": 0,
        "centered": False,
        "capturable": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = {"step": step_count(param, group), "square_avg": zeros_for(param)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_for(param)
        if group["centered"]:
            state["grad_avg"] = zeros_for(param)
        return state

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        count_step(state)
        return tuple(group[name] for name in ("lr", "alpha", "eps", "momentum", "centered"))

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        lr, alpha, eps, momentum, centered = coefficients
        squares = state["square_avg"]
        square = F.mul(grad, grad)
        square *= 1 - alpha
        squares *= alpha
        squares += square
        scale = squares
        if centered:
            mean = state["grad_avg"]
            change = F.sub(grad, mean)
            change *= 1 - alpha
            mean += change
            scale = F.sub(squares, F.mul(mean, mean))
        scale = F.add(F.sqrt(scale), eps)
        if momentum > 0:
            buffer = state["momentum_buffer"]
            buffer *= momentum
            buffer += F.div(grad, scale)
            param -= F.mul(buffer, lr)
        else:
            step = F.mul(grad, lr)
            step /= scale
            param -= step
