"""Losses of classes. Scores have the classes in dimension 1, or 0 where there is no batch."""

from __future__ import annotations

from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._dispatch import apply
from elastic.tensor._registry import REGISTRY
from elastic.tensor._tensor import wrap
from elastic.tensor.nn.functional._ctc import ctc
from elastic.tensor.nn.functional._linear import linear
from elastic.tensor.nn.functional._reduction import checked, folded, legacy
from elastic.tensor.ops import nn as ops

__all__ = [
    "cross_entropy", "ctc_loss", "linear_cross_entropy", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
]  # fmt: skip


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns -input at the target class, weighted by the class; the mean is over these weights.

    Shapes: input (N, C, *) or (C), target (N, *) or ().
    Raises: IndexError for a target that is no class.
    """
    reduction = checked(legacy(size_average, reduce, reduction))
    return _of_classes("_nll_loss", input, target, weight, ignore_index, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns -log softmax(input) at the target class, or against target probabilities.

    `label_smoothing` mixes the target with the uniform distribution over classes.
    Shapes: input (N, C, *) or (C), target (N, *) or () of classes, or input's of probabilities.
    """
    reduction = checked(legacy(size_average, reduce, reduction))
    if target.shape == input.shape:
        if not target.is_floating_point():
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, got "
                f"{target.dtype.title}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _against_probabilities(input, target, weight, reduction, label_smoothing)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if label_smoothing:
        return _smoothed(input, target, weight, ignore_index, reduction, label_smoothing)
    return _of_classes("_cross_entropy", input, target, weight, ignore_index, reduction)


def _of_classes(
    name: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    safe, weights, total = _targets(input, target, weight, ignore_index)
    divisor = {"mean": total, "sum": 1, "none": None}[reduction]
    if input.dim() == 1:
        out = apply(REGISTRY[name], [input.unsqueeze(0), safe[None], weights, divisor])
        return out.reshape(())
    entry = REGISTRY[name if input.dim() == 2 else name + "2d"]
    return apply(entry, [input, safe, weights, divisor])


def _targets(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Any, Any, Any]:
    """Returns arrays: targets in range, their weights (None: all 1), and the sum of the weights."""
    _check_targets(input, target, weight)
    classes = target._array
    if classes.dtype != np.int64:
        classes = classes.astype(np.int64)
    count, weights = input._array.shape[_class_dim(input)], None
    inside = not classes.size or (classes.min() >= 0 and classes.max() < count)
    if not inside or 0 <= ignore_index < count:
        ignored = classes == ignore_index
        if ignored.any():
            weights = (~ignored).astype(input._array.dtype)
            classes = classes * ~ignored
        outside = (classes < 0) | (classes >= count)
        if outside.any():
            raise IndexError(f"Target {int(classes[outside].flat[0])} is out of bounds.")
    if weight is not None:
        own = weight._array[classes]
        weights = own if weights is None else own * weights
    weights = weights if weights is None or input.dim() > 1 else weights.reshape(1)
    return classes, weights, float(classes.size if weights is None else weights.sum())


def _check_targets(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    scores, given = input._array.shape, target._array.shape
    batched = len(scores) > 1
    if batched and scores[0] != (given[0] if given else 1):
        raise ValueError(
            f"Expected input batch_size ({scores[0]}) to match target batch_size "
            f"({given[0] if given else 1})."
        )
    if target._array.dtype.kind not in "iu":
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {target.dtype.title}"
        )
    expected = (*scores[:1], *scores[2:]) if batched else ()
    if given != expected:
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(given)}")
    if weight is not None:
        _check_weight(input, weight)


def _check_weight(input: Tensor, weight: Tensor) -> None:
    if weight.dtype != input.dtype:
        raise RuntimeError(
            f"expected scalar type {input.dtype.title} but found {weight.dtype.title}"
        )
    classes = input.shape[_class_dim(input)]
    if tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight.shape)}"
        )


def _class_dim(input: Tensor) -> int:
    return 0 if input.dim() == 1 else 1


