"""Ops with one index an element along a dimension: gather and the scatters."""

from __future__ import annotations

from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor.ops.index import fold_at, pick, raw
from elastic.tensor.ops.reduce import place


def _along(xp: Any, index: Any, shape: tuple, axis: int) -> tuple:
    """The full index of `index` along `axis`, as gather and scatter mean it."""
    _checked(index, shape, axis)
    grid = [
        xp.arange(n).reshape((-1,) + (1,) * (index.ndim - k - 1)) for k, n in enumerate(index.shape)
    ]
    grid[axis] = index
    return tuple(grid)


def _places(xp: Any, index: Any, shape: tuple, axis: int) -> Any:
    """The flat places of `index` along `axis` in an array of `shape`."""
    total: Any = 0
    for size, part in zip(shape, _along(xp, index, shape, axis), strict=True):
        total = total * size + part
    return total


def _checked(index: Any, shape: tuple, dim: int) -> None:
    size = shape[dim]
    if index.size and not -1 < index.min() <= index.max() < size:
        wrong = index[(index < 0) | (index >= size)][0]
        raise RuntimeError(
            f"index {int(wrong)} is out of bounds for dimension {dim} with size {size}"
        )


def _row(array: Any) -> Any:
    """`array` with a dimension at least."""
    return array if array.ndim else array.reshape(1)


def _gather(xp: Any, x: Any, dim: int, index: Any) -> Any:
    axis, lines, wanted = place(dim, x.ndim), _row(x), _row(index)
    if not wanted.size:
        return xp.empty(index.shape, x.dtype)
    if lines.flags.c_contiguous:  # twice as fast as an index of several dimensions
        return lines.reshape(-1).take(_places(xp, wanted, lines.shape, axis)).reshape(index.shape)
    return lines[_along(xp, wanted, lines.shape, axis)].reshape(index.shape)


def _part(value: Any, index: Any) -> Any:
    """What of `value` belongs to `index`: its first elements in every dimension."""
    if not getattr(value, "ndim", 0):
        return value
    return value[tuple(slice(n) for n in index.shape)]


def _scatter(xp: Any, x: Any, dim: int, index: Any, src: Any) -> Any:
    out, index = xp.array(x), _row(index)
    if index.size:
        lines = _row(out)
        lines[_along(xp, index, lines.shape, place(dim, x.ndim))] = _part(src, index)
    return out


def _folded(xp: Any, how: str, x: Any, dim: int, index: Any, src: Any) -> Any:
    out, index = xp.array(x), _row(index)
    if index.size:
        where = _places(xp, index, _row(out).shape, place(dim, x.ndim))
        fold_at(xp, how, out, where, _part(src, index))
    return out


def _to_src(F: Any, g: Any, dim: int, index: Any, src_shape: tuple | None) -> Any:
    """What of `g` came from `src`."""
    return _into_src(F, F.gather(g, dim, index), src_shape)


def _into_src(F: Any, part: Any, src_shape: tuple | None) -> Any:
    """`part`, the gradient of the first elements of `src`, with zeros for the rest."""
    if src_shape is None or tuple(part.shape) == src_shape:
        return part
    if not src_shape:
        return F.sum(part)
    part = part if part.shape else F.reshape(part, (1,))
    return F._place(part, src_shape, tuple(slice(n) for n in part.shape))


pick(
    "gather",
    _gather,
    lambda F, g, x_shape, dim, index: F.scatter_add(F._new_zeros(g, x_shape), dim, index, g),
)
pick(
    "scatter", _scatter, lambda F, g, dim, index: F.scatter(g, dim, index, 0.0), None, None, _to_src
)
op(
    "scatter_add",
    lambda xp, x, dim, index, src: _folded(xp, "add", x, dim, index, src),
    lambda F, g: g,
    None,
    None,
    _to_src,
)

# Reductions

_FOLDS = {"sum": "add", "mean": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _scatter_reduce(
    xp: Any, x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True
) -> Any:
    if not include_self:  # a fold of the new elements alone starts from a neutral one
        neutral = {"sum": 0, "mean": 0, "prod": 1}.get(reduce, src)
        x = _scatter(xp, x, dim, index, neutral)
    out = _folded(xp, _FOLDS[reduce], x, dim, index, src)
    if reduce == "mean":
        count = _member_count(xp, x, dim, index, include_self)
        out = out // count if x.dtype.kind in "iub" else out / count
    return out


def _member_count(xp: Any, x: Any, dim: int, index: Any, include_self: bool) -> Any:
    """How many elements each mean is of."""
    start = (xp.ones if include_self else xp.zeros)(x.shape, x.dtype)
    return xp.maximum(_folded(xp, "add", start, dim, index, x.dtype.type(1)), 1)


pick(
    "_member_count",
    lambda xp, x, dim, index, include_self: _member_count(xp, x, dim, index, include_self),
)


def _mean_rule(
    F: Any, g: Any, x: Any, dim: int, index: Any, src: Any, own: bool, out: Any
) -> tuple:
    g = g / F._member_count(x, dim, index, own)
    return g, F.gather(g, dim, index)


def _extreme_rule(
    F: Any, g: Any, x: Any, dim: int, index: Any, src: Any, own: bool, out: Any
) -> tuple:
    from_src = F._cast(src == F.gather(out, dim, index), raw(g).dtype)
    from_x = F._cast(x == out, raw(g).dtype)
    share = g / F.scatter_add(from_x, dim, index, from_src)  # ties share the gradient
    return from_x * share, from_src * F.gather(share, dim, index)


def _prod_rule(
    F: Any, g: Any, x: Any, dim: int, index: Any, src: Any, own: bool, out: Any
) -> tuple:
    filled = F.masked_fill(x, x == 0, 1.0)
    to_x = g * F._scatter_reduce(filled, dim, index, src, "prod", own) / filled
    zero = src == 0
    counts = F.scatter_add(F.zeros_like(x), dim, index, F._cast(zero, raw(x).dtype))
    alone = F.logical_and(zero, F.gather(counts, dim, index) == 1)
    others = F._scatter_reduce(x, dim, index, F.masked_fill(src, alone, 1.0), "prod", own)
    rest = F.gather(g * out, dim, index) / F.masked_fill(src, zero, 1.0)
    return to_x, F.where(alone, F.gather(g * others, dim, index), rest)


_RULES = {
    "sum": lambda F, g, x, dim, index, src, own, out: (g, F.gather(g, dim, index)),
    "mean": _mean_rule,
    "amax": _extreme_rule,
    "amin": _extreme_rule,
    "prod": _prod_rule,
}


def _scatter_reduce_vjp(
    F: Any,
    g: Any,
    x: Any,
    dim: int,
    index: Any,
    src: Any,
    reduce: str,
    include_self: bool,
    out: Any,
) -> tuple:
    shape, part = tuple(src.shape), src
    if shape != tuple(index.shape) and shape:
        part = F._slice(src, tuple(slice(n) for n in index.shape))
    to_x, to_src = _RULES[reduce](F, g, x, dim, index, part, include_self, out)
    if not include_self:
        to_x = F.scatter(to_x, dim, index, 0.0)
    return to_x, None, None, _into_src(F, to_src, shape), None, None


op(
    "_scatter_reduce",
    _scatter_reduce,
    joint=_scatter_reduce_vjp,
    title="ScatterReduceBackward0",
)
