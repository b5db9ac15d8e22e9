"""Ops that pick and place by index or mask."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor.ops.reduce import place

pick = partial(op, wide=False)


def fold_at(xp: Any, how: str, out: Any, positions: Any, values: Any) -> None:
    """Folds `values` into the flat places of `out`, where repeated places fold into one.

    On flat places this is several times faster than on an index of several dimensions.
    """
    values = xp.broadcast_to(values, positions.shape).reshape(-1)
    getattr(xp, how).at(out.reshape(-1), positions.reshape(-1), values)


def positions(xp: Any, shape: tuple, index: tuple) -> Any:
    """The flat places of `x[index]` in an array of `shape`: of index arrays, masks and `:`.

    Raises: IndexError for an index beyond the end.
    """
    parts = [each for item in index for each in _without_mask(xp, item)]
    parts += [slice(None)] * (len(shape) - len(parts))
    picked = [d for d, each in enumerate(parts) if not isinstance(each, slice)]
    block = xp.broadcast_shapes(*[parts[d].shape for d in picked])
    together = picked[-1] - picked[0] == len(picked) - 1
    first = picked[0] if together else 0  # numpy and PyTorch put scattered index dims in front
    kept = [d for d in range(len(shape)) if d not in picked]
    ndim, total = len(block) + len(kept), 0
    for d, each in enumerate(parts):
        if d in picked:
            component = _counted_from_0(xp, each, shape[d], d)
            component = component.reshape(component.shape + (1,) * (ndim - first - len(block)))
        else:
            where = kept.index(d)
            behind = ndim - 1 - where - (len(block) if where >= first else 0)
            component = xp.arange(shape[d]).reshape((-1,) + (1,) * behind)
        total = total * shape[d] + component
    return total


def _without_mask(xp: Any, item: Any) -> tuple:
    return xp.nonzero(item) if is_mask(item) else (item,)


def is_mask(item: Any) -> bool:
    """Whether an item of an index is an array of bools."""
    return getattr(getattr(item, "dtype", None), "kind", "") == "b"


def _counted_from_0(xp: Any, index: Any, size: int, dim: int) -> Any:
    if not index.size:
        return index.astype(xp.int64)
    low, high = index.min(), index.max()
    if low < -size or high >= size:
        wrong = low if low < -size else high
        raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
    return index if low >= 0 else xp.where(index < 0, index + size, index)


def index_add_at(xp: Any, x: Any, size: Any, index: Any) -> Any:
    """Zeros of `size`, with `x` added at `index`: places that come twice add up."""
    out = xp.zeros(size, x.dtype)
    if len(index) == 1 and is_mask(index[0]):
        out[index] = x  # no place comes twice
    elif out.size:
        fold_at(xp, "add", out, positions(xp, out.shape, index), x)
    return out


# x[index] with arrays in the index, and its transpose: repeated places add up
pick(
    "_index",
    lambda xp, x, index: x[index],
    lambda F, g, x_shape, index: F._index_add_at(g, x_shape, index),
    title="IndexBackward0",
)
op("_index_add_at", index_add_at, lambda F, g, index: F._index(g, index))


def _index_put(xp: Any, x: Any, index: Any, values: Any, accumulate: bool = False) -> Any:
    out = x.copy()
    if not accumulate:
        out[index] = values
    elif out.size:
        fold_at(xp, "add", out, positions(xp, out.shape, index), values)
    return out


def _put_vjp(F: Any, g: Any, values_shape: Any, index: Any) -> Any:
    found = F._index(g, index)
    return found if values_shape is None else F.sum_to_size(found, values_shape)


op(
    "_index_put",
    _index_put,
    lambda F, g, index, accumulate: g if accumulate else F._index_put(g, index, 0.0),
    None,
    _put_vjp,
    title="IndexPutBackward0",
)

# Slices along a dimension


def _rows(dim: int, index: Any) -> tuple:
    return (slice(None),) * dim + (index.reshape(-1),)


def _checked(index: Any, size: int) -> Any:
    if index.size and not -1 < index.min() <= index.max() < size:
        raise IndexError("index out of range in self")
    return index


def _index_select(xp: Any, x: Any, dim: int, index: Any) -> Any:
    axis = place(dim, x.ndim)
    _checked(index, x.shape[axis] if x.ndim else 1)
    return xp.take(x, index.reshape(-1), axis) if x.ndim else x.copy()


def _index_add(xp: Any, x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
    out = xp.array(x)
    if not out.size:
        return out
    source = source if alpha == 1 else source * xp.asarray(alpha).astype(source.dtype)
    rows = out.reshape(out.shape or 1)
    where = positions(xp, rows.shape, _rows(place(dim, x.ndim), index))
    fold_at(xp, "add", rows, where, source.reshape(where.shape))
    return out


def _index_copy(xp: Any, x: Any, dim: int, index: Any, source: Any) -> Any:
    out = xp.array(x)
    rows = out.reshape(out.shape or 1)
    where = _rows(place(dim, x.ndim), index)
    if getattr(source, "ndim", 0):
        source = source.reshape(rows[where].shape)
    rows[where] = source
    return out


def _index_select_vjp(F: Any, g: Any, x_shape: tuple, dim: int, index: Any) -> Any:
    if not len(x_shape):
        return F.reshape(g, ())
    return F._index_add_at(g, x_shape, _rows(dim % len(x_shape), index))


def _index_source(F: Any, g: Any, source_shape: tuple, dim: int, index: Any) -> Any:
    return F.reshape(F.index_select(g, dim, index), source_shape)


pick("index_select", _index_select, _index_select_vjp)
op(
    "_index_add",
    _index_add,
    lambda F, g: g,
    None,
    None,
    lambda F, g, source_shape, dim, index, alpha: (
        _index_source(F, g, source_shape, dim, index) * alpha
    ),
    title="IndexAddBackward0",
)
pick(
    "_index_copy",
    _index_copy,
    lambda F, g, dim, index: F._index_fill(g, dim, index, 0.0),
    None,
    None,
    _index_source,
    title="IndexCopyBackward0",
)
pick(
    "_index_fill",
    _index_copy,
    lambda F, g, dim, index: F._index_fill(g, dim, index, 0.0),
    None,
    None,
    lambda F, g, dim, index: F.sum(F.index_select(g, dim, index)),
    title="IndexFillBackward0",
)

# Masks


def _masked_fill(xp: Any, x: Any, mask: Any, value: Any) -> Any:
    return xp.where(mask, xp.asarray(value, x.dtype), x)


pick(
    "masked_fill",
    _masked_fill,
    lambda F, g, mask: F.masked_fill(g, mask, 0.0),
    None,
    lambda F, g, mask: F.sum(F.masked_fill(g, F.logical_not(mask), 0.0)),
)


def _masked_select(xp: Any, x: Any, mask: Any) -> Any:
    x, mask = xp.broadcast_arrays(x, mask)
    return x[mask]


def _masked_vjp(F: Any, g: Any, x_shape: tuple, mask: Any) -> Any:
    shape = broadcast_shape(x_shape, tuple(mask.shape))
    return F._index_add_at(g, shape, (raw(F.expand(mask, shape)),))


def raw(value: Any) -> Any:
    """The array of a tensor; an array as it is."""
    return getattr(value, "_array", value)


def broadcast_shape(*shapes: tuple) -> tuple:
    """The shape that arrays of these shapes broadcast to."""
    import numpy as np

    return np.broadcast_shapes(*shapes)


def _masked_scatter(xp: Any, x: Any, mask: Any, source: Any) -> Any:
    out, mask = (each.copy() for each in xp.broadcast_arrays(x, mask))
    out[mask] = source.reshape(-1)[: int(mask.sum())]
    return out


def _masked_source(F: Any, g: Any, mask: Any, source_shape: tuple) -> Any:
    found, count = F.masked_select(g, mask), prod(source_shape)
    rest = count - found.shape[0]
    return F.reshape(F.constant_pad_nd(found, (0, rest)) if rest else found, source_shape)


pick("masked_select", _masked_select, _masked_vjp)
pick(
    "_masked_scatter",
    _masked_scatter,
    lambda F, g, mask: F.masked_fill(g, mask, 0.0),
    None,
    _masked_source,
    title="MaskedScatterBackward0",
)
pick(
    "nonzero",
    lambda xp, x: xp.stack(xp.nonzero(x), 1) if x.ndim else xp.zeros((int(bool(x)), 0), xp.int64),
)
pick("_new_zeros", lambda xp, x, size: xp.zeros(size, x.dtype))
pick(
    "_one_hot", lambda xp, x, num_classes: (x[..., None] == xp.arange(num_classes)).astype(xp.int64)
)
