"""Ops that order elements, pick by rank, and search in order."""

from __future__ import annotations

from math import prod
from typing import Any

from elastic.tensor.ops.index import pick
from elastic.tensor.ops.reduce import chosen_vjp, place


def _order(xp: Any, x: Any, axis: int, descending: bool = False) -> Any:
    """The indices that sort, nan last; equal elements keep their order in both directions."""
    if not descending:
        return xp.argsort(x, axis, kind="stable")
    turned = xp.flip(x, axis)
    return x.shape[axis] - 1 - xp.flip(xp.argsort(turned, axis, kind="stable"), axis)


def _sort(xp: Any, x: Any, dim: int = -1, descending: bool = False) -> tuple:
    axis = place(dim, x.ndim)
    if x.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    if not x.ndim:
        return x.copy(), xp.zeros((), xp.int64)
    order = _order(xp, x, axis, descending)
    return xp.take_along_axis(x, order, axis), order


def _topk(
    xp: Any, x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple:
    axis = place(dim, x.ndim)
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if not x.ndim:
        shape = () if k else (0,)
        return xp.resize(x, shape), xp.zeros(shape, xp.int64)
    n, some = x.shape[axis], (slice(None),) * axis
    if not k:
        return x[(*some, slice(0))], xp.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), xp.int64)
    found = xp.argpartition(x, n - k if largest else k - 1, axis)
    found = xp.sort(found[(*some, slice(n - k, n) if largest else slice(k))], axis)
    values = xp.take_along_axis(x, found, axis)
    order = _order(xp, values, axis, largest)
    return xp.take_along_axis(values, order, axis), xp.take_along_axis(found, order, axis)


def _sorted_vjp(F: Any, g: Any, out: tuple, x_shape: tuple, dim: int) -> Any:
    return F.scatter(F._new_zeros(g, x_shape), dim, out[1], g)


pick("sort", _sort, _sorted_vjp)
pick("topk", _topk, _sorted_vjp)

# One element of each slice, by its rank


def _ranked(xp: Any, x: Any, rank: Any, dim: int, keepdim: bool) -> tuple:
    """The elements of that rank along `dim`, and their indices."""
    if not x.ndim:
        return x.copy(), xp.zeros((), xp.int64)
    axis = place(dim, x.ndim)
    if rank.size and rank.min() == rank.max() and (x == x).all():
        # for one rank everywhere a full order is too much; of several nan the first is wanted
        order = xp.argpartition(x, int(rank.flat[0]), axis)
    else:
        order = _order(xp, x, axis)
    return _at_places(xp, x, xp.take_along_axis(order, rank, axis), axis, keepdim)


def _at_places(xp: Any, x: Any, places: Any, axis: int, keepdim: bool) -> tuple:
    values = xp.take_along_axis(x, places, axis)
    return (values, places) if keepdim else (values.squeeze(axis), places.squeeze(axis))


def _count(xp: Any, x: Any, dim: int) -> Any:
    """How many elements along `dim` are no nan."""
    return (x == x).sum(place(dim, x.ndim) if x.ndim else None, keepdims=True)


def _kthvalue(xp: Any, x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple:
    axis = place(dim, x.ndim)
    if not 1 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return _ranked(xp, x, xp.full((1,) * x.ndim, k - 1), dim, keepdim)


def _median(xp: Any, x: Any, dim: int, keepdim: bool = False) -> tuple:
    count, n = _count(xp, x, dim), x.shape[dim] if x.ndim else 1
    return _ranked(xp, x, xp.where(count < n, count, (n - 1) // 2), dim, keepdim)


def _nanmedian(xp: Any, x: Any, dim: int, keepdim: bool = False) -> tuple:
    return _ranked(xp, x, xp.maximum(_count(xp, x, dim) - 1, 0) // 2, dim, keepdim)


def _mode(xp: Any, x: Any, dim: int = -1, keepdim: bool = False) -> tuple:
    """The most frequent element along `dim`, of several the smallest, and where it is last."""
    if not x.ndim:
        return x.copy(), xp.zeros((), xp.int64)
    axis = place(dim, x.ndim)
    values, order = _sort(xp, x, axis)
    steps = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    before = xp.roll(values, 1, axis)
    starts = xp.where((values != before) | (steps == 0), steps, 0)
    repeats = steps - xp.maximum.accumulate(starts, axis)  # how often the element came before
    last = xp.take_along_axis(order, repeats.argmax(axis, keepdims=True), axis)
    return _at_places(xp, x, last, axis, keepdim)


pick("kthvalue", _kthvalue, chosen_vjp)
pick("_median_dim", _median, chosen_vjp, title="MedianBackward1")
pick("_nanmedian_dim", _nanmedian, chosen_vjp, title="NanmedianBackward1")
pick("mode", _mode, chosen_vjp)

# Search


def _searchsorted(xp: Any, x: Any, values: Any, right: bool = False) -> Any:
    """For each of `values` the place in the ordered last dimension of `x` where it would stand."""
    side = "right" if right else "left"
    if x.ndim == 1:
        return xp.searchsorted(x, values, side)
    if not values.size:
        return xp.zeros(values.shape, xp.int64)
    count = prod(x.shape[:-1])
    rows, wanted = x.reshape(count, x.shape[-1]), values.reshape(count, -1)
    found = [xp.searchsorted(row, each, side) for row, each in zip(rows, wanted, strict=True)]
    return xp.stack(found).reshape(values.shape)


pick("_searchsorted", _searchsorted)


def _bincount(xp: Any, x: Any, weights: Any = None, minlength: int = 0) -> Any:
    out = xp.bincount(x, weights, minlength)
    single = weights is not None and weights.dtype == xp.float32
    return out.astype(xp.float32) if single else out


pick("bincount", _bincount)