def _by_class(log_p: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return log_p
    return log_p * weight.view(-1, *[1] * max(log_p.dim() - 2, 0))


def _smoothed(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    dim = _class_dim(input)
    log_p = input.log_softmax(dim)
    hit = _of_classes("_nll_loss", log_p, target, weight, ignore_index, reduction)
    spread = -_by_class(log_p, weight).sum(dim)
    _, _, total = _targets(input, target, weight, ignore_index)
    spread = spread.masked_fill(target == ignore_index, 0)
    if reduction != "none":
        spread = spread.sum()
    if reduction == "mean":
        spread = spread / total if total else spread + float("nan")
    return hit * (1 - smoothing) + spread * (smoothing / input.shape[dim])


def _against_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    dim = _class_dim(input)
    if not 0.0 <= smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {smoothing}")
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[dim]
    loss = -(_by_class(input.log_softmax(dim), weight) * target)
    if reduction == "mean":
        return loss.sum() / (input.numel() // max(input.shape[dim], 1))
    return loss.sum() if reduction == "sum" else loss.sum(dim)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """Returns cross_entropy of the linear map of input. `options` (to save memory) has no effect.

    Shapes: input (N, in) or (in), linear_weight (C, *, in), linear_bias (C, *), target (N, *).
    """
    _check_linear(input, linear_weight, linear_bias)
    classes, *places, features = linear_weight.shape
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), bias)
    logits = logits.reshape(*input.shape[:-1], classes, *places)
    if target.shape == logits.shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _check_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if weight.dim() < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {weight.dim()}"
        )
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {weight.shape[-1]}, respectively"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise RuntimeError(
            f"expected linear_bias shape {tuple(weight.shape[:-1])}, got {tuple(bias.shape)}"
        )
    if weight.dim() > 2 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(weight.shape)} requires "
            f"batched input, (N, {input.shape[-1]}), got unbatched input with shape "
            f"{tuple(input.shape)}"
        )


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean over classes of the binary cross-entropy of sigmoid(input)."""
    reduction = legacy(size_average, reduce, reduction)
    loss = -(target * ops.log_sigmoid(input) + (1 - target) * ops.log_sigmoid(-input))
    loss = loss if weight is None else loss * weight
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return folded(loss.sum(-1) / input.shape[-1], reduction)


def _check_scores(input: Tensor) -> None:
    if input.dim() > 2 or (input.dim() and not input.shape[-1]):
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean over classes of max(0, margin - input[target] + input) ** p.

    The target's own class counts 0. Shapes: input (N, C) or (C), target (N) or ().
    """
    reduction = checked(legacy(size_average, reduce, reduction))
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    _check_multi_margin(input, target, weight)
    scores, classes = input.reshape(-1, input.shape[-1] if input.dim() else 1), target.reshape(-1)
    column = classes.unsqueeze(1)
    over = (margin - scores.gather(1, column) + scores).clamp(min=0)
    over = (over if p == 1 else over.square()).scatter(1, column, 0.0)
    if weight is not None:
        over = over * weight[classes].unsqueeze(1)
    loss = folded(over.sum(1) / scores.shape[1], reduction)
    return loss.reshape(target.shape) if reduction == "none" else loss


def _check_multi_margin(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    _check_scores(input)
    count = input.shape[0] if input.dim() == 2 else 1
    if target.dim() > 1 or target.numel() != count:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{count}], but got {list(target.shape)}. "
            f"Input has shape {list(input.shape)}."
        )
    classes = input.shape[-1] if input.dim() else 1
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(
            f"inconsistent weight size, expected {classes} but got {list(weight.shape)}"
        )
    if target.dtype != torch.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.title}")


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the sum of max(0, 1 - input[target] + input[other]) over targets and others, over C.

    A row of targets ends at its first -1. Shapes: input (N, C) or (C), target the same.
    """
    reduction = checked(legacy(size_average, reduce, reduction))
    _check_scores(input)
    if target.shape != input.shape and (input.dim() > 1 or target.numel() != input.numel()):
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    scores = input.reshape(-1, input.shape[-1] if input.dim() else 1)
    labels = target._array.reshape(scores.shape)
    present = np.logical_and.accumulate(labels >= 0, axis=1)
    safe = np.where(present, labels, 0)
    others = np.ones(labels.shape, bool)
    rows = np.broadcast_to(np.arange(len(labels))[:, None], labels.shape)
    others[rows[present], labels[present]] = False
    own = scores.gather(1, wrap(safe)).unsqueeze(2)
    over = (1 - own + scores.unsqueeze(1)).clamp(min=0)
    counted = wrap(present[:, :, None] & others[:, None, :])
    loss = (over * counted).sum((1, 2)) / scores.shape[1]
    loss = folded(loss, reduction)
    return loss.reshape(input.shape[:-1]) if reduction == "none" else loss


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Returns -log of the probability of all alignments of the targets with the input.

    The mean divides each loss by the length of its target. The gradient takes `log_probs` for the
    log_softmax of logits, as in PyTorch.
    Shapes: log_probs (T, N, C) or (T, C), targets (N, S), (S), or all one after the other, lengths
    (N) or ().
    """
    checked(reduction)
    batched = log_probs.dim() == 3
    x = log_probs if batched else log_probs.unsqueeze(1)
    inputs, lengths = (_lengths(each) for each in (input_lengths, target_lengths))
    _check_ctc(x, inputs, lengths, blank)
    padded = _padded_targets(targets._array, lengths)
    loss = ctc(x, padded, inputs, lengths, blank, zero_infinity)
    if reduction == "mean":
        return (loss / wrap(np.maximum(lengths, 1).astype(loss._array.dtype))).mean()
    return loss.sum() if reduction == "sum" else loss if batched else loss.squeeze(0)


def _lengths(value: Any) -> Any:
    value = value._array if isinstance(value, Tensor) else np.asarray(value)
    return value.reshape(-1).astype(np.int64)


def _check_ctc(x: Tensor, inputs: Any, lengths: Any, blank: int) -> None:
    if not 0 <= blank < x.shape[2]:
        raise RuntimeError("blank must be in label range")
    for name, value in (("input_lengths", inputs), ("target_lengths", lengths)):
        if len(value) != x.shape[1]:
            raise RuntimeError(f"{name} must be of size batch_size")
    most = int(inputs.max()) if inputs.size else 0
    if most > x.shape[0]:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {x.shape[0]}, but got value {most} "
            "(while checking arguments for ctc_loss_cpu)"
        )


def _padded_targets(targets: Any, lengths: Any) -> Any:
    """Targets as rows, from rows or from one after the other."""
    longest = int(lengths.max()) if lengths.size else 0
    if targets.ndim == 2:
        return targets[:, :longest].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    places = starts[:, None] + np.arange(longest)
    return targets[np.minimum(places, max(targets.size - 1, 0))].astype(np.int64)
