"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "batch_norm",
    "cosine_similarity",
    "group_norm",
    "layer_norm",
    "normalize",
    "rms_norm",
]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over all dimensions but the channels (dimension 1).

    While training, mean and var are the batch's and the running ones move towards them, in place.
    """
    if not training:
        return _affine(input, eps, *_per_channel(input, running_mean, running_var, weight, bias))
    dims = [0, *range(2, input.dim())]
    count = input.numel() // max(input.shape[1], 1)
    if count <= 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    mean = input.mean(dims)
    var = input.var(dims, unbiased=False)
    _move(running_mean, mean, momentum)
    _move(running_var, var * (count / (count - 1)), momentum)
    return _affine(input, eps, *_per_channel(input, mean, var, weight, bias))


def _move(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        with torch.no_grad():
            running.mul_(1 - momentum).add_(value, alpha=momentum)


def _per_channel(input: Tensor, *values: Tensor | None) -> list[Any]:
    shape = (-1, *[1] * (input.dim() - 2))
    return [None if value is None else value.view(shape) for value in values]


def _affine(
    input: Tensor, eps: float, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    output = (input - mean) * (var + eps).rsqrt()
    output = output if weight is None else output * weight
    return output if bias is None else output + bias


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over its last dimensions, those of `normalized_shape`."""
    dims = _last_dims(input, normalized_shape)
    mean = input.mean(dims, keepdim=True)
    var = input.var(dims, unbiased=False, keepdim=True)
    return _affine(input, eps, mean, var, weight, bias)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Return input divided by its root mean square over the last dimensions."""
    dims = _last_dims(input, normalized_shape)
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    output = input * ((input * input).mean(dims, keepdim=True) + eps).rsqrt()
    return output if weight is None else output * weight


def _last_dims(input: Tensor, shape: Sequence[int]) -> list[int]:
    if tuple(input.shape[input.dim() - len(shape) :]) != tuple(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    return list(range(-len(shape), 0))


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over groups of channels. Shapes: (N, C, *)."""
    if input.shape[1] % num_groups != 0:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input "
            f"of shape {list(input.shape)} and num_groups={num_groups}"
        )
    groups = input.reshape(input.shape[0], num_groups, -1)
    output = layer_norm(groups, groups.shape[-1:], eps=eps).reshape(input.shape)
    weight, bias = _per_channel(input, weight, bias)
    output = output if weight is None else output * weight
    return output if bias is None else output + bias


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return input divided by its p-norm along dim, which counts as eps at least."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between x1 and x2 along dim."""
    return (normalize(x1, dim=dim, eps=eps) * normalize(x2, dim=dim, eps=eps)).sum(dim)
