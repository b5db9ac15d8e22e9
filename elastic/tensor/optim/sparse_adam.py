"""SparseAdam: Adam for gradients that touch few rows, as those of embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import is_sparse
from elastic.tensor.optim.optimizer import Group, Optimizer, check_settings, settings, zeros_for

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam in which only the elements present in the gradient, and their moments, change.

    Parameters are dense, gradients sparse: what has no dense gradient takes no part in a step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ):
        defaults = settings(locals())
        check_settings(lr=lr)
        for told, value in (("learning rate", lr), ("epsilon value", eps)):
            if not value > 0.0:
                raise ValueError(f"Invalid {told}: {value}")
        check_settings(betas=betas)
        super().__init__(params, defaults)
        self._refuse("Sparse", is_sparse, "SparseAdam requires dense parameter tensors")
        told = "SparseAdam does not support complex parameters"
        self._refuse("Complex", Tensor.is_complex, told)

    def _refuse(self, kind: str, test: Any, told: str) -> None:
        found = [
            [i, k]
            for i, group in enumerate(self.param_groups)
            for k, param in enumerate(group["params"])
            if test(param)
        ]
        if found:
            raise ValueError(f"{kind} params at indices {found}: {told}")

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"step": 0, "exp_avg": zeros_for(param), "exp_avg_sq": zeros_for(param)}

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        if not is_sparse(grad):
            raise RuntimeError(
                "SparseAdam does not support dense gradients, please consider Adam instead"
            )
        state["step"] += 1
        grad = grad.coalesce()
        where, values = tuple(grad.indices().unbind(0)), grad.values()
        values = -values if group.get("maximize") else values
        beta1, beta2 = group["betas"]
        mean, variance = state["exp_avg"][where], state["exp_avg_sq"][where]
        mean = mean + (values - mean) * (1 - beta1)
        variance = variance + (values * values - variance) * (1 - beta2)
        state["exp_avg"][where], state["exp_avg_sq"][where] = mean, variance
        correction = (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
        rate = float(group["lr"]) * correction
        param[where] = param[where] - mean / (variance.sqrt() + group["eps"]) * rate
