"""Normalisation: away with the mean and the scale of some dimensions.

Batch, layer, group and instance norm are this one op on different shapes and dimensions.
"""

from __future__ import annotations

from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor._tensor import Tensor


def _rows(x: Any, dims: tuple[int, ...]) -> Any:
    """`x` as a matrix, whose rows are those of `dims` that are its last dimensions."""
    last = _trailing(dims)
    return x.reshape(prod(x.shape[: x.ndim - last]), prod(x.shape[x.ndim - last :]))


def _trailing(dims: tuple[int, ...]) -> int:
    """How many of `dims` are the last ones."""
    return next((k for k in range(len(dims)) if -k - 1 not in dims), len(dims))


def _folded(sums: Any, shape: tuple, dims: tuple[int, ...]) -> Any:
    """Sums of rows, now also over the rest of `dims`, and with all of these as 1."""
    last = _trailing(dims)
    sums = sums.reshape(*shape[: len(shape) - last], *(1,) * last)
    rest = tuple(d for d in dims if d < -last)
    return sums.sum(rest, keepdims=True) if rest else sums


def _sum(xp: Any, x: Any, dims: tuple[int, ...]) -> Any:
    """As x.sum(dims, keepdims=True): a matrix by ones is faster than sums of short rows."""
    rows = _rows(x, dims)
    return _folded(xp.matmul(rows, xp.ones(rows.shape[1], x.dtype)), x.shape, dims)


def _sum_of_products(xp: Any, x: Any, y: Any, dims: tuple[int, ...]) -> Any:
    """As (x * y).sum(dims, keepdims=True), without the product in memory."""
    sums = xp.einsum("ij,ij->i", _rows(x, dims), _rows(y, dims))
    return _folded(sums, x.shape, dims)


def moments_of(xp: Any, x: Any, dims: tuple[int, ...], eps: float) -> tuple:
    """The mean of `x` over `dims`, its biased variance, and 1 / sqrt(variance + eps)."""
    count = max(prod(x.shape[d] for d in dims), 1)
    mean = _sum(xp, x, dims) / count
    centered = x - mean
    variance = _sum_of_products(xp, centered, centered, dims) / count
    return mean, variance, 1 / xp.sqrt(variance + eps)


def _even(weight: Any, dims: tuple[int, ...]) -> bool:
    """Whether the weight is the same for all elements that are normalised together."""
    return weight is None or all(-d > weight.ndim or weight.shape[d] == 1 for d in dims)


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
    hat = x - mean
    if _even(weight, dims):
        total, slope = _sum(xp, g, dims), _sum_of_products(xp, g, hat, dims)
        hat *= slope * (rstd * rstd / count)
        d_x = xp.subtract(g, hat, out=hat)
        d_x -= total / count
        d_x *= rstd if weight is None else rstd * weight
        # without a weight nobody reads what it gets, and a bias may have any shape
        return (d_x, g, g) if weight is None else (d_x, slope * rstd, total)
    hat *= rstd
    d_x = g * weight
    total, slope = _sum(xp, d_x, dims), _sum_of_products(xp, d_x, hat, dims)
    d_weight, d_bias = _of_weight(xp, g, hat, weight.shape)
    hat *= slope / count
    d_x -= hat
    d_x -= total / count
    d_x *= rstd
    return d_x, d_weight, d_bias


def _of_weight(xp: Any, g: Any, hat: Any, shape: tuple) -> tuple:
    """What weight and bias, both of `shape`, get back; what is left to sum the walker sums."""
    ones = next((k for k, n in enumerate(reversed(shape)) if n != 1), len(shape))
    if ones:
        dims = tuple(range(-ones, 0))
        return _sum_of_products(xp, g, hat, dims), _sum(xp, g, dims)
    if g.shape[g.ndim - len(shape) :] != shape:
        return g * hat, g
    a, b = (each.reshape(-1, prod(shape)) for each in (g, hat))
    d_bias = xp.matmul(xp.ones(len(a), a.dtype), a)
    return xp.einsum("ij,ij->j", a, b).reshape(shape), d_bias.reshape(shape)


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
