"""Activations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
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
]


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
