"""Convolution in any number of dimensions, and its transpose.

Both are a matrix product with the columns of an input: the windows that the kernel sees, one
column a position (im2col). Columns are made of a few images at a time, so that they stay in the
cache. Convolution, its transpose and the product that gives the weight's gradient are each
other's derivatives: the three close under differentiation of any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as combinations
from math import prod
from typing import Any

from elastic.tensor._dispatch import op

_ENOUGH, _ENOUGH_TO_SUM = 256, 1024  # fewer columns keep a matrix product from full speed

Sizes = tuple[int, ...]


def window_counts(size: Sizes, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> Sizes:
    """How many windows fit along each dimension; below 1 where none does."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, pad, dilation, strict=True)
    )


def padded(xp: Any, x: Any, pad: Sizes, value: float = 0) -> Any:
    """`x` with `pad` cells of `value` on both sides of its last dimensions."""
    if not any(pad):
        return x
    lead = x.ndim - len(pad)
    size = [n + 2 * p for n, p in zip(x.shape[lead:], pad, strict=True)]
    out = xp.full((*x.shape[:lead], *size), value, x.dtype)
    out[(..., *[slice(p, n - p) for p, n in zip(pad, size, strict=True)])] = x
    return out


def windows(xp: Any, x: Any, kernel: Sizes, counts: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """The windows of the last dimensions, without a copy. Shape: (*lead, *kernel, *counts)."""
    lead, steps = x.ndim - len(kernel), x.strides[x.ndim - len(kernel) :]
    return xp.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:lead], *kernel, *counts),
        (
            *x.strides[:lead],
            *(step * d for step, d in zip(steps, dilation, strict=True)),
            *(step * s for step, s in zip(steps, stride, strict=True)),
        ),
    )


def taps(kernel: Sizes, counts: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple]:
    """For each cell of the kernel: its index, and the slices of the input that it sees."""
    for cell in combinations(*map(range, kernel)):
        yield (
            cell,
            tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(cell, dilation, counts, stride, strict=True)
            ),
        )


