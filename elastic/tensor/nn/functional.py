"""The formulas of the layers as functions: `import elastic.tensor.nn.functional as F`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)

__all__ = [
    # losses, from _losses.py
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    # linear and lookup
    "embedding",
    "linear",
    "one_hot",
    # activations
    "elu",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanh",
    # dropout
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    # normalisation
    "batch_norm",
    "cosine_similarity",
    "group_norm",
    "layer_norm",
    "normalize",
    "rms_norm",
]

# ---- linear and lookup ------------------------------------------------------------------------


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return input @ weight.T + bias. Shapes: (*, in), (out, in), (out) give (*, out)."""
    product = input.matmul(weight.t())
    return product if bias is None else product + bias


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Return weight[input]; no gradient reaches the row `padding_idx`."""
    rows = weight[input]
    if padding_idx is None:
        return rows
    return torch.where((input == padding_idx % len(weight)).unsqueeze(-1), rows.detach(), rows)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return int64 with a 1 at each class and 0 elsewhere. Shapes: (*) gives (*, num_classes)."""
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).long()


# ---- activations ------------------------------------------------------------------------------


def _applied(formula: Callable[[Tensor], Tensor], input: Tensor, inplace: bool) -> Tensor:
    """Return formula(input), written over the input if asked; backward reads the old values."""
    return input.copy_(formula(input.clone())) if inplace else formula(input)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(input, 0)."""
    return input.relu_() if inplace else input.relu()


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return input where it is above 0, else negative_slope * input."""
    return _applied(lambda x: torch.where(x > 0, x, x * negative_slope), input, inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return input where it is above 0, else weight * input, with a weight for each channel."""
    if weight.numel() > 1:
        weight = weight.view(-1, *[1] * (input.dim() - 2))
    return torch.where(input > 0, input, input * weight)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return input where it is above 0, else alpha * (exp(input) - 1)."""

    # expm1 sees no positive input: where its result is not used it must not overflow.
    def formula(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, x.clamp(max=0).expm1() * alpha)

    return _applied(formula, input, inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the self-normalising ELU. Source: Klambauer et al., 2017, equation 2."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return _applied(lambda x: scale * elu(x, alpha), input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return input times the normal distribution function at input.

    `approximate="tanh"` replaces the error function by a tanh of a cubic.
    """
    if approximate == "none":
        return input * 0.5 * ((input * math.sqrt(0.5)).erf() + 1)
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
        return input * 0.5 * (inner.tanh() + 1)
    raise RuntimeError("approximate argument must be either none or tanh.")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return input * sigmoid(input)."""
    return _applied(lambda x: x * x.sigmoid(), input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return input * tanh(softplus(input))."""
    return _applied(lambda x: x * softplus(x).tanh(), input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return log(1 + exp(beta * input)) / beta, and input itself above threshold / beta."""
    scaled = input * beta
    smooth = torch.logaddexp(scaled, torch.zeros_like(scaled)) / beta
    return torch.where(scaled > threshold, input, smooth)


def logsigmoid(input: Tensor) -> Tensor:
    """Return log(sigmoid(input)), without overflow."""
    return -torch.logaddexp(-input, torch.zeros_like(input))


def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-input))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return input.tanh()


def softsign(input: Tensor) -> Tensor:
    """Return input / (1 + |input|)."""
    return input / (input.abs() + 1)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Return input cut to [min_val, max_val]; the gradient is 0 at the bounds too."""

    def formula(x: Tensor) -> Tensor:
        inside = (x > min_val) & (x < max_val)
        return torch.where(inside, x, x.detach().clamp(min_val, max_val))

    return _applied(formula, input, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return relu6(input + 3) / 6."""
    return _applied(lambda x: relu6(x + 3) / 6, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return input * relu6(input + 3) / 6."""
    return _applied(lambda x: x * relu6(x + 3) / 6, input, inplace)


def softmax(input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return exp(input) / sum(exp(input)) along dim."""
    input = input if dtype is None else input.to(dtype)
    return input.softmax(_dim_or_guess("softmax", dim, input))


def softmin(input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return softmax(-input) along dim."""
    return softmax(-input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return log(softmax(input)) along dim, without overflow."""
    input = input if dtype is None else input.to(dtype)
    return input.log_softmax(_dim_or_guess("log_softmax", dim, input))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return a * sigmoid(b), where a and b are the halves of input along dim."""
    if input.shape[dim] % 2 != 0:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()


def _dim_or_guess(name: str, dim: int | None, input: Tensor) -> int:
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=3,
    )
    return 0 if input.dim() in (0, 1, 3) else 1


# ---- dropout ----------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return input with elements zeroed at probability p and the others divided by 1 - p."""
    return _dropped(input, input.shape, p, training, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, L) or (C, L)."""
    return _channels_dropped(1, input, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, H, W) or (C, H, W)."""
    return _channels_dropped(2, input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, D, H, W) or (C, D, H, W)."""
    return _channels_dropped(3, input, p, training, inplace)


def _channels_dropped(
    spatial: int, input: Tensor, p: float, training: bool, inplace: bool
) -> Tensor:
    if input.dim() - spatial not in (1, 2):
        raise RuntimeError(
            f"dropout{spatial}d: Expected {spatial + 1}D or {spatial + 2}D input, "
            f"but received a {input.dim()}D input."
        )
    channels = (*input.shape[: input.dim() - spatial], *[1] * spatial)
    return _dropped(input, channels, p, training, inplace)


def _dropped(
    input: Tensor, shape: Sequence[int], p: float, training: bool, inplace: bool
) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        mask = torch.zeros(shape, dtype=input.dtype)
    else:
        mask = torch.empty(shape, dtype=input.dtype).bernoulli_(1 - p).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask


# ---- normalisation ----------------------------------------------------------------------------


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
