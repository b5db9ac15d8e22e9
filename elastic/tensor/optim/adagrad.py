"""Adagrad: steps scaled by all gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.adam import step_count
from elastic.tensor.optim.optimizer import Group, check_settings, settings

__all__ = ["Adagrad"]


class Adagrad(Elementwise):
    """param -= lr * grad / (sqrt(sum) + eps), where the sum is of all squared gradients.

    The rate falls as lr / (1 + (step - 1) * lr_decay).
    Source: Duchi et al., "Adaptive Subgradient Methods", 2011.
    """

    added_settings: ClassVar[Group] = {**Elementwise.added_settings, "fused": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        defaults = settings(locals())
        check_settings(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay)
        check_settings(initial_accumulator_value=initial_accumulator_value, eps=eps)
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                self.state_of(param, group)

    def share_memory(self) -> None:
        """Move the sums into memory that other processes share."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        first = self.defaults["initial_accumulator_value"]
        first = complex(first, first) if param.is_complex() else first
        total = torch.full(param.shape, first, dtype=param.dtype, device=param.device)
        return {"step": step_count(param, group), "sum": total}

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        past = count_step(state) - 1
        return group["lr"] / (1 + past * group["lr_decay"]), group["eps"]

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        rate, eps = coefficients
        total = state["sum"]
        total += F.mul(grad, grad)
        scale = F.add(F.sqrt(total), eps)
        step = F.mul(grad, rate)
        step /= scale
        param -= step
