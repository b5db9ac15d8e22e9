"""Ops that pick and place by index or mask, sort and search."""

from __future__ import annotations

from functools import partial
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op

pick = partial(op, wide=False)


def _add_at(xp: Any, x: Any, size: Any, index: Any) -> Any:
    out = xp.zeros(size, x.dtype)
    backend.add_at(xp, out, index, x)
    return out


# x[index] with arrays in the index, and its transpose: repeated places add up
pick(
    "_index",
    lambda xp, x, index: x[index],
    lambda F, g, x_shape, index: F._index_add_at(g, x_shape, index),
)
op("_index_add_at", _add_at, lambda F, g, index: F._index(g, index))


def _index_put(xp: Any, x: Any, index: Any, value: Any, accumulate: bool = False) -> Any:
    out = x.copy()
    if accumulate:
        backend.add_at(xp, out, index, value)
    else:
        out[index] = value
    return out


pick(
    "index_put",
    _index_put,
    lambda F, g, index, accumulate: g if accumulate else F.index_put(g, index, 0.0),
    None,
    lambda F, g, index: F._index(g, index),
    inplace=True,
)


def _along(xp: Any, index: Any, dim: int) -> tuple:
    """The full index of `index` along `dim`, as gather and scatter mean it."""
    grid = [
        xp.arange(n).reshape((-1,) + (1,) * (index.ndim - k - 1)) for k, n in enumerate(index.shape)
    ]
    grid[dim] = index
    return tuple(grid)


def _gather(xp: Any, x: Any, dim: int, index: Any) -> Any:
    return x[_along(xp, _checked(index, x.shape, dim), dim)] if x.ndim else x.copy()


def _checked(index: Any, shape: tuple, dim: int) -> Any:
    size = shape[dim] if shape else 1
    wrong = (index < 0) | (index >= size)
    if index.size and wrong.any():
        raise RuntimeError(
            f"index {int(index[wrong][0])} is out of bounds for dimension {dim} with size {size}"
        )
    return index


def _part(value: Any, index: Any) -> Any:
    return value[tuple(slice(n) for n in index.shape)] if getattr(value, "ndim", 0) else value


def _scatter(xp: Any, x: Any, dim: int, index: Any, src: Any) -> Any:
    out = x.copy()
    out[_along(xp, _checked(index, x.shape, dim), dim)] = _part(src, index)
    return out


def _scatter_add(xp: Any, x: Any, dim: int, index: Any, src: Any) -> Any:
    out = x.copy()
    backend.add_at(xp, out, _along(xp, _checked(index, x.shape, dim), dim), _part(src, index))
    return out


def _to_src(F: Any, g: Any, dim: int, index: Any, src_shape: tuple | None) -> Any:
    part = F.gather(g, dim, index)
    if src_shape is None or tuple(part.shape) == src_shape:
        return part
    return F._place(part, src_shape, tuple(slice(n) for n in part.shape))


pick(
    "gather",
    _gather,
    lambda F, g, x_shape, dim, index: F.scatter_add(F._new_zeros(g, x_shape), dim, index, g),
)
pick(
    "scatter", _scatter, lambda F, g, dim, index: F.scatter(g, dim, index, 0.0), None, None, _to_src
)
op("scatter_add", _scatter_add, lambda F, g: g, None, None, _to_src, inplace=True)


def _rows(dim: int, index: Any) -> tuple:
    return (slice(None),) * dim + (index,)


def _index_select(xp: Any, x: Any, dim: int, index: Any) -> Any:
    places = index.reshape(-1)
    if places.size and not -1 < places.min() <= places.max() < x.shape[dim]:
        raise IndexError("index out of range in self")
    return x[_rows(dim % x.ndim, places)]


