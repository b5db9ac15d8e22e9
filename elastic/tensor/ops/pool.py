"""Pooling: the largest or the mean of each window, and the ways back.

A window is folded one dimension at a time, over slices of the input shifted against each other.
Where the largest element stands is an index into the flattened last dimensions, as in PyTorch.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor.ops.conv import Sizes, taps

# Sizes


def pooled_size(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """How many windows there are along each dimension; in ceil mode also ones that reach out."""
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        count = -(-span // s) + 1 if ceil_mode else span // s + 1
        counts.append(count - (ceil_mode and (count - 1) * s >= n + p))
    return tuple(counts)


def _reach(counts: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    """How many cells all windows together span."""
    return tuple(
        (n - 1) * s + d * (k - 1) + 1
        for n, k, s, d in zip(counts, kernel, stride, dilation, strict=True)
    )


def _grown(xp: Any, x: Any, before: Sizes, size: Sizes, value: Any) -> Any:
    """`x` in an array of `value` whose last dimensions have `size`, `before` cells from the front.

    Cells at the end that no window sees are left away.
    """
    shape = x.shape[x.ndim - len(size) :]
    if not any(before) and shape == size:
        return x
    kept = [min(n, end - p) for n, p, end in zip(shape, before, size, strict=True)]
    out = xp.full((*x.shape[: x.ndim - len(size)], *size), value, x.dtype)
    places = [slice(p, p + n) for p, n in zip(before, kept, strict=True)]
    out[(..., *places)] = x[(..., *[slice(n) for n in kept])]
    return out


def _shifted(x: Any, axis: int, cell: int, count: int, stride: int) -> Any:
    return x[(slice(None),) * axis + (slice(cell, cell + (count - 1) * stride + 1, stride),)]


# The largest


def _lowest(x: Any) -> Any:
    return np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf


def _max_pool(
    xp: Any,
    x: Any,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Any:
    first = x.ndim - len(kernel)
    counts = pooled_size(x.shape[first:], kernel, stride, padding, dilation, ceil_mode)
    out = _grown(xp, x, padding, _reach(counts, kernel, stride, dilation), _lowest(x))
    for d in range(len(kernel)):
        part = partial(_shifted, out, first + d, count=counts[d], stride=stride[d])
        out = part(0).copy()
        for k in range(1, kernel[d]):
            xp.maximum(out, part(k * dilation[d]), out=out)
    return out


def _max_pool_with_indices(
    xp: Any,
    x: Any,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> tuple:
    best = _max_pool(xp, x, kernel, stride, padding, dilation, ceil_mode)
    first = x.ndim - len(kernel)
    size, counts = x.shape[first:], best.shape[first:]
    grown = _grown(xp, x, padding, _reach(counts, kernel, stride, dilation), _lowest(x))
    seen_by = [part for _, part in taps(kernel, counts, stride, dilation)]
    choice = xp.zeros(best.shape, np.min_scalar_type(len(seen_by)))
    for t in reversed(range(len(seen_by))):  # the first of several equal ones is left
        xp.copyto(choice, t, where=grown[(..., *seen_by[t])] == best)
    nan = best != best
    if nan.any():  # equal to nothing; the last one counts
        for t, seen in enumerate(seen_by):
            part = grown[(..., *seen)]
            xp.copyto(choice, t, where=part != part)
    corners = [np.arange(n) * s - p for n, s, p in zip(counts, stride, padding, strict=True)]
    cells = [np.arange(k) * d for k, d in zip(kernel, dilation, strict=True)]
    where = xp.asarray(_flat(cells, size).reshape(-1))[choice] + xp.asarray(_flat(corners, size))
    nothing = best == _lowest(x)
    if nothing.any():  # as low as padding, which does not count
        geometry = zip(counts, stride, padding, dilation, strict=True)
        starts = xp.asarray(_flat([_starts(*each) for each in geometry], size))
        where = xp.where(nothing, starts, where)
    return best, where


def _starts(count: int, stride: int, pad: int, dilation: int) -> Any:
    """The first cell of each window that is not padding."""
    corner = np.arange(count) * stride - pad
    return corner + np.maximum(-(corner // dilation) * dilation, 0)


def _flat(places: list, size: Sizes) -> Any:
    """Places along each dimension as an index into the flattened dimensions."""
    steps = [*accumulate(reversed(size[1:]), mul, initial=1)][::-1]
    total: Any = 0
    for k, (each, step) in enumerate(zip(places, steps, strict=True)):
        total = total + (each * step).reshape((-1,) + (1,) * (len(size) - k - 1))
    return total


def _to_indices(xp: Any, x: Any, indices: Any, size: Sizes, nd: int) -> Any:
    """Zeros of shape `size`, where each element is added at its index in the last `nd` dims."""
    out = xp.zeros(prod(size), x.dtype)
    backend.add_at(xp, out, _everywhere(xp, indices, size, nd).reshape(-1), x.reshape(-1))
    return out.reshape(size)


def _unpool(xp: Any, x: Any, indices: Any, size: Sizes, nd: int) -> Any:
    out = xp.zeros(prod(size), x.dtype)
    if out.size:
        out[_everywhere(xp, indices, size, nd)] = x
    return out.reshape(size)


def _everywhere(xp: Any, indices: Any, size: Sizes, nd: int) -> Any:
    """Indices into the last `nd` dimensions of an array of `size` as indices of all of it."""
    lead, rest = size[: len(size) - nd], prod(size[len(size) - nd :])
    return (xp.arange(prod(lead)) * rest).reshape(*lead, *(1,) * nd) + indices


def _best_of(xp: Any, x: Any, places: Any, nd: int) -> tuple:
    """The largest of the cells `places` (their indices in the last dimension), and its index."""
    lead = x.shape[: x.ndim - nd]
    flat = x.reshape(*lead, prod(x.shape[x.ndim - nd :]))
    places = xp.asarray(places)
    if places.ndim == nd + 1:
        seen = flat[..., places]
        choice = seen.argmax(-1)[..., None]
        where = xp.take_along_axis(xp.broadcast_to(places, seen.shape), choice, -1)
    else:
        seen = xp.take_along_axis(
            flat, places.reshape(*lead, prod(places.shape[len(lead) :])), -1
        ).reshape(places.shape)
        choice = seen.argmax(-1)[..., None]
        where = xp.take_along_axis(places, choice, -1)
    return xp.take_along_axis(seen, choice, -1)[..., 0], where[..., 0]


op(
    "_max_pool",
    _max_pool,
    lambda F, g, x, x_shape, kernel, stride, padding, dilation, ceil_mode: F._to_indices(
        g,
        F._max_pool_with_indices(x, kernel, stride, padding, dilation, ceil_mode)[1],
        x_shape,
        len(kernel),
    ),
    title="MaxPoolBackward0",
)
op(
    "_max_pool_with_indices",
    _max_pool_with_indices,
    lambda F, g, out, x_shape, kernel: F._to_indices(g, out[1], x_shape, len(kernel)),
    title="MaxPoolWithIndicesBackward0",
)
op(
    "_best_of",
    _best_of,
    lambda F, g, out, x_shape, nd: F._to_indices(g, out[1], x_shape, nd),
    title="AdaptiveMaxPoolBackward0",
)
op("_to_indices", _to_indices, lambda F, g, indices, nd: F._from_indices(g, indices, nd))
op("_unpool", _unpool, lambda F, g, indices, nd: F._from_indices(g, indices, nd))
op(
    "_from_indices",
    lambda xp, x, indices, nd: x.reshape(-1)[_everywhere(xp, indices, x.shape, nd)],
    lambda F, g, indices, x_shape, nd: F._to_indices(g, indices, x_shape, nd),
)

# The mean


def _divisors(
    size: Sizes,
    counts: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    """What each window's sum is divided by: how many cells it has, with or without padding."""
    if divisor is not None:
        return divisor
    total: Any = 1
    for d, (n, count, k, s, p) in enumerate(
        zip(size, counts, kernel, stride, padding, strict=True)
    ):
        start = np.arange(count) * s - p
        end = np.minimum(start + k, n + p)
        if not count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        if (end - start == k).all():
            total = total * k
        else:
            total = total * (end - start).reshape((-1,) + (1,) * (len(size) - d - 1))
    return total


