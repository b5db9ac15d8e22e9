"""Images at other places: sampling along a grid, and pixels that change places with channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

from elastic.tensor import backend, dtypes
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap

_BILINEAR, _NEAREST, _BICUBIC = range(3)
_ZEROS, _BORDER, _REFLECTION = range(3)


@public(method=False)
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """The input at the places of the grid.

    Shapes: input (N, C, *sizes), grid (N, *out sizes, dimensions), result (N, C, *out sizes).
    Modes: 0 bilinear, 1 nearest, 2 bicubic. Padding: 0 zeros, 1 border, 2 reflection.
    """
    _check_grid(input, grid, interpolation_mode)
    if input.dtype in dtypes.HALVES:
        place = (interpolation_mode, padding_mode, align_corners)
        return grid_sampler(input.float(), grid.float(), *place).to(input.dtype)
    if grid.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.title} but found {grid.dtype.title}")
    sizes = tuple(input.shape[2:])
    nd = len(sizes)
    at = [  # the last coordinate of the grid belongs to the first dimension
        _unnormalized(F.select(grid, -1, nd - 1 - d), n, align_corners) for d, n in enumerate(sizes)
    ]

    def padded(x: Tensor, n: int) -> Tensor:
        return _inside(x, n, padding_mode, align_corners)

    if interpolation_mode == _BICUBIC:
        return _cubic(input, at, sizes, padded)
    at = [padded(x, n) for x, n in zip(at, sizes, strict=True)]
    return (_linear if interpolation_mode == _BILINEAR else _nearest)(input, at, sizes)


@public(method=False)
def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of images."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@public(method=False)
def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of volumes."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _check_grid(input: Tensor, grid: Tensor, mode: int) -> None:
    size, places = list(input.shape), list(grid.shape)
    if size[0] != places[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {size} and grid with sizes {places}"
        )
    if places[-1] != len(size) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(size) - 2} in last dimension, but "
            f"got grid with sizes {places}"
        )
    for k in range(2, len(size)):
        if size[k] == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input "
                f"has sizes {size} with dimension {k} being empty"
            )
    if len(size) not in (4, 5) or len(size) != len(places):
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {size} and grid with sizes {places}"
        )
    if len(size) == 5 and mode == _BICUBIC:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


def _unnormalized(x: Tensor, n: int, align_corners: bool) -> Tensor:
    """Places in cells, from -1 for the first corner to 1 for the last."""
    return (x + 1) * ((n - 1) / 2) if align_corners else ((x + 1) * n - 1) / 2


def _inside(x: Tensor, n: int, padding_mode: int, align_corners: bool) -> Tensor:
    """Places moved into the image: to its border, or reflected there."""
    if padding_mode == _ZEROS:
        return x
    if padding_mode == _REFLECTION:
        x = _reflected(x, 0, n - 1) if align_corners else _reflected(x, -0.5, n - 0.5)
    kept = F.logical_and(x > 0, x < n - 1)  # no gradient from the border on
    return F.where(kept, x, F.clamp(x.detach(), 0, n - 1))


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    if low == high:
        return F.zeros_like(x) * x
    span = high - low
    away = F.abs(x - low)
    rest = F.fmod(away, span)
    even = F.eq(F.fmod(F.floor(away.detach() / span), 2), 0)
    return F.where(even, rest + low, span - rest + low)


def _nearest(input: Tensor, at: list[Tensor], sizes: tuple) -> Tensor:
    places = [_xp(x).rint(x._array) for x in at]
    return _picked(input, places, sizes)


def _linear(input: Tensor, at: list[Tensor], sizes: tuple) -> Tensor:
    first = [_xp(x).floor(x._array) for x in at]
    shares = [x - wrap(k) for x, k in zip(at, first, strict=True)]
    total: Any = None
    for corner in product((0, 1), repeat=len(sizes)):
        weight: Any = 1
        for share, bit in zip(shares, corner, strict=True):
            weight = (share if bit else 1 - share) * weight
        places = [k + bit for k, bit in zip(first, corner, strict=True)]
        part = _picked(input, places, sizes) * F.unsqueeze(weight, 1)
        total = part if total is None else total + part
    return total


def _cubic(
    input: Tensor, at: list[Tensor], sizes: tuple, padded: Callable[[Tensor, int], Tensor]
) -> Tensor:
    first = [_xp(x).floor(x._array) for x in at]
    weights = [_keys(x - wrap(k)) for x, k in zip(at, first, strict=True)]
    total: Any = None
    for cell in product(range(4), repeat=len(sizes)):
        weight: Any = 1
        for each, k in zip(weights, cell, strict=True):
            weight = each[k] * weight
        steps = zip(first, cell, sizes, strict=True)
        places = [padded(wrap(k + j - 1), n)._array for k, j, n in steps]
        part = _picked(input, places, sizes) * F.unsqueeze(weight, 1)
        total = part if total is None else total + part
    return total


def _keys(t: Tensor, a: float = -0.75) -> list[Tensor]:
    """The weights of the four neighbours. Source: Keys, 1981."""

    def far(x: Tensor) -> Tensor:
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a

    def near(x: Tensor) -> Tensor:
        return (x * (a + 2) - (a + 3)) * x * x + 1

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _xp(x: Tensor) -> Any:
    return backend.xp_of(x._array)


def _picked(input: Tensor, places: list, sizes: tuple) -> Tensor:
    """The input at whole places (arrays of floats), 0 outside. Shape: (N, C, *out)."""
    xp = _xp(input)
    inside, index = True, 0
    for place, n in zip(places, sizes, strict=True):
        inside = inside & (place >= 0) & (place < n)
        index = index * n + xp.clip(xp.nan_to_num(place, nan=-1.0), 0, n - 1).astype(xp.int64)
    found = F._from_indices(input, xp.asarray(index)[:, None], len(sizes))
    return found * wrap(xp.asarray(inside)[:, None].astype(input._array.dtype))


@public(method=False)
def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """The places that affine maps `theta` send a regular grid to.

    Shapes: theta (N, d, d + 1), size (N, C, *sizes), result (N, *sizes, d).
    """
    xp = _xp(theta)
    n, _, *sizes = size
    rows = len(sizes) + 1
    if tuple(theta.shape[:1]) != (n,):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{n}, {rows}] but "
            f"got: [{theta.shape[0]}, {rows}]."
        )
    base = xp.ones((*sizes, rows), theta._array.dtype)
    for d, length in enumerate(sizes):
        line = xp.linspace(-1, 1, length) if length > 1 else xp.zeros(1)
        line = line if align_corners else line * (length - 1) / length
        base[..., rows - 2 - d] = line.reshape((-1,) + (1,) * (rows - 2 - d))
    flat = wrap(xp.broadcast_to(base.reshape(1, -1, rows), (n, prod(sizes), rows)))
    return F.reshape(F.matmul(flat, F.transpose(theta, 1, 2)), (n, *sizes, rows - 1))


@public(method=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as finer pixels. Shapes: (*, C r r, H, W) gives (*, C, H r, W r)."""
    r = upscale_factor
    _check_images("pixel_shuffle", "upscale_factor", input, r)
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    k = len(lead)
    parts = F.reshape(input, (*lead, c // (r * r), r, r, h, w))
    order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
    return F.reshape(F.permute(parts, order), (*lead, c // (r * r), h * r, w * r))


@public(method=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Pixels as channels. Shapes: (*, C, H r, W r) gives (*, C r r, H, W)."""
    r = downscale_factor
    _check_images("pixel_unshuffle", "downscale_factor", input, r)
    *lead, c, h, w = input.shape
    for name, place, n in (("height", -2, h), ("width", -1, w)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                f"input.size({place})={n} is not divisible by {r}"
            )
    k = len(lead)
    parts = F.reshape(input, (*lead, c, h // r, r, w // r, r))
    order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
    return F.reshape(F.permute(parts, order), (*lead, c * r * r, h // r, w // r))


def _check_images(name: str, what: str, input: Tensor, factor: int) -> None:
    if input.dim() < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {factor}")


@public(method=False)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out like cards: one of each group in turn. Shapes: (N, C, *)."""
    if input.dim() <= 2:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    n, c, *rest = input.shape
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    parts = F.reshape(input, (n, groups, c // groups, *rest))
    return F.reshape(F.transpose(parts, 1, 2), (n, c, *rest))


@public(method=False)
def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`."""
    return channel_shuffle(input, groups)
