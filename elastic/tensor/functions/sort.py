"""Order, rank and search."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor import backend, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.functions._outputs import apart
from elastic.tensor.functions.reduce import check_not_empty


@public(out=True)
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = False
) -> Any:
    """(values, indices) of `input` in order along `dim`; equal elements keep their order."""
    return return_types.sort(*F.sort(input, dim, descending))


@public(out=True)
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Tensor:
    """The indices that sort `input` along `dim`."""
    return F.sort(input, dim, descending)[1]


@public(out=True)
def msort(input: Tensor) -> Tensor:
    """`input` in order along its first dimension."""
    return F.sort(input, 0)[0]


@public(out=True)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the `k` largest (or smallest) along `dim`, in order."""
    return return_types.topk(*F.topk(input, k, dim, largest))


@public(out=apart)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the `k`-th smallest element along `dim`; nan counts as the largest."""
    _check_dim_not_empty("kthvalue", input, dim)
    return return_types.kthvalue(*F.kthvalue(input, k, dim, keepdim))


@public(out=True)
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, the lower of two; along `dim` (values, indices). A nan makes it nan."""
    return _median(input, dim, keepdim, F._median_dim, return_types.median)


@public(out=True)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not nan, the lower of two; along `dim` (values, indices)."""
    return _median(input, dim, keepdim, F._nanmedian_dim, return_types.nanmedian)


def _median(input: Tensor, dim: int | None, keepdim: bool, find: Any, result: Any) -> Any:
    if dim is not None:
        _check_dim_not_empty(result.__name__, input, dim)
        return result(*find(input, dim, keepdim))
    if not input._array.size:
        return wrap(np.full((), np.nan, input._array.dtype))
    return find(F.reshape(input, (-1,)), 0)[0]


@public(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent element along `dim`, of several the smallest."""
    _check_dim_not_empty("mode", input, dim)
    return return_types.mode(*F.mode(input, dim, keepdim))


def _check_dim_not_empty(name: str, input: Tensor, dim: int) -> None:
    shape = input._array.shape
    if 0 in shape:
        check_not_empty(f"{name}()", input, dim % len(shape))


# Quantiles


@public(out=True)
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The `q`-th quantiles along `dim`, or of all elements; several `q` give a first dimension."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@public(out=True)
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The `q`-th quantiles of what is not nan."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    _check_quantile(name, input, q, interpolation)
    shape = input._array.shape
    q = q if isinstance(q, Tensor) else wrap(np.asarray(q, input._array.dtype))
    x = F.reshape(input, (-1,)) if dim is None or not shape else F.movedim(input, dim, -1)
    found = _interpolated(F.sort(x)[0], F.reshape(q, (-1,)), interpolation, name == "nanquantile")
    if keepdim:
        kept = [1 if dim is None or d == dim % len(shape) else n for d, n in enumerate(shape)]
        found = F.reshape(found, (*kept, -1))
    return F.movedim(found, -1, 0) if q._array.ndim else F.squeeze(found, -1)


def _check_quantile(name: str, input: Tensor, q: Any, interpolation: str) -> None:
    values = q._array if isinstance(q, Tensor) else np.asarray(q)
    told = {
        "q must be a scalar or 1D tensor": values.ndim > 1,
        "input tensor must be non-empty": not input._array.size,
        "input tensor must be either float or double dtype": input._array.dtype.char not in "fd",
        "q tensor must be same dtype as the input tensor": isinstance(q, Tensor)
        and q.dtype is not input.dtype,
        "interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
        f"{interpolation}": interpolation not in _INTERPOLATIONS,
        f"q must be in the range [0, 1] but got {q}": not isinstance(q, Tensor) and not 0 <= q <= 1,
        "q values must be in the range [0, 1]": not ((values >= 0) & (values <= 1)).all(),
    }
    for text, wrong in told.items():
        if wrong:
            raise RuntimeError(f"{name}() {text}")


