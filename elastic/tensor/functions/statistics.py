"""Histograms, covariance and integrals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import _sequences, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap

# Histograms


@public(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals of [min, max] (of all, if 0)."""
    if max < min:
        raise RuntimeError("torch.histc: max must be larger than min")
    bounds = None if min == max == 0 else (float(min), float(max))
    edges = _edges(input._array.reshape(-1), bins, bounds, 0)
    return wrap(_counts([input._array.reshape(-1)], [edges], None).astype(input._array.dtype))


@public(out=True)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): how many elements, or what weight, falls between neighbouring edges.

    `bins` is their number or the edges; with `density` the integral of the result is 1.
    """
    flat = F.reshape(input, (-1, 1))
    weights = None if weight is None else F.reshape(weight, (-1,))
    both = None if range is None else tuple(range)
    hist, edges = histogramdd(flat, [bins], range=both, weight=weights, density=density)
    return return_types.histogram(hist, edges[0])


@public(method=False)
def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges) of points whose coordinates are the last dimension of `input`."""
    points = input._array.reshape(-1, input._array.shape[-1])
    count = points.shape[1]
    bins = [bins] * count if isinstance(bins, int) else list(bins)
    if len(bins) != count:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input."
        )
    pairs = [None] * count if range is None else list(zip(range[::2], range[1::2], strict=True))
    edges = [
        _edges(points[:, d], each, bounds, d)
        for d, (each, bounds) in enumerate(zip(bins, pairs, strict=True))
    ]
    hist = _counts(points.T, edges, None if weight is None else weight._array.reshape(-1))
    hist = hist.astype(points.dtype)
    if density:
        hist = hist / hist.sum()
        for d, each in enumerate(edges):
            hist = hist / np.diff(each).reshape((-1,) + (1,) * (count - d - 1))
    return return_types.histogramdd(wrap(hist), tuple(wrap(each) for each in edges))


def _edges(values: Any, bins: Any, bounds: tuple | None, d: int) -> Any:
    """The edges of `bins` intervals between `bounds`, by default around all `values`."""
    if isinstance(bins, Tensor):
        return bins._array
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension {d}")
    if bounds is None:
        bounds = (values.min().item(), values.max().item()) if values.size else (0.0, 1.0)
    low, high = bounds
    if low > high:
        raise RuntimeError(
            f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for "
            f"dimension {d}"
        )
    if not np.isfinite([low, high]).all():
        raise RuntimeError(f"torch.histogram: range of [{low:g}, {high:g}] is not finite")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _sequences.linspace(low, high, bins + 1, dtype=wrap(values).dtype)._array


def _counts(columns: Any, edges: list, weight: Any) -> Any:
    """How many points lie in each cell of the grid of `edges`, whose last ones are inside."""
    shape = tuple(len(each) - 1 for each in edges)
    cells, inside = [], True
    for column, each in zip(columns, edges, strict=True):
        cell = np.searchsorted(each, column, "right") - 1
        cell = np.where(column == each[-1], len(each) - 2, cell)
        inside = inside & (column >= each[0]) & (column <= each[-1])
        cells.append(np.clip(cell, 0, len(each) - 2))
    flat = np.ravel_multi_index(cells, shape)[inside]
    weight = None if weight is None else weight[inside]
    return np.bincount(flat, weight, int(np.prod(shape))).reshape(shape)


# Covariance


@public()
def cov(
    input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> Tensor:
    """The covariance matrix of variables (rows) from observations (columns) with their weights."""
    _check_cov(input, fweights, aweights)
    x = F.reshape(input, (1, -1)) if input._array.ndim < 2 else input
    count = x._array.shape[1]
    both = [w for w in (fweights, aweights) if w is not None]
    w = both[0] * both[1] if len(both) == 2 else both[0] if both else None
    total: Any = count if w is None else F.sum(w)
    mean = F.sum(x if w is None else x * w, 1, True) / total
    factor = total - correction
    if aweights is not None and correction != 0:
        factor = total - correction * F.sum(w * aweights) / total
    if factor <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0.", UserWarning, stacklevel=3)
        factor = factor * 0
    x = x - mean
    right = x if w is None else x * w
    return F.squeeze(F.mm(x, F.conj(F.t(right))) / factor)


def _check_cov(input: Tensor, fweights: Any, aweights: Any) -> None:
    if input._array.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input._array.ndim} dimensions"
        )
    count = input._array.shape[-1] if input._array.ndim else 1
    kinds = {"fweights": ("integral", "biu"), "aweights": ("floating point", "fV")}
    for (name, (kind, letters)), w in zip(kinds.items(), (fweights, aweights), strict=True):
        if w is None:
            continue
        text = None
        if w._array.ndim > 1:
            text = f"one or fewer dimensions but got {name} with {w._array.ndim} dimensions"
        elif w._array.dtype.kind not in letters:
            text = f"{kind} dtype but got {name} with {w.dtype.title} dtype"
        elif w._array.size != count:
            text = (
                "the same numel as there are observations in the input but got "
                f"{w._array.size} != {count}"
            )
        if text is not None:
            raise RuntimeError(f"cov(): expected {name} to have {text}")
        if count and w._array.min() < 0:
            raise RuntimeError(f"cov(): {name} cannot be negative")


@public()
def corrcoef(input: Tensor) -> Tensor:
    """The correlation matrix of variables (rows) from observations (columns)."""
    if input._array.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input._array.ndim} dimensions"
        )
    c = cov(input)
    if not c._array.ndim:
        return c / c
    deviation = F.sqrt(F.real(F.diagonal(c)))
    c = c / F.unsqueeze(deviation, 1) / deviation
    return c if c.is_complex() else F.clamp(c, -1, 1)


# Integrals


@public(method=False)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of `y` along `dim` by the trapezoidal rule."""
    return F.sum(_trapezoids("trapezoid", y, x, dx, dim), dim)


@public(method=False)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1
) -> Tensor:
    """The integral of `y` along `dim` up to each point."""
    return F.cumsum(_trapezoids("cumulative_trapezoid", y, x, dx, dim), dim)


def _trapezoids(name: str, y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    sums = _neighbours(y, dim, F.add)
    if x is None:
        return sums * (dx / 2)
    if x._array.ndim == 1 and y._array.ndim > 1:
        if x._array.size != y._array.shape[dim]:
            raise RuntimeError(f"{name}(): There must be one `x` value for each sample point")
        x = F.reshape(x, [-1 if d == dim % y._array.ndim else 1 for d in range(y._array.ndim)])
    elif x._array.ndim < y._array.ndim:
        x = F.reshape(x, (1,) * (y._array.ndim - x._array.ndim) + x._array.shape)
    return sums * _neighbours(x, dim, F.sub) / 2


def _neighbours(x: Tensor, dim: int, function: Any) -> Tensor:
    n = max(x._array.shape[dim] - 1, 0)
    return function(F.narrow(x, dim, x._array.shape[dim] - n, n), F.narrow(x, dim, 0, n))