def _index_add(xp: Any, x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    out = x.copy()
    backend.add_at(xp, out, _rows(dim % x.ndim, index), source if alpha == 1 else source * alpha)
    return out


def _index_copy(xp: Any, x: Any, dim: int, index: Any, source: Any) -> Any:
    out = x.copy()
    out[_rows(dim % x.ndim, index)] = source
    return out


pick(
    "index_select",
    _index_select,
    lambda F, g, x_shape, dim, index: F._index_add_at(
        g, x_shape, (slice(None),) * (dim % len(x_shape)) + (index,)
    ),
)
op(
    "index_add",
    _index_add,
    lambda F, g: g,
    None,
    None,
    lambda F, g, dim, index, alpha: F.index_select(g, dim, index) * alpha,
    inplace=True,
)
pick(
    "index_copy",
    _index_copy,
    lambda F, g, dim, index: F.index_fill(g, dim, index, 0.0),
    None,
    None,
    lambda F, g, dim, index: F.index_select(g, dim, index),
    inplace=True,
)
pick(
    "index_fill",
    _index_copy,
    lambda F, g, dim, index: F.index_fill(g, dim, index, 0.0),
    inplace=True,
)


def _take_along_dim(xp: Any, x: Any, indices: Any, dim: int | None = None) -> Any:
    return (
        x.reshape(-1)[indices.reshape(-1)] if dim is None else xp.take_along_axis(x, indices, dim)
    )


def _masked_fill(xp: Any, x: Any, mask: Any, value: Any) -> Any:
    return xp.where(mask, xp.asarray(value, x.dtype), x)


pick(
    "masked_fill",
    _masked_fill,
    lambda F, g, mask: F.masked_fill(g, mask, 0.0),
    None,
    lambda F, g, mask: F.sum(F.masked_fill(g, F.logical_not(mask), 0.0)),
    inplace=True,
)


def _masked_select(xp: Any, x: Any, mask: Any) -> Any:
    x, mask = xp.broadcast_arrays(x, mask)
    return x[mask]


def _masked_vjp(F: Any, g: Any, x_shape: tuple, mask: Any) -> Any:
    shape = broadcast_shape(x_shape, tuple(mask.shape))
    return F._index_add_at(g, shape, F.expand(mask, shape))


def broadcast_shape(*shapes: tuple) -> tuple:
    """The shape that arrays of these shapes broadcast to."""
    import numpy as np

    return np.broadcast_shapes(*shapes)


pick("masked_select", _masked_select, _masked_vjp)
pick(
    "nonzero",
    lambda xp, x: xp.stack(xp.nonzero(x), 1) if x.ndim else xp.zeros((int(bool(x)), 0), xp.int64),
)


def _order(xp: Any, x: Any, dim: int, descending: bool) -> Any:
    # Stable in both directions: equal elements keep their order.
    if not descending:
        return xp.argsort(x, dim, kind="stable")
    turned = xp.flip(x, dim)
    return x.shape[dim] - 1 - xp.flip(xp.argsort(turned, dim, kind="stable"), dim)


def _sort(xp: Any, x: Any, dim: int = -1, descending: bool = False) -> tuple:
    if not x.ndim:
        return x.copy(), xp.zeros((), xp.int64)
    order = _order(xp, x, dim, descending)
    return xp.take_along_axis(x, order, dim), order


def _topk(
    xp: Any, x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple:
    if k > x.shape[dim]:
        raise RuntimeError("selected index k out of range")
    values, order = _sort(xp, x, dim, largest)
    first = (slice(None),) * (dim % x.ndim) + (slice(k),)
    return values[first].copy(), order[first].copy()


def _sorted_vjp(F: Any, g: Any, out: tuple, x_shape: tuple, dim: int) -> Any:
    return _gather_back(F, g, x_shape, dim, out[1])


def _gather_back(F: Any, g: Any, x_shape: tuple, dim: int, index: Any) -> Any:
    return F.scatter_add(F._new_zeros(g, x_shape), dim, index, g)


pick("_new_zeros", lambda xp, x, size: xp.zeros(size, x.dtype))
pick("sort", _sort, _sorted_vjp)
pick("topk", _topk, _sorted_vjp)
pick(
    "take_along_dim",
    _take_along_dim,
    lambda F, g, x_shape, indices, dim: _gather_back(F, g, x_shape, dim, indices),
)
pick(
    "_one_hot", lambda xp, x, num_classes: (x[..., None] == xp.arange(num_classes)).astype(xp.int64)
)
pick("bincount", lambda xp, x, minlength=0: xp.bincount(x, minlength=minlength))
pick(
    "searchsorted",
    lambda xp, x, values, right=False: xp.searchsorted(x, values, "right" if right else "left"),
)
