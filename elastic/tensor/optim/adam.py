"""Adam and AdamW: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from elastic.tensor import Tensor
from elastic.tensor.optim._elementwise import Elementwise, count_step
from elastic.tensor.optim.optimizer import Group, check_settings, scalar_state, settings, zeros_for

__all__ = ["Adam", "AdamW"]


class Adam(Elementwise):
    """param -= lr * mean / (sqrt(variance) + eps), with bias-corrected running moments.

    Weight decay is added to the gradient, or with `decoupled_weight_decay` shrinks the parameter.
    With `amsgrad` the variance never falls.
    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
    """

    added_settings: ClassVar[Group] = {
        **Elementwise.added_settings,
        "amsgrad": False,
        "capturable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }
    hint = ", please consider SparseAdam instead"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        defaults = settings(locals())
        listed = bool(foreach and not capturable)
        if listed and isinstance(lr, Tensor):
            raise ValueError(_UNLISTED.format("lr"))
        check_settings(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults["betas"] = _checked_betas(betas, listed)
        super().__init__(params, defaults)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = {"step": step_count(param, group)}
        state |= {"exp_avg": zeros_for(param), "exp_avg_sq": zeros_for(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_for(param)
        return state

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        step = count_step(state)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1
        # lr / (1 - beta1**step) * mean / (sqrt(variance / (1 - beta2**step)) + eps), times one
        correction = (1 - beta2**step) ** 0.5
        rate = lr * correction / (1 - beta1**step)
        return rate, group["eps"] * correction, beta1, beta2, shrink

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        rate, eps, beta1, beta2, shrink = coefficients
        if shrink != 1:
            param *= shrink
        mean, variance = running_moments(F, grad, state, beta1, beta2)
        if "max_exp_avg_sq" in state:
            peak = state["max_exp_avg_sq"]
            peak[...] = variance = F.maximum(peak, variance)
        scale = F.add(F.sqrt(variance), eps)
        step = F.mul(mean, rate)
        step /= scale
        param -= step


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters and stays out of the moments.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    added_settings: ClassVar[Group] = {**Adam.added_settings, "decoupled_weight_decay": True}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(decoupled_weight_decay=True, **settings(locals()), params=params)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


def step_count(param: Tensor, group: Group) -> Tensor:
    """Return the state's count of steps, at zero: on the GPU if the step shall be captured."""
    there = group.get("capturable") or group.get("fused")
    return scalar_state(0.0, param if there else None)


def running_moments(F: Any, grad: Any, state: dict[str, Any], beta1: Any, beta2: Any) -> tuple:
    """Return the running mean of the gradient and of its square, with this step's."""
    mean, variance = state["exp_avg"], state["exp_avg_sq"]
    mean *= beta1
    mean += F.mul(grad, 1 - beta1)
    square = F.mul(grad, grad)
    square *= 1 - beta2
    variance *= beta2
    variance += square
    return mean, variance


def _checked_betas(betas: tuple, listed: bool) -> tuple:
    if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor):
            if listed:
                raise ValueError(_UNLISTED.format(f"betas[{i}]"))
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")
    return tuple(b.squeeze() if isinstance(b, Tensor) and b.dim() else b for b in betas)


_UNLISTED = "{} as a Tensor is not supported for capturable=False and foreach=True"
