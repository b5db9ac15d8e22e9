"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn.functional._padding import pad
from elastic.tensor.nn.functional._pooling import avg_pool2d, avg_pool3d

__all__ = [
    "batch_norm",
    "cosine_similarity",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
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
    if training and input.shape[0] * prod(input.shape[2:]) == 1:
        raise _one_value(input.shape)
    if training and eps <= 0.0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    running = (running_mean, running_var)
    return torch.batch_norm(input, weight, bias, *running, training, momentum, eps)


def _one_value(shape: Sequence[int]) -> ValueError:
    return ValueError(
        f"Expected more than 1 value per channel when training, got input size {shape}"
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over the space of each channel of each image. Shapes: (N, C, *)."""
    if use_input_stats and prod(input.shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, "
            f"got input size {torch.Size(input.shape)}"
        )
    running = (running_mean, running_var)
    return torch.instance_norm(input, weight, bias, *running, use_input_stats, momentum, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over its last dimensions, those of `normalized_shape`."""
    return torch.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Return input divided by its root mean square over the last dimensions."""
    return torch.rms_norm(input, normalized_shape, weight, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return input normalised over groups of channels. Shapes: (N, C, *)."""
    if input.dim() < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.dim()}"
        )
    size = [input.shape[0] * input.shape[1] // num_groups, num_groups, *input.shape[2:]]
    if size[0] * prod(size[2:]) == 1:
        raise _one_value(size)
    return torch.group_norm(input, num_groups, weight, bias, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Return input / (k + alpha * m) ** beta, m the mean square of `size` neighbouring channels.

    Shapes: (N, C, *). Source: Krizhevsky et al., 2012, section 3.3.
    """
    if input.dim() < 3:
        raise ValueError(
            "Expected 3D or higher dimensionality                          "
            f"input (got {input.dim()} dimensions)"
        )
    if input.numel() == 0:
        return input
    square = input * input
    before, after = size // 2, (size - 1) // 2
    if input.dim() == 3:
        grown = pad(square.unsqueeze(1), (0, 0, before, after))
        mean = avg_pool2d(grown, (size, 1), 1).squeeze(1)
    else:
        flat = square.reshape(input.shape[0], 1, *input.shape[1:3], -1)
        grown = pad(flat, (0, 0, 0, 0, before, after))
        mean = avg_pool3d(grown, (size, 1, 1), 1).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """Return input divided by its p-norm along dim, which counts as eps at least."""
    return torch.div(input, input.norm(p, dim, keepdim=True).clamp(min=eps), out=out)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between x1 and x2 along dim."""
    x1, x2 = torch.broadcast_tensors(x1, x2)
    return (normalize(x1, dim=dim, eps=eps) * normalize(x2, dim=dim, eps=eps)).sum(dim)
