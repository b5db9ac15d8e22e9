"""Normalisation: away with the mean and the scale of some dimensions.

Batch, layer, group and instance norm are this one op on different shapes and dimensions.
"""

from __future__ import annotations

from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor._tensor import Tensor


def _mean_and_variance(xp: Any, x: Any, dims: tuple[int, ...]) -> tuple:
    count = max(prod(x.shape[d] for d in dims), 1)
    mean = x.sum(dims, keepdims=True) / count
    centered = x - mean
    centered *= centered
    return mean, centered.sum(dims, keepdims=True) / count


def _even(weight: Any, dims: tuple[int, ...]) -> bool:
    """Whether the weight is the same for all elements that are normalised together."""
    return weight is None or all(-d > weight.ndim or weight.shape[d] == 1 for d in dims)


def moments_of(xp: Any, x: Any, dims: tuple[int, ...], eps: float) -> tuple:
    """The mean of `x` over `dims`, its biased variance, and 1 / sqrt(variance + eps)."""
    mean, variance = _mean_and_variance(xp, x, dims)
    return mean, variance, 1 / xp.sqrt(variance + eps)


def _normalize(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any,
    dims: tuple[int, ...],
    eps: float,
    moments: tuple | None = None,  # those of x, where they are known already
) -> Any:
    mean, _, rstd = moments or moments_of(xp, x, dims, eps)
    if _even(weight, dims):
        scale = rstd if weight is None else rstd * weight
        out = x * scale
        shift = mean * scale
        out -= shift if bias is None else shift - bias
        return out
    out = x - mean
    out *= rstd
    out *= weight
    if bias is not None:
        out += bias
    return out


def _normalize_back(
    xp: Any,
    g: Any,
    x: Any,
    weight: Any,
    dims: tuple[int, ...],
    eps: float,
    moments: tuple | None,
) -> tuple:
    """What input, weight and bias get back, in few passes over little memory."""
    mean, _, rstd = moments or moments_of(xp, x, dims, eps)
    count = max(prod(x.shape[d] for d in dims), 1)
    centered = x - mean
    part = g if _even(weight, dims) else g * weight
    product = part * centered
    total, slope = (each.sum(dims, keepdims=True) for each in (part, product))
    if weight is None:
        d_weight, d_bias, scale = g, g, rstd  # without a weight, nobody reads the first
    elif part is g:
        d_weight, d_bias, scale = slope * rstd, total, rstd * weight
    else:
        d_weight, d_bias, scale = g * (centered * rstd), g, rstd
    centered *= slope * (rstd * rstd / count)
    d_x = xp.subtract(part, centered, out=centered)
    d_x -= total / count
    d_x *= scale
    return d_x, d_weight, d_bias


def _normalize_vjp(
    F: Any,
    g: Any,
    x: Any,
    weight: Any,
    bias: Any,
    dims: tuple[int, ...],
    eps: float,
    moments: tuple | None,
) -> list:
    if not isinstance(g, Tensor):
        found = F._normalize_back(g, x, weight, dims, eps, moments)
    else:  # the moments are functions of x again, so that the second order sees them
        centered = x - F.mean(x, dims, True)
        again = F.rsqrt(F.mean(centered * centered, dims, True) + eps)
        hat = centered * again
        part = g if weight is None else g * weight
        slope = F.mean(part * hat, dims, True)
        found = (again * (part - F.mean(part, dims, True) - hat * slope), g * hat, g)
    d_x, d_weight, d_bias = found
    return [d_x, None if weight is None else d_weight, None if bias is None else d_bias]


op("_normalize_back", _normalize_back)
op("_normalize", _normalize, joint=_normalize_vjp, title="NativeBatchNormBackward0")
