"""Adafactor: Adam's scale from the means of rows and columns, in little memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import count_step, is_sparse
from elastic.tensor.optim.optimizer import Group, Optimizer, check_settings, scalar_state, settings

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps scaled by sqrt(row mean * column mean) of the squared gradient, and clipped at `d`.

    The rate is relative to the size of the parameter, but at least `eps[1]`.
    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
    2018.
    """

    added_settings: ClassVar[Group] = {"foreach": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        defaults = settings(locals())
        _check(lr, beta2_decay, eps, d, weight_decay)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        if is_sparse(param.grad):
            raise RuntimeError("Adafactor does not support sparse gradients")
        state: dict[str, Any] = {"step": scalar_state(0.0)}
        shape, kind = list(param.shape), {"dtype": param.dtype, "device": param.device}
        if len(shape) > 1:
            state["row_var"] = torch.zeros([*shape[:-1], 1], **kind)
            state["col_var"] = torch.zeros([*shape[:-2], 1, shape[-1]], **kind)
        else:
            state["variance"] = torch.zeros(shape, **kind)
        return state

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        step, lr, (eps1, eps2) = count_step(state), float(group["lr"]), group["eps"]
        eps1 = torch.finfo(param.dtype).eps if eps1 is None else eps1
        grad = -grad if group["maximize"] else grad
        rate = max(eps2, _rms(param)) * min(lr, step**-0.5)
        if group["weight_decay"]:
            param.mul_(1 - lr * group["weight_decay"])
        variance = _variance(grad, state, step ** group["beta2_decay"], eps1)
        change = variance.clamp(min=eps1 * eps1).rsqrt() * grad
        param.add_(change, alpha=-rate / max(1.0, _rms(change) / group["d"]))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for each in self.state.values():
            if not isinstance(each.get("step"), Tensor):
                each["step"] = scalar_state(float(each["step"]))


def _check(lr: Any, beta2_decay: float, eps: tuple, d: float, weight_decay: float) -> None:
    if isinstance(lr, Tensor):
        check_settings(lr=lr)
    if not lr >= 0.0:
        raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
    if not beta2_decay <= 0.0:
        raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
    for i, value in enumerate(eps):
        if value is not None and not value >= 0.0:
            raise ValueError(f"epsilon{i + 1} should be >= 0 but is: {value}")
    if not d >= 1.0:
        raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
    if not weight_decay >= 0.0:
        raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")


def _rms(tensor: Tensor) -> float:
    return tensor.norm(2).item() / tensor.numel() ** 0.5


def _variance(grad: Tensor, state: dict[str, Any], weight: float, eps: float) -> Tensor:
    """Return the running mean of the squared gradient, or what rows and columns tell of it."""
    square = grad * grad
    if grad.dim() <= 1:
        return state["variance"].lerp_(square, weight)
    rows, columns = state["row_var"], state["col_var"]
    rows.lerp_(square.mean(-1, keepdim=True), weight)
    columns.lerp_(square.mean(-2, keepdim=True), weight)
    return rows @ columns / rows.mean(-2, keepdim=True).clamp(min=eps)
