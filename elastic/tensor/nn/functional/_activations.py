"""Activations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor, backend
from elastic.tensor._generator import default_generator
from elastic.tensor._inplace import overwrite
from elastic.tensor._registry import REGISTRY
from elastic.tensor._tensor import wrap
from elastic.tensor.ops import nn as ops

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid",
    "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid",
    "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid",
    "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    "threshold", "threshold_",
]  # fmt: skip

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _applied(op: Callable, input: Tensor, inplace: bool, *settings: Any) -> Tensor:
    """op(input, *settings), written over the input if asked."""
    if not inplace:
        return op(input, *settings)
    entry = REGISTRY[op.__name__]
    return overwrite(input, entry, entry.bind((input, *settings), {}))


def _in_place(function: Callable) -> Callable:
    """The form of an activation that overwrites its input: `function_`."""

    def call(input: Tensor, *args: Any, **named: Any) -> Tensor:
        return function(input, *args, **named, inplace=True)

    call.__name__ = call.__qualname__ = function.__name__ + "_"
    call.__doc__ = f"Writes `{function.__name__}(input)` over the input and returns it."
    return call


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns max(input, 0)."""
    return input.relu_() if inplace else input.relu()


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Returns input where it is above 0, else negative_slope * input."""
    return _applied(ops.leaky_relu, input, inplace, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Returns input where it is above 0, else weight * input, with a weight for each channel.

    Raises: RuntimeError unless there is one weight, or one for each of dimension 1.
    """
    if weight.dim() > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}"
        )
    count = weight.numel()
    if count != 1:
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.dim() > 1 else 1
        if channels != count:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{count} and channel size = {channels}."
            )
    shape = (1, count, *[1] * (input.dim() - 2)) if input.dim() > 1 else (count,) * input.dim()
    return ops.prelu(input, weight.reshape(shape))


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Returns input where it is above 0, else input times a slope.

    In training each slope is drawn from U(lower, upper), otherwise all are the mean of the two.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    array = input.detach()._array
    slopes = backend.xp_of(array).ones_like(array)
    low = array <= 0
    mean = (lower + upper) / 2
    drawn = default_generator.uniform64(int(low.sum())) if training else None
    slopes[low] = mean if drawn is None else drawn * (upper - lower) + lower
    return _applied(ops.rrelu, input, inplace, wrap(slopes))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns input where it is above 0, else alpha * (exp(input) - 1)."""
    return _applied(ops.elu, input, inplace, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns input where it is above 0, else alpha * (exp(input / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _applied(ops.celu, input, inplace, alpha, 1.0, 1 / alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns the self-normalising ELU. Source: Klambauer et al., 2017, equation 2."""
    return _applied(ops.elu, input, inplace, _SELU_ALPHA, _SELU_SCALE)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Returns input times the normal distribution function at input.

    `approximate="tanh"` replaces the error function by a tanh of a cubic.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return ops.gelu(input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns input * sigmoid(input)."""
    return _applied(ops.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns input * tanh(softplus(input))."""
    return _applied(ops.mish, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Returns log(1 + exp(beta * input)) / beta, and input itself above threshold / beta."""
    return ops.softplus(input, beta, threshold)


def logsigmoid(input: Tensor) -> Tensor:
    """Returns log(sigmoid(input)), without overflow."""
    return ops.log_sigmoid(input)


def sigmoid(input: Tensor) -> Tensor:
    """Returns 1 / (1 + exp(-input))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """Returns the hyperbolic tangent."""
    return input.tanh()


def softsign(input: Tensor) -> Tensor:
    """Returns input / (1 + |input|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """Returns input - tanh(input)."""
    return input - input.tanh()


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Returns input where |input| is above lambd, else 0."""
    return ops.hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Returns input moved towards 0 by lambd, and 0 where it is nearer than that.

    Raises: RuntimeError for a negative lambd.
    """
    if lambd < 0:
        most = torch.finfo(input.dtype).max
        raise RuntimeError(
            f"lambda must be in range [0, {most:.6g}] for input dtype {input.dtype.title}, "
            f"but found {lambd:g}"
        )
    return ops.softshrink(input, lambd)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Returns input where it is above threshold, else value."""
    return _applied(ops.threshold, input, inplace, threshold, value)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Returns input cut to [min_val, max_val]; the gradient is 0 at the bounds too."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype is torch.bool:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if min_val < 0 and input.dtype is torch.uint8:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return _applied(ops.hardtanh, input, inplace, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns min(max(input, 0), 6)."""
    return hardtanh(input, 0, 6, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns relu6(input + 3) / 6."""
    return _applied(ops.hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns input * relu6(input + 3) / 6."""
    return _applied(ops.hardswish, input, inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Returns a * sigmoid(b), where a and b are the halves of input along dim."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.shape[dim] % 2 != 0:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    return ops.glu(input, dim)


def softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns exp(input) / sum(exp(input)) along dim."""
    return torch.softmax(input, _dim_or_guess("softmax", dim, input, _stacklevel), dtype)


def softmin(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns softmax(-input) along dim."""
    return torch.softmax(-input, _dim_or_guess("softmin", dim, input, _stacklevel), dtype)


def log_softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns log(softmax(input)) along dim, without overflow."""
    return torch.log_softmax(input, _dim_or_guess("log_softmax", dim, input, _stacklevel), dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Returns draws from the relaxed categorical distribution of `logits` along dim.

    `hard` gives one-hot draws whose gradient is that of the soft ones. `eps` has no effect.
    Source: Jang et al., "Categorical Reparameterization with Gumbel-Softmax", 2017.
    """
    noise = -torch.empty_like(logits).detach().exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return torch.zeros_like(logits).detach().scatter(dim, index, 1.0) - soft.detach() + soft


def _dim_or_guess(name: str, dim: int | None, input: Tensor, stacklevel: int) -> int:
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return 0 if input.dim() in (0, 1, 3) else 1


relu_, leaky_relu_ = _in_place(relu), _in_place(leaky_relu)
rrelu_, elu_ = _in_place(rrelu), _in_place(elu)
celu_, selu_ = _in_place(celu), _in_place(selu)
threshold_, hardtanh_ = _in_place(threshold), _in_place(hardtanh)
