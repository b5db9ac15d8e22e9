"""Ops that rearrange elements into a new array."""

from __future__ import annotations

from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor.ops.reduce import axes, counted, place
from elastic.tensor.ops.view import copy_op


def _sum_to_size(xp: Any, x: Any, size: Any) -> Any:
    size = (size,) if isinstance(size, int) else tuple(size)
    lead = x.ndim - len(size)
    if lead < 0 or any(n not in (1, m) for n, m in zip(size, x.shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(x.shape)}}}.")
    if x.shape == size and size:
        return x
    repeated = [lead + k for k, n in enumerate(size) if n == 1 and x.shape[lead + k] != 1]
    return counted(x).sum((*range(lead), *repeated), keepdims=True).reshape(size)


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


def _flip(xp: Any, x: Any, dims: Any) -> Any:
    folded = axes(axes_of(dims), x.ndim)
    return x.copy() if folded is None else xp.flip(x, folded).copy()


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
    _flip,
    lambda F, g, dims: F.flip(g, dims),
    packs=True,
)


def _roll(xp: Any, x: Any, shifts: Any = (), dims: Any = ()) -> Any:
    pair = [(each,) if isinstance(each, int) else tuple(each or ()) for each in (shifts, dims)]
    if not pair[0]:
        raise RuntimeError("`shifts` required")
    if len(pair[0]) != len(pair[1]) and not (len(pair[0]) == 1 and not pair[1]):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(pair[0])}, dims:{len(pair[1])}"
        )
    if pair[1] and not x.ndim:
        raise IndexError(f"Dimension specified as {pair[1][0]} but tensor has no dimensions")
    if not pair[1]:
        return xp.roll(x, pair[0][0])
    return xp.roll(x, pair[0], [place(d, x.ndim) for d in pair[1]])


copy_op(
    "roll",
    _roll,
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
    if not pairs:
        return g
    return F.reshape(F.sum(F.reshape(g, pairs), tuple(range(0, len(pairs), 2))), x_shape)


def _repeat(xp: Any, x: Any, repeats: Any) -> Any:
    repeats = axes_of(repeats)
    if len(repeats) < x.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    shape = (1,) * (len(repeats) - x.ndim) + x.shape
    grown = [n * k for n, k in zip(shape, repeats, strict=True)]
    if min(grown, default=0) < 0:
        wrong = next(n for n in grown if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {wrong}: {grown}")
    return xp.tile(x, repeats)


copy_op("repeat", _repeat, _repeat_vjp, packs=True)
copy_op(
    "_repeat_interleave",
    lambda xp, x, repeats, dim=None: xp.repeat(x, repeats, dim),
    lambda F, g, x_shape, repeats, dim: _interleave_vjp(F, g, x_shape, repeats, dim),
)


def _interleave_vjp(F: Any, g: Any, x_shape: tuple, repeats: int, dim: int | None) -> Any:
    if dim is None:
        return F.reshape(F.sum(F.reshape(g, (prod(x_shape), repeats)), -1), x_shape)
    if not x_shape:
        return F.sum(g)
    d = dim % len(x_shape)
    return F.sum(F.reshape(g, (*x_shape[: d + 1], repeats, *x_shape[d + 1 :])), d + 1)


def _triangle(xp: Any, half: str, x: Any, diagonal: int) -> Any:
    if x.ndim < 2:
        raise RuntimeError(f"{half}: input tensor must have at least 2 dimensions")
    return getattr(xp, half)(x, diagonal)


copy_op(
    "tril",
    lambda xp, x, diagonal=0: _triangle(xp, "tril", x, diagonal),
    lambda F, g, diagonal: F.tril(g, diagonal),
    inplace=True,
)
copy_op(
    "triu",
    lambda xp, x, diagonal=0: _triangle(xp, "triu", x, diagonal),
    lambda F, g, diagonal: F.triu(g, diagonal),
    inplace=True,
)


def _pad(xp: Any, x: Any, pad: Any, value: float = 0.0) -> Any:
    count = len(pad) // 2
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if count > x.ndim:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad "
            f"length is {len(pad)}while the input has {x.ndim}dimensions."
        )
    ends = [(0, 0)] * (x.ndim - count) + [(pad[2 * k], pad[2 * k + 1]) for k in range(count)][::-1]
    if any(n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(x.shape, ends, strict=True)):
        raise RuntimeError("narrow(): length must be non-negative.")
    size = [n + a + b for n, (a, b) in zip(x.shape, ends, strict=True)]
    out = xp.full(size, value, x.dtype)
    there = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(size, ends, strict=True))
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, ends, strict=True))
    out[there] = x[kept]
    return out


copy_op("constant_pad_nd", _pad, lambda F, g, pad: F.constant_pad_nd(g, tuple(-n for n in pad)))