def _interpolated(x: Tensor, q: Tensor, interpolation: str, ignore_nan: bool) -> Tensor:
    """The elements of the ordered last dimension of `x` at the fractional ranks that `q` names."""
    valid = F.logical_not(F.isnan(x))
    count = F.sum(valid, -1, True)
    ranks = q * F.clamp(count - 1, 0, None).to(x.dtype)
    if not ignore_nan:
        ranks = F.masked_fill(ranks, count < x._array.shape[-1], x._array.shape[-1] - 1)
    rounding = {"lower": F.floor, "higher": F.ceil, "nearest": F.round}.get(interpolation)
    if rounding is not None:
        return F.gather(x, -1, rounding(ranks).long())
    below = ranks.long()
    weight = 0.5 * F.ones_like(ranks) if interpolation == "midpoint" else ranks - below
    low, high = F.gather(x, -1, below), F.gather(x, -1, F.ceil(ranks).long())
    return F.lerp(low, high, weight)


# Search


@public(method=False, out=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where `input` would stand in the ordered last dimension: before equal ones, or after."""
    values = input if isinstance(input, Tensor) else wrap(np.asarray(input))
    _check_search(sorted_sequence, values, right, side, sorter)
    if sorter is not None:
        sorted_sequence = F.gather(sorted_sequence, -1, sorter)
    found = F._searchsorted(sorted_sequence, values, right or side == "right")
    return found.int() if out_int32 else found


def _check_search(
    bounds: Tensor, values: Tensor, right: bool, side: str | None, sorter: Tensor | None
) -> None:
    a, b = list(bounds._array.shape), list(values._array.shape)
    if side not in (None, "left", "right"):
        text = f"side can only be 'left' or 'right' but got {side}"
    elif side == "left" and right:
        text = "side and right can't be set to opposites, got side of left while right was True"
    elif sorter is not None and list(sorter._array.shape) != a:
        text = (
            f"boundary and sorter must have the same size, but got boundary tensor {a}and got "
            f"sorter tensor {list(sorter._array.shape)}"
        )
    elif sorter is not None and sorter._array.size and _outside(sorter._array, a[-1]):
        text = "sorter index out of range"
    elif len(a) != 1 and not b:
        text = (
            "input value can be a scalar only when boundaries tensor dimension is 1, but we got "
            f"boundaries tensor dim({len(a)}) and input value's dim(0) numel(1)"
        )
    elif len(a) != 1 and a[:-1] != b[:-1]:
        text = (
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {a} and "
            f"input value tensor {b}"
        )
    else:
        return
    raise RuntimeError(f"torch.searchsorted(): {text}")


def _outside(index: Any, size: int) -> bool:
    return bool(index.min() < 0 or index.max() >= size)


@public(method=False, out=True)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the interval between ordered `boundaries` that each element lies in."""
    if boundaries._array.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries._array.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@public()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, … occurs in `input`, or the sum of their `weights`."""
    x = input._array
    if x.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype.title}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x.ndim != 1 or (x.size and x.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    return F.bincount(input, weights, minlength)


# Distinct elements


@public()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order; on demand where each came from, and how often."""
    x = backend.to_host(input._array)
    values, inverse, counts = np.unique(x, False, True, True, dim, equal_nan=False)
    inverse = inverse.reshape(x.shape if dim is None else -1)
    return _wanted(values, inverse, counts, return_inverse, return_counts)


@public()
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """`input` without what repeats its neighbour; on demand where each went, and how often."""
    x = backend.to_host(input._array)
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    others = tuple(range(1, rows.ndim))
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(others) if others else rows[1:] != rows[:-1]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(rows)))
    inverse = np.cumsum(new) - 1
    if dim is None:
        return _wanted(
            rows[starts], inverse.reshape(x.shape), counts, return_inverse, return_counts
        )
    values = np.moveaxis(rows[starts], 0, dim)
    return _wanted(values, inverse, counts, return_inverse, return_counts)


def _wanted(
    values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool
) -> Any:
    pairs = ((inverse, return_inverse), (counts, return_counts))
    more = tuple(wrap(np.asarray(array)) for array, wanted in pairs if wanted)
    first = wrap(np.ascontiguousarray(values))
    return (first, *more) if more else first
