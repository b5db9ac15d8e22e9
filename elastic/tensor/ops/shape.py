"""Ops that rearrange: views that share memory with their input, and copies."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor._errors import dimension_error
from elastic.tensor.ops.reduce import axes

view_op = partial(op, view=True, wide=False)
copy_op = partial(op, wide=False)


def _dim(dim: int, ndim: int) -> int:
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise dimension_error(dim, ndim)
    return dim % ndim if ndim else 0


def sizes(shape: tuple, size: Any) -> tuple:
    """`size` with its -1 worked out for an array of shape `shape`. Raises: RuntimeError."""
    size = (size,) if isinstance(size, int) else tuple(int(n) for n in size)
    if size.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    count, known = prod(shape), prod(n for n in size if n != -1)
    if -1 in size and known and count % known == 0:
        return tuple(count // known if n == -1 else n for n in size)
    if -1 in size or known != count:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {count}")
    return size


def _reshape(xp: Any, x: Any, shape: Any) -> Any:
    return x.reshape(sizes(x.shape, shape))


def _view(xp: Any, x: Any, size: Any) -> Any:
    out = x.reshape(sizes(x.shape, size))
    if out.size and not xp.may_share_memory(out, x):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return out


def _back(F: Any, g: Any, x_shape: tuple) -> Any:
    return F.reshape(g, x_shape)


def _expand(xp: Any, x: Any, size: Any) -> Any:
    size = (size,) if isinstance(size, int) else tuple(size)
    lead = len(size) - x.ndim
    want = [x.shape[k - lead] if n == -1 and k >= lead else n for k, n in enumerate(size)]
    try:
        return xp.broadcast_to(x, want)
    except ValueError:
        raise RuntimeError(_expand_error(x.shape, size)) from None


def _expand_error(shape: tuple, size: tuple) -> str:
    lead = len(size) - len(shape)
    if lead < 0:
        return (
            f"expand: the requested shape {list(size)} has fewer dimensions than the "
            f"tensor's {list(shape)}"
        )
    wrong = next(k for k in reversed(range(lead, len(size))) if shape[k - lead] not in (1, size[k]))
    return (
        f"The expanded size of the tensor ({size[wrong]}) must match the existing size "
        f"({shape[wrong - lead]}) at non-singleton dimension {wrong}.  Target sizes: "
        f"{list(size)}.  Tensor sizes: {list(shape)}"
    )


def _squeeze(xp: Any, x: Any, dim: Any = None) -> Any:
    if dim is None:
        return x.squeeze()
    dims = (dim,) if isinstance(dim, int) else dim
    dims = {_dim(d, x.ndim) for d in dims}
    return x.reshape([n for d, n in enumerate(x.shape) if not (d in dims and n == 1)])


def _unsqueeze(xp: Any, x: Any, dim: int) -> Any:
    d = _dim(dim, x.ndim + 1)
    return x[(slice(None),) * d + (None, ...)]


def _flatten(xp: Any, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    first, last = _dim(start_dim, x.ndim), _dim(end_dim, x.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return x.reshape((*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _unflatten(xp: Any, x: Any, dim: int, size: Any) -> Any:
    d = _dim(dim, x.ndim)
    return x.reshape((*x.shape[:d], *sizes((x.shape[d],), size), *x.shape[d + 1 :]))


def _transpose(xp: Any, x: Any, dim0: int, dim1: int) -> Any:
    return x.swapaxes(dim0, dim1) if x.ndim else x[...]


def _inverse(dims: Any) -> tuple:
    order = [d % len(dims) for d in dims]
    return tuple(order.index(k) for k in range(len(order)))


def _permute(xp: Any, x: Any, dims: Any) -> Any:
    if len(dims) != x.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            "length of the desired ordering of dimensions i.e. "
            f"input.dim() = {x.ndim} is not equal to len(dims) = {len(dims)}"
        )
    return x.transpose(dims)


def _narrow(xp: Any, x: Any, dim: int, start: int, length: int) -> Any:
    d = _dim(dim, x.ndim)
    start = start + x.shape[d] if start < 0 else start
    if not 0 <= start <= start + length <= x.shape[d]:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({x.shape[d]})."
        )
    return x[(slice(None),) * d + (slice(start, start + length),)]


def _select(xp: Any, x: Any, dim: int, index: int) -> Any:
    d = _dim(dim, x.ndim)
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    if not -x.shape[d] <= index < x.shape[d]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(x.shape)} "
            f"at dimension {dim}"
        )
    return x[(slice(None),) * d + (index, ...)]


def _placed(F: Any, g: Any, x_shape: tuple, index: Any) -> Any:
    return F._place(g, x_shape, index)


def _along(dim: int, shape: tuple, item: Any) -> tuple:
    return (slice(None),) * (dim % len(shape)) + (item,)


view_op("reshape", _reshape, _back, packs=True, title="ViewBackward0")
view_op("view", _view, _back, packs=True)
view_op("flatten", _flatten, _back, title="ViewBackward0")
view_op("unflatten", _unflatten, _back, title="ViewBackward0")
view_op("squeeze", _squeeze, _back)
view_op("unsqueeze", _unsqueeze, _back)
view_op("expand", _expand, lambda F, g: g, packs=True)
view_op("transpose", _transpose, lambda F, g, dim0, dim1: F.transpose(g, dim0, dim1))
view_op("t", lambda xp, x: x.T, lambda F, g: F.t(g))
view_op("permute", _permute, lambda F, g, dims: F.permute(g, _inverse(dims)), packs=True)
view_op(
    "movedim",
    lambda xp, x, source, destination: xp.moveaxis(x, source, destination),
    lambda F, g, source, destination: F.movedim(g, destination, source),
    title="PermuteBackward0",
)
view_op("_alias", lambda xp, x: x[...], lambda F, g: g)
view_op(
    "narrow",
    _narrow,
    lambda F, g, x_shape, dim, start, length: F._place(
        g,
        x_shape,
        _along(
            dim, x_shape, slice(start % (x_shape[dim] + 1), start % (x_shape[dim] + 1) + length)
        ),
    ),
    title="SliceBackward0",
)
view_op(
    "select",
    _select,
    lambda F, g, x_shape, dim, index: F._place(g, x_shape, _along(dim, x_shape, index)),
)
view_op(
    "diagonal",
    lambda xp, x, offset=0, dim1=0, dim2=1: x.diagonal(offset, dim1, dim2),
    lambda F, g, x_shape, offset, dim1, dim2: F.diagonal_scatter(g, x_shape, offset, dim1, dim2),
)
view_op(
    "unfold",
    lambda xp, x, dimension, size, step: xp.lib.stride_tricks.sliding_window_view(
        x, size, dimension
    )[_along(dimension, x.shape, slice(None, None, step))],
    lambda F, g, x_shape, dimension, size, step: _fold(F, g, x_shape, dimension, size, step),
)


def _fold(F: Any, g: Any, x_shape: tuple, dimension: int, size: int, step: int) -> Any:
    """Adds overlapping windows up again."""
    d = dimension % len(x_shape)
    count, total = g.shape[d], 0
    for k in range(size):
        window = _along(d, x_shape, slice(k, k + (count - 1) * step + 1, step))
        total = F._place(F.select(g, -1, k), x_shape, window) + total
    return total


def _place(xp: Any, x: Any, size: Any, index: Any) -> Any:
    out = xp.zeros(size, x.dtype)
    out[index] = x
    return out


def _diagonal_scatter(xp: Any, x: Any, size: Any, offset: int, dim1: int, dim2: int) -> Any:
    out = xp.zeros(size, x.dtype)
    order = [d for d in range(out.ndim) if d not in (dim1 % out.ndim, dim2 % out.ndim)]
    plane = out.transpose((*order, dim1, dim2))
    start, end = max(-offset, 0), max(offset, 0)
    n = x.shape[-1]
    plane[..., xp.arange(start, start + n), xp.arange(end, end + n)] = x
    return out


copy_op("_place", _place, lambda F, g, index: F._slice(g, index))  # zeros but at a basic index
view_op(
    "_slice",
    lambda xp, x, index: x[
        index if isinstance(index, tuple) and ... in index else (*_tuple(index), ...)
    ],
    lambda F, g, x_shape, index: F._place(g, x_shape, index),
)
copy_op(
    "diagonal_scatter",
    _diagonal_scatter,
    lambda F, g, offset, dim1, dim2: F.diagonal(g, offset, dim1, dim2),
)


def _tuple(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _sum_to_size(xp: Any, x: Any, size: Any) -> Any:
    size = (size,) if isinstance(size, int) else tuple(size)
    lead = x.ndim - len(size)
    repeated = [lead + k for k, n in enumerate(size) if n == 1 and x.shape[lead + k] != 1]
    return x.sum((*range(lead), *repeated), keepdims=True).reshape(size)


op("sum_to_size", _sum_to_size, lambda F, g, x_shape: F.expand(g, x_shape), packs=True)

# Copies


def _cat_vjp(F: Any, g: Any, tensors_shape: list, dim: int) -> list:
    parts, start = [], 0
    for shape in tensors_shape:
        length = 0 if shape == (0,) else shape[dim]
        part = F.narrow(g, dim, start, length)
        parts.append(F.reshape(part, (0,)) if shape == (0,) else part)
        start += length
    return parts


def _cat(xp: Any, tensors: list, dim: int = 0) -> Any:
    arrays = [each for each in tensors if each.shape != (0,)] or tensors[:1]
    return xp.concatenate(arrays, dim)


def _stack_vjp(F: Any, g: Any, tensors_shape: list, dim: int) -> list:
    return [F.select(g, dim, k) for k in range(len(tensors_shape))]


op("cat", _cat, joint=_cat_vjp, variadic=True, wide=False)
op(
    "stack",
    lambda xp, tensors, dim=0: xp.stack(tensors, dim),
    joint=_stack_vjp,
    variadic=True,
    wide=False,
)
copy_op(
    "flip",
    lambda xp, x, dims: xp.flip(x, axes(axes_of(dims), x.ndim)).copy(),
    lambda F, g, dims: F.flip(g, dims),
    packs=True,
)
copy_op(
    "roll",
    lambda xp, x, shifts, dims=None: xp.roll(x, shifts, dims),
    lambda F, g, shifts, dims: F.roll(g, _minus(shifts), dims),
)


def axes_of(dims: Any) -> tuple:
    """`dims` as a tuple."""
    return (dims,) if isinstance(dims, int) else tuple(dims)


def _minus(shifts: Any) -> Any:
    return -shifts if isinstance(shifts, int) else tuple(-s for s in shifts)


def _repeat_vjp(F: Any, g: Any, x_shape: tuple, repeats: Any) -> Any:
    repeats = axes_of(repeats)
    shape = (1,) * (len(repeats) - len(x_shape)) + tuple(x_shape)
    pairs = [n for pair in zip(repeats, shape, strict=True) for n in pair]
    return F.reshape(F.sum(F.reshape(g, pairs), tuple(range(0, len(pairs), 2))), x_shape)


copy_op("repeat", lambda xp, x, repeats: xp.tile(x, axes_of(repeats)), _repeat_vjp, packs=True)
copy_op(
    "repeat_interleave",
    lambda xp, x, repeats, dim=None: xp.repeat(x, repeats, dim),
    lambda F, g, x_shape, repeats, dim: _interleave_vjp(F, g, x_shape, repeats, dim),
)


def _interleave_vjp(F: Any, g: Any, x_shape: tuple, repeats: int, dim: int | None) -> Any:
    if dim is None:
        return F.reshape(F.sum(F.reshape(g, (-1, repeats)), -1), x_shape)
    d = dim % len(x_shape)
    return F.sum(F.reshape(g, (*x_shape[: d + 1], repeats, *x_shape[d + 1 :])), d + 1)


copy_op(
    "tril",
    lambda xp, x, diagonal=0: xp.tril(x, diagonal),
    lambda F, g, diagonal: F.tril(g, diagonal),
    inplace=True,
)
copy_op(
    "triu",
    lambda xp, x, diagonal=0: xp.triu(x, diagonal),
    lambda F, g, diagonal: F.triu(g, diagonal),
    inplace=True,
)


def _pad(xp: Any, x: Any, pad: Any, value: float = 0.0) -> Any:
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [
        (pad[k], pad[k + 1]) for k in range(len(pad) - 2, -1, -2)
    ]
    grown = xp.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)
    return grown[
        tuple(
            slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, grown.shape, strict=True)
        )
    ].copy()


copy_op("constant_pad_nd", _pad, lambda F, g, pad: F.constant_pad_nd(g, tuple(-n for n in pad)))
