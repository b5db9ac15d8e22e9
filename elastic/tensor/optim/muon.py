"""Muon: momentum steps made orthogonal, for matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import is_sparse
from elastic.tensor.optim.optimizer import Group, Optimizer, check_settings, settings, zeros_for

__all__ = ["Muon"]


class Muon(Optimizer):
    """param -= lr * ratio * U, where U is nearly the orthogonal factor of the momentum.

    Shapes: parameters of two dimensions only. `adjust_lr_fn` says what the ratio is: "original"
    (and None) sqrt(max(1, rows / columns)), "match_rms_adamw" 0.2 * sqrt(max(rows, columns)).
    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        defaults = settings(locals())
        if isinstance(lr, Tensor):
            check_settings(lr=lr)
        told = {"Learning rate": lr, "momentum": momentum, "weight decay": weight_decay}
        for name, value in told.items():
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, defaults)
        for param in self._all_params():
            if param.ndim != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{param.size()}"
                )

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        if param.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        if is_sparse(param.grad):
            raise RuntimeError("Muon does not support sparse gradients")
        return {"momentum_buffer": zeros_for(param)}

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        change = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        change = orthogonalized(change, group["ns_coefficients"], group["ns_steps"], group["eps"])
        param.mul_(1 - lr * group["weight_decay"])
        param.add_(change.to(param.dtype), alpha=-lr * _ratio(group["adjust_lr_fn"], *param.shape))


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Return the bfloat16 matrix with the singular vectors of `matrix` and values near one.

    Raises: ValueError for 100 steps or more and for other than three coefficients.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = _rounded(matrix.T if tall else matrix)
    x = _rounded(x / _rounded(x.norm()).clamp(min=eps))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        gram = _rounded(gram * b + (gram @ gram) * c)
        x = _rounded(x * a + gram @ x)
    return (x.T if tall else x).bfloat16()


def _rounded(x: Tensor) -> Tensor:
    """Return float32 with the values of bfloat16: sums in between are not rounded."""
    return x.bfloat16().float()


def _ratio(kind: str | None, rows: int, columns: int) -> float:
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
