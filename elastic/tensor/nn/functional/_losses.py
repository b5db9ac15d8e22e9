"""The formulas of the losses. Those of classes speak of log-probabilities in dimension 1."""

from __future__ import annotations

import warnings

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _difference(input: Tensor, target: Tensor) -> Tensor:
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            UserWarning,
            stacklevel=3,
        )
    return input - target


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return |input - target|."""
    return _reduced(_difference(input, target).abs(), reduction)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return (input - target) ** 2."""
    difference = _difference(input, target)
    return _reduced(difference * difference, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return d ** 2 / (2 beta) where d = |input - target| is below beta, else d - beta / 2."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction=reduction, delta=beta) / beta


def huber_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Return d ** 2 / 2 where d = |input - target| is below delta, else delta * (d - delta / 2)."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    d = _difference(input, target).abs()
    return _reduced(torch.where(d < delta, d * d * 0.5, delta * (d - 0.5 * delta)), reduction)


def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Return target * (log target - input), where input holds log-probabilities."""
    if log_target:
        loss = target.exp() * (target - input)
    else:
        present = target > 0  # 0 * log 0 counts as 0
        logs = torch.where(present, target, torch.ones_like(target)).log()
        loss = torch.where(present, target * (logs - input), torch.zeros_like(target))
    if reduction == "batchmean":
        return loss.sum() / input.shape[0]
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size.'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next "
            "major release.",
            UserWarning,
            stacklevel=2,
        )
    return _reduced(loss, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Return -(target * log(input) + (1 - target) * log(1 - input)), logarithms from -100 up."""
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    if not bool(((input >= 0) & (input <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    hit = input.log().clamp(min=-100)
    miss = (-input).log1p().clamp(min=-100)
    loss = (target - 1) * miss - target * hit
    return _reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return binary_cross_entropy(sigmoid(input), target), without overflow.

    `pos_weight` multiplies the loss of positive targets.
    """
    if input.shape != target.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    # log(1 + exp(-x)) is -log(sigmoid(x)); smooth at 0, where abs and max would not be.
    softplus = torch.logaddexp(-input, torch.zeros_like(input))
    if pos_weight is not None:
        softplus = softplus * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + softplus
    return _reduced(loss if weight is None else loss * weight, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return -input at the target class, weighted by the class; the mean is over these weights.

    Shapes: input (N, C, *) or (C), target (N, *) or ().
    """
    valid, safe, weights = _classes(input, target, weight, ignore_index)
    return _weighted(-_picked(input, safe), weights, valid, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return -log softmax(input) at the target class, or against target probabilities.

    `label_smoothing` mixes the target with the uniform distribution over classes.
    Shapes: input (N, C, *) or (C), target (N, *) or () of classes, or input's of probabilities.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    log_p = input.log_softmax(_class_dim(input))
    if target.is_floating_point() and target.shape == input.shape:
        return _against_probabilities(log_p, target, weight, reduction, label_smoothing)
    if not label_smoothing:
        return nll_loss(log_p, target, weight, ignore_index, reduction)
    return _smoothed(log_p, target, weight, ignore_index, reduction, label_smoothing)


def _smoothed(
    log_p: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    valid, safe, weights = _classes(log_p, target, weight, ignore_index)
    dim = _class_dim(log_p)
    spread = -_by_class(log_p, weight).sum(dim) * (smoothing / log_p.shape[dim])
    hit = -_picked(log_p, safe) * (1 - smoothing)
    loss = hit * (1 if weights is None else weights) + spread
    loss = loss if valid is None else torch.where(valid, loss, torch.zeros_like(loss))
    if reduction != "mean":
        return _reduced(loss, reduction)
    return loss.sum() / _total(loss, weights, valid)


def _against_probabilities(
    log_p: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    dim = _class_dim(log_p)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / log_p.shape[dim]
    loss = -(_by_class(log_p, weight) * target).sum(dim)
    return _reduced(loss, reduction)


def _class_dim(input: Tensor) -> int:
    return 0 if input.dim() == 1 else 1


def _by_class(log_p: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return log_p
    return log_p * weight.view(-1, *[1] * max(log_p.dim() - 2, 0))


def _picked(input: Tensor, target: Tensor) -> Tensor:
    dim = _class_dim(input)
    return input.gather(dim, target.unsqueeze(dim)).squeeze(dim)


def _classes(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """Return where targets count (None: all), targets in range, their weights (None: all 1)."""
    _check_targets(input, target)
    # In numpy: these are questions, and each would cost an op of its own.
    classes = target.cpu().numpy()
    ignored = classes == ignore_index
    valid = None
    if ignored.any():
        valid = torch.from_numpy(~ignored).to(target.device)
        classes = np.where(ignored, 0, classes)
        target = torch.from_numpy(classes).to(target.device)
    outside = (classes < 0) | (classes >= input.shape[_class_dim(input)])
    if outside.any():
        raise IndexError(f"Target {classes[outside].flat[0]} is out of bounds.")
    return valid, target, None if weight is None else weight[target]


def _check_targets(input: Tensor, target: Tensor) -> None:
    if target.is_floating_point():
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {target.dtype.title}"
        )
    if input.dim() > 1 and input.shape[0] != target.shape[:1].numel():
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[:1].numel()})."
        )
    expected = (*input.shape[:1], *input.shape[2:]) if input.dim() > 1 else ()
    if tuple(target.shape) != expected:
        raise RuntimeError(
            f"input of shape {list(input.shape)} expects a target of shape {list(expected)}, "
            f"got {list(target.shape)}"
        )


def _weighted(loss: Tensor, weights: Tensor | None, valid: Tensor | None, reduction: str) -> Tensor:
    loss = loss if weights is None else loss * weights
    loss = loss if valid is None else torch.where(valid, loss, torch.zeros_like(loss))
    if reduction != "mean" or (weights is None and valid is None):
        return _reduced(loss, reduction)
    return loss.sum() / _total(loss, weights, valid)


def _total(loss: Tensor, weights: Tensor | None, valid: Tensor | None) -> Tensor:
    """Return the sum of the weights of the targets that count."""
    weights = torch.ones_like(loss) if weights is None else weights
    return (
        weights if valid is None else torch.where(valid, weights, torch.zeros_like(weights))
    ).sum()
