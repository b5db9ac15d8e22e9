"""Adam and AdamW: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.optim.optimizer import Group, Optimizer, check_not_negative, zeros_for

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """param -= lr * mean / (sqrt(variance) + eps), with bias-corrected running moments.

    Weight decay is added to the gradient, or with `decoupled_weight_decay` shrinks the parameter.
    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014.
    """

    kernel_flags = Optimizer.kernel_flags | {"capturable": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **kernel_flags: Any,
    ):
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, settings, **kernel_flags)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = {
            "step": torch.tensor(0.0),
            "exp_avg": zeros_for(param),
            "exp_avg_sq": zeros_for(param),
        }
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_for(param)
        return state

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            param.mul_(1 - group["lr"] * group["weight_decay"])
        elif group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        variance = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if group["amsgrad"]:
            variance = state["max_exp_avg_sq"].copy_(state["max_exp_avg_sq"].maximum(variance))
        step = int(state["step"].add_(1))
        scale = variance.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
        param.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters and stays out of the moments.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ):
        options["decoupled_weight_decay"] = True
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)