def _avg_pool(
    xp: Any,
    x: Any,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    first, ones = x.ndim - len(kernel), (1,) * len(kernel)
    size = x.shape[first:]
    counts = pooled_size(size, kernel, stride, padding, ones, ceil_mode)
    out = _grown(xp, x, padding, _reach(counts, kernel, stride, ones), 0)
    for d in range(len(kernel)):
        if counts[d] == 1:
            out = out.sum(first + d, keepdims=True, dtype=x.dtype)
            continue
        part = partial(_shifted, out, first + d, count=counts[d], stride=stride[d])
        out = part(0).copy()
        for k in range(1, kernel[d]):
            out += part(k)
    by = _divisors(size, counts, kernel, stride, padding, count_include_pad, divisor)
    return _divided(xp, out, by)


def _divided(xp: Any, x: Any, by: Any) -> Any:
    if x.dtype.kind in "iu":
        return xp.trunc(x / xp.asarray(by)).astype(x.dtype)
    return x * xp.asarray(1 / by, x.dtype)


def _avg_pool_back(
    xp: Any,
    grad: Any,
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    first, counts = grad.ndim - len(kernel), grad.shape[grad.ndim - len(kernel) :]
    by = _divisors(size[first:], counts, kernel, stride, padding, count_include_pad, divisor)
    out = _divided(xp, grad, by)
    reach = _reach(counts, kernel, stride, (1,) * len(kernel))
    for d in reversed(range(len(kernel))):
        length = max(reach[d], size[first + d] + padding[d])
        grown = xp.zeros((*out.shape[: first + d], length, *out.shape[first + d + 1 :]), out.dtype)
        for k in range(kernel[d]):
            _shifted(grown, first + d, k, counts[d], stride[d])[...] += out
        start = padding[d]
        out = grown[(slice(None),) * (first + d) + (slice(start, start + size[first + d]),)]
    return out


op(
    "_avg_pool",
    _avg_pool,
    lambda F, g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor: (
        F._avg_pool_back(g, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    ),
)
op(
    "_avg_pool_back",
    _avg_pool_back,
    lambda F, g, kernel, stride, padding, ceil_mode, count_include_pad, divisor: F._avg_pool(
        g, kernel, stride, padding, ceil_mode, count_include_pad, divisor
    ),
)
