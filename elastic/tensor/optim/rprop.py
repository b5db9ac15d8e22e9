"""Rprop: steps that follow the gradient's sign only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings, zeros_for

__all__ = ["Rprop"]


class Rprop(Elementwise):
    """param -= sign(grad) * size; each size grows while the sign stays and shrinks when it turns.

    Source: Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning:
    The RPROP Algorithm", 1993.
    """

    added_settings: ClassVar[Group] = {**Elementwise.added_settings, "capturable": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        lr = float(group["lr"])
        first = complex(lr, lr) if param.is_complex() else lr
        size = torch.full(param.shape, first, dtype=param.dtype, device=param.device)
        return {"step": step_count(param, group), "prev": zeros_for(param), "step_size": size}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        count_step(state)
        return *group["etas"], *group["step_sizes"]

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        shrink, grow, smallest, largest = coefficients
        size, before = state["step_size"], state["prev"]
        agreement = F.mul(grad, before)
        turned = agreement < 0
        size[agreement > 0] *= grow
        size[turned] *= shrink
        size[...] = F.clamp(size, smallest, largest)
        before[...] = grad
        before[turned] = 0
        step = F.sign(before)
        step *= size
        param -= step
