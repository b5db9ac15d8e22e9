"""Running folds, differences and integrals along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elastic.tensor import _creation, dtypes, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.functions.reduce import cast
from elastic.tensor.ops.reduce import axes, place


@public(inplace=True, out=True)
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running sum along `dim`; integers give int64."""
    return _as(dtype, F.cumsum(cast(input, dtype), dim))


@public(inplace=True, out=True)
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running product along `dim`; integers give int64."""
    return _as(dtype, F.cumprod(cast(input, dtype), dim))


def _as(dtype: Any, result: Tensor) -> Tensor:
    return result if dtype is None or dtype is result.dtype else result.to(dtype)


@public(out=True)
def cummax(input: Tensor, dim: int) -> Any:
    """(values, indices): the largest element so far along `dim`, and where it was last met."""
    return return_types.cummax(*F.cummax(input, dim))


@public(out=True)
def cummin(input: Tensor, dim: int) -> Any:
    """(values, indices): the smallest element so far along `dim`, and where it was last met."""
    return return_types.cummin(*F.cummin(input, dim))


@public(out=True)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """The logarithm of the running sum of exp(input) along `dim`, without overflow."""
    if dtypes.rank(input.dtype) < 2:
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{input.dtype.title}'"
        )
    return F.logcumsumexp(input, dim)


# Differences


@public(out=True)
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """The `n`-th difference of neighbours along `dim`, with more put before and after it."""
    if not input._array.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if not n:
        return F.clone(input)
    parts = [each for each in (prepend, input, append) if each is not None]
    x = input if len(parts) == 1 else F.cat(parts, dim)
    for _ in range(min(n, x._array.shape[dim])):
        after, before = _but_first(x, dim), _but_last(x, dim)
        x = F.logical_xor(after, before) if x.dtype is dtypes.bool_ else after - before
    return x


def _but_first(x: Tensor, dim: int) -> Tensor:
    return F.narrow(x, dim, min(1, x._array.shape[dim]), max(x._array.shape[dim] - 1, 0))


def _but_last(x: Tensor, dim: int) -> Tensor:
    return F.narrow(x, dim, 0, max(x._array.shape[dim] - 1, 0))


@public(method=False)
def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The derivative along each of `dim` (all) by central differences, one-sided at the edges.

    `spacing` is the distance of neighbours, or one a dimension, or their coordinates.
    """
    dims, steps = _dims_and_steps(input, spacing, dim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if any(input._array.shape[d] < edge_order + 1 for d in dims):
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    return tuple(
        _derivative(input, d, step, edge_order) for d, step in zip(dims, steps, strict=True)
    )


def _dims_and_steps(input: Tensor, spacing: Any, dim: Any) -> tuple:
    ndim = input._array.ndim
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    axes(dims, ndim)
    if spacing is None:
        spacing = 1
    if not isinstance(spacing, Sequence):
        return [place(d, ndim) for d in dims], [spacing] * len(dims)
    if len(spacing) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim "
            f"arguments to have the same length, but got a spacing argument of length "
            f"{len(spacing)} and a dim argument of length {len(dims)}."
        )
    return [place(d, ndim) for d in dims], list(spacing)


def _derivative(x: Tensor, dim: int, step: Any, edge_order: int) -> Tensor:
    n = x._array.shape[dim]
    if isinstance(step, Tensor):
        gaps = F.reshape(F.narrow(step, 0, 1, n - 1) - F.narrow(step, 0, 0, n - 1), (-1,))
    else:
        dtype = x.dtype if dtypes.rank(x.dtype) > 1 else None
        gaps = F.expand(_creation.full((1,), float(step), dtype=dtype), (n - 1,))
    shape = [-1 if d == dim else 1 for d in range(x._array.ndim)]
    gaps = F.reshape(gaps, shape)
    slopes = (F.narrow(x, dim, 1, n - 1) - F.narrow(x, dim, 0, n - 1)) / gaps
    first, last = F.narrow(slopes, dim, 0, 1), F.narrow(slopes, dim, n - 2, 1)
    if n == 2:
        return F.cat([first, last], dim)
    left, right = F.narrow(gaps, dim, 0, n - 2), F.narrow(gaps, dim, 1, n - 2)
    before, after = F.narrow(slopes, dim, 0, n - 2), F.narrow(slopes, dim, 1, n - 2)
    inner = (before * right + after * left) / (left + right)
    if edge_order == 2:
        first = 2 * first - F.narrow(inner, dim, 0, 1)
        last = 2 * last - F.narrow(inner, dim, n - 3, 1)
    return F.cat([first, inner, last], dim)