def _blocks(images: int, positions: int, enough: int) -> list[slice]:
    """The images one by one, or as many at a time as have `enough` positions for a product."""
    each = max(1, -(-enough // max(positions, 1)))
    return [slice(k, min(k + each, images)) for k in range(0, images, each)]


def _columns(xp: Any, x: Any, part: slice, groups: int, geometry: tuple) -> Any:
    """The columns of images `part` of padded `x`. Shape: (groups, rows, images * positions)."""
    kernel, counts, stride, dilation = geometry
    seen = windows(xp, x[part], kernel, counts, stride, dilation)
    nd = len(kernel)
    seen = seen.transpose((*range(1, nd + 2), 0, *range(nd + 2, 2 * nd + 2)))
    rows = x.shape[1] // groups * prod(kernel)
    return seen.reshape(groups, rows, (part.stop - part.start) * prod(counts))


def _channels_first(x: Any, part: slice, groups: int) -> Any:
    """Images `part` of `x`. Shape: (groups, channels of a group, images * positions)."""
    block = x[part].swapaxes(0, 1)
    return block.reshape(groups, x.shape[1] // groups, prod(block.shape[1:]))


def _matrix(weight: Any, groups: int) -> Any:
    """The weight. Shape: (groups, outputs of a group, inputs of a group * cells)."""
    return weight.reshape(groups, len(weight) // groups, prod(weight.shape[1:]))


def _product(xp: Any, a: Any, b: Any) -> Any:
    """a @ b; matmul is slow at products of a column and a row, as depthwise kernels need them."""
    return a * b if a.shape[-1] == 1 else xp.matmul(a, b)


def _plain(xp: Any, x: Any, weight: Any, counts: Sizes, groups: int, place: tuple) -> Any:
    """The convolution, of `counts` positions."""
    stride, padding, dilation = place
    out = xp.empty((len(x), len(weight), *counts), x.dtype)
    geometry = (weight.shape[2:], counts, stride, dilation)
    matrix, x = _matrix(weight, groups), padded(xp, x, padding)
    for part in _blocks(len(x), prod(counts), _ENOUGH):
        found = xp.matmul(matrix, _columns(xp, x, part, groups, geometry))
        out[part] = found.reshape(len(weight), -1, *counts).swapaxes(0, 1)
    return out


def _transposed(xp: Any, g: Any, weight: Any, size: Sizes, groups: int, place: tuple) -> Any:
    """What a convolution of an input of `size` sends back to it: the windows, added up."""
    stride, padding, dilation = place
    kernel, counts, channels = weight.shape[2:], g.shape[2:], weight.shape[1] * groups
    grown = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    out = xp.zeros((len(g), channels, *grown), g.dtype)
    matrix = _matrix(weight, groups).swapaxes(1, 2)
    for part in _blocks(len(g), prod(counts), _ENOUGH):
        columns = _product(xp, matrix, _channels_first(g, part, groups))
        columns = columns.reshape(channels, *kernel, -1, *counts)
        block = out[part].swapaxes(0, 1)
        for cell, seen in taps(kernel, counts, stride, dilation):
            block[(slice(None), slice(None), *seen)] += columns[(slice(None), *cell)]
    inside = out[(..., *[slice(p, p + n) for p, n in zip(padding, size, strict=True)])]
    return xp.ascontiguousarray(inside)  # users view it in other shapes


def _weight_sum(xp: Any, g: Any, x: Any, shape: Sizes, groups: int, place: tuple) -> Any:
    """The gradient of the weight: the columns of `x` by what came back from their products."""
    stride, padding, dilation = place
    counts = g.shape[2:]
    x = padded(xp, x, padding)
    geometry = (shape[2:], counts, stride, dilation)
    out = xp.zeros((groups, shape[0] // groups, prod(shape[1:])), g.dtype)
    for part in _blocks(len(x), prod(counts), _ENOUGH_TO_SUM):
        columns = _columns(xp, x, part, groups, geometry)
        out += xp.matmul(_channels_first(g, part, groups), columns.swapaxes(1, 2))
    return out.reshape(shape)


def sizes_of(value: Any, nd: int) -> Sizes:
    """One number a dimension."""
    value = (value,) if isinstance(value, int) else tuple(value)
    return value * nd if len(value) == 1 else value


def transposed_size(size: Sizes, kernel: Sizes, place: tuple, output_padding: Sizes) -> Sizes:
    """The size of what a transposed convolution makes of an input of `size`."""
    return tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + more
        for n, k, s, p, d, more in zip(size, kernel, *place, output_padding, strict=True)
    )


def _convolution(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    nd = weight.ndim - 2
    place = (sizes_of(stride, nd), sizes_of(padding, nd), sizes_of(dilation, nd))
    if transposed:
        more = sizes_of(output_padding, nd)
        size = transposed_size(x.shape[2:], weight.shape[2:], place, more)
        out = _transposed(xp, x, weight, size, groups, place)
    else:
        size = window_counts(x.shape[2:], weight.shape[2:], *place)
        out = _plain(xp, x, weight, size, groups, place)
    if bias is not None:
        out += bias.reshape((-1,) + (1,) * nd)
    return out


def _to_size(F: Any, x: Any, weight: Any, size: Any, place: tuple, rest: tuple) -> Any:
    """A convolution whose result has the sizes `size`: those of what came into the other one."""
    transposed, groups = rest
    nd = len(size) - 2
    place = tuple(sizes_of(each, nd) for each in place)
    more = (0,) * nd
    if transposed:
        natural = transposed_size(tuple(x.shape[2:]), tuple(weight.shape[2:]), place, more)
        more = tuple(n - m for n, m in zip(size[2:], natural, strict=True))
    out = F.convolution(x, weight, None, *place, transposed, more, groups)
    if tuple(out.shape) != tuple(size):
        out = F._slice(out, tuple(slice(n) for n in size))
    return out


def _conv_weight(
    xp: Any,
    grad: Any,
    x: Any,
    size: Sizes,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    groups: int,
) -> Any:
    place = tuple(sizes_of(each, len(size) - 2) for each in (stride, padding, dilation))
    if transposed:
        grad, x = x, grad
    return _weight_sum(xp, grad, x, size, groups, place)


convolution = op(
    "convolution",
    _convolution,
    lambda F, g, weight, x_shape, stride, padding, dilation, transposed, groups: _to_size(
        F, g, weight, x_shape, (stride, padding, dilation), (not transposed, groups)
    ),
    lambda F, g, x, weight_shape, stride, padding, dilation, transposed, groups: F._conv_weight(
        g, x, weight_shape, stride, padding, dilation, transposed, groups
    ),
    lambda F, g: F.sum(g, (0, *range(2, len(g.shape)))),
)
op(
    "_conv_weight",
    _conv_weight,
    lambda F, h, x, grad_shape, stride, padding, dilation, transposed, groups: _to_size(
        F, x, h, grad_shape, (stride, padding, dilation), (transposed, groups)
    ),
    lambda F, h, grad, x_shape, stride, padding, dilation, transposed, groups: _to_size(
        F, grad, h, x_shape, (stride, padding, dilation), (not transposed, groups)
    ),
    title="ConvolutionBackwardBackward0",
)


# Windows as columns, and columns added up: what `unfold` and `fold` give


def _im2col(xp: Any, x: Any, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Any:
    counts = window_counts(x.shape[2:], kernel, stride, padding, dilation)
    seen = windows(xp, padded(xp, x, padding), kernel, counts, stride, dilation)
    return seen.reshape(len(x), x.shape[1] * prod(kernel), prod(counts)).copy()


def _col2im(
    xp: Any, x: Any, size: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Any:
    counts = window_counts(size, kernel, stride, padding, dilation)
    channels = x.shape[1] // prod(kernel)
    columns = x.reshape(len(x), channels, *kernel, *counts)
    grown = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    out = xp.zeros((len(x), channels, *grown), x.dtype)
    for cell, seen in taps(kernel, counts, stride, dilation):
        out[(..., *seen)] += columns[(slice(None), slice(None), *cell)]
    inside = [slice(p, p + n) for p, n in zip(padding, size, strict=True)]
    return xp.ascontiguousarray(out[(..., *inside)])


op(
    "_im2col",
    _im2col,
    lambda F, g, x_shape, kernel, dilation, padding, stride: F._col2im(
        g, x_shape[2:], kernel, dilation, padding, stride
    ),
)
op(
    "_col2im",
    _col2im,
    lambda F, g, kernel, dilation, padding, stride: F._im2col(g, kernel, dilation, padding, stride),
)
