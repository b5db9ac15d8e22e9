"""Images: resizing, sampling along a grid, patches, and shuffled pixels and channels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._registry import TENSORS as ops
from elastic.tensor.functions import pool
from elastic.tensor.ops.conv import window_counts

__all__ = [
    "affine_grid",
    "channel_shuffle",
    "fold",
    "grid_sample",
    "interpolate",
    "native_channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

Number = int | Sequence[int]  # one for both dimensions, or one each

pixel_shuffle: Any = torch.pixel_shuffle
pixel_unshuffle: Any = torch.pixel_unshuffle
channel_shuffle: Any = torch.channel_shuffle
native_channel_shuffle: Any = torch.native_channel_shuffle

_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
_PLAIN = ("nearest", "area", "nearest-exact")
_RANKS = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4, "lanczos": 4}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Return input resized to `size`, or by `scale_factor`. Shapes: (N, C, *sizes).

    Modes: nearest and nearest-exact, area (means), linear, bilinear and trilinear by the number of
    dimensions, bicubic, lanczos. `antialias` widens the kernel when sizes shrink.
    """
    if mode in _PLAIN and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear"
        )
    wanted, factors = _wanted_size(input, size, scale_factor, recompute_scale_factor, mode)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    _check_mode(input, mode, bool(align_corners), antialias)
    if mode == "area":
        return pool.adaptive_mean(input.dim() - 2, input, wanted)
    _check_sizes(input, wanted, mode)
    sizes = input.shape[2:]
    rules = tuple(
        _rule(mode, n, out, bool(align_corners), factor, input.dtype is torch.float64, antialias)
        for n, out, factor in zip(sizes, wanted, factors, strict=True)
    )
    return ops._resample(input, rules)


def _wanted_size(
    input: Tensor, size: Any, scale_factor: Any, again: bool | None, mode: str
) -> tuple[tuple, tuple]:
    """Return the size, and the factors that places are computed with (None: from the sizes)."""
    spatial = list(input.shape[2:])
    nd = len(spatial)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    many, name, sizes = ("output size of", "output size", "(o1, o2, ...,oK)")
    if size is None:
        many, name, sizes = ("scale_factor of shape", "scale_factor", "(s1, s2, ...,sK)")
    given = scale_factor if size is None else size
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,) * nd
    if len(values) != nd:
        pair = "Input and output" if size is not None else "Input and scale_factor"
        raise ValueError(
            f"{pair} must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {spatial} and {many} {given}. Please provide input tensor in "
            f"(N, C, d1, d2, ...,dK) format and {name} in {sizes} format."
        )
    if size is not None:
        if not all(isinstance(n, int) for n in values):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or "
                f"Tuple[int, int, int], but got size with types {[type(n) for n in values]}"
            )
        if again:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return values, (None,) * nd
    wanted = tuple(int(n * factor) for n, factor in zip(spatial, values, strict=True))
    return wanted, (None,) * nd if again or mode == "area" else values


def _check_mode(input: Tensor, mode: str, align_corners: bool, antialias: bool) -> None:
    rank = input.dim()
    if rank in (3, 4, 5):
        if mode in _PLAIN or _RANKS.get(mode) == rank:
            if mode != "lanczos":
                return
            if align_corners:
                raise ValueError("Lanczos mode does not support align_corners=True")
            if not antialias:
                raise ValueError("Lanczos mode requires antialias=True")
            return
        if mode in ("linear", "bilinear", "trilinear"):
            raise NotImplementedError(
                f"Got {rank}D input, but {mode} mode needs {_RANKS[mode]}D input"
            )
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {rank}D) for the modes: "
        f"{_MODES} (got {mode})"
    )


def _check_sizes(input: Tensor, wanted: tuple, mode: str) -> None:
    sizes = tuple(input.shape[2:])
    if any(n <= 0 for n in (*sizes, *wanted)):
        axes = "DHW"[3 - len(sizes) :]
        told = [
            ", ".join(f"{axis}: {n}" for axis, n in zip(axes, each, strict=True))
            for each in (sizes, wanted)
        ]
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({told[0]}) output "
            f"({told[1]})"
        )
    if input.shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {input.dim()}D data tensor expected but got a tensor with sizes "
            f"{list(input.shape)}"
        )
    if not input.is_floating_point() and input.dtype is not torch.uint8:
        kernel = mode.replace("-", "_") + ("" if mode[0] in "bt" else f"{input.dim() - 2}d")
        kernel = kernel + {"bilinear": "2d", "bicubic": "2d", "trilinear": "3d"}.get(mode, "")
        rest = "_channels_last" if input.dim() > 3 else ""
        raise NotImplementedError(
            f"\"upsample_{kernel}{rest}\" not implemented for '{input.dtype.title}'"
        )


def _rule(
    mode: str, n: int, out: int, corners: bool, factor: Any, double: bool, antialias: bool
) -> tuple:
    if mode.startswith("nearest"):
        return "nearest", n, out, factor, mode == "nearest-exact"
    kernel = {"bicubic": "cubic", "lanczos": "lanczos"}.get(mode, "linear")
    if antialias:
        return "antialiased", n, out, corners, factor, double, kernel
    return kernel, n, out, corners, factor, double


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Return `interpolate(...)`, under its old name."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return `interpolate(mode="nearest")`, under its old name."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return `interpolate(mode="bilinear", align_corners=True)`, under its old name."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )


# Sampling along a grid

_ALIGNMENT = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of "
    "grid_sample for details."
)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Return input at the places of grid, where -1 and 1 are the first and the last corner.

    Shapes: input (N, C, *sizes), grid (N, *out sizes, dimensions), result (N, C, *out sizes).
    """
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if mode not in modes:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in paddings:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(_ALIGNMENT, stacklevel=2)
    place = (modes.index(mode), paddings.index(padding_mode), bool(align_corners))
    return torch.grid_sampler(input, grid, *place)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the places that affine maps theta send a regular grid to, for `grid_sample`.

    Shapes: theta (N, d, d + 1), size (N, C, *sizes), result (N, *sizes, d).
    """
    if align_corners is None:
        warnings.warn(_ALIGNMENT, stacklevel=2)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    d = len(size) - 2
    if d not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (d, d + 1):
        raise ValueError(
            f"Expected a batch of {d}D affine matrices of shape Nx{d}x{d + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    if align_corners and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
            "align_corners=True. This is not an intended use case of affine_grid. See the "
            "documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return torch.affine_grid_generator(theta, size, bool(align_corners))


# Patches


def unfold(
    input: Tensor,
    kernel_size: Number,
    dilation: Number = 1,
    padding: Number = 0,
    stride: Number = 1,
) -> Tensor:
    """Return the patches of images as columns. Shapes: (N, C, H, W) gives (N, C KH KW, patches)."""
    kernel, spread, pad, step = _checked_place(kernel_size, dilation, padding, stride)
    size = list(input.shape)
    if input.dim() < 3:
        last = max(input.dim(), 1)
        raise IndexError(
            f"Dimension out of range (expected to be in range of [-{last}, {last - 1}], but got 2)"
        )
    if input.dim() not in (3, 4) or 0 in size[1 if input.dim() == 4 else 0 :]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {size}"
        )
    counts = window_counts(tuple(size[-2:]), kernel, step, pad, spread)
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size ({size[-2]}, {size[-1]}), kernel_size={kernel}, "
            f"dilation={spread}, padding={pad}, calculated shape of the array of sliding blocks as "
            f"{counts}, but its components must be at least one."
        )
    _refuse_whole("im2col_out_cpu", input)
    batch = input if input.dim() == 4 else input.unsqueeze(0)
    out = ops._im2col(batch, kernel, spread, pad, step)
    return out if input.dim() == 4 else out.squeeze(0)


def fold(
    input: Tensor,
    output_size: Number,
    kernel_size: Number,
    dilation: Number = 1,
    padding: Number = 0,
    stride: Number = 1,
) -> Tensor:
    """Return images of patches given as columns; where patches overlap they add up.

    Shapes: (N, C KH KW, patches) gives (N, C, *output_size).
    """
    size = _pair("output_size", output_size)
    kernel, spread, pad, step = place = _checked_place(kernel_size, dilation, padding, stride)
    shape = list(input.shape)
    if input.dim() not in (2, 3) or 0 in shape[1 if input.dim() == 3 else 0 :]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {shape}"
        )
    batch = input if input.dim() == 3 else input.unsqueeze(0)
    _check_patches(batch, size, place)
    _refuse_whole("col2im_out_cpu", input)
    out = ops._col2im(batch, size, kernel, spread, pad, step)
    return out if input.dim() == 3 else out.squeeze(0)


def _pair(name: str, value: Number) -> tuple:
    value = (value, value) if isinstance(value, int) else tuple(value)
    if len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    return value


def _checked_place(kernel: Number, dilation: Number, padding: Number, stride: Number) -> tuple:
    place = {
        "kernel_size": ("kernel size", "kernel", _pair("kernel_size", kernel)),
        "dilation": ("dilation", "dilation", _pair("dilation", dilation)),
        "padding": ("padding", "pad", _pair("padding", padding)),
        "stride": ("stride", "stride", _pair("stride", stride)),
    }
    for key, (name, short, (h, w)) in place.items():
        least, told = (0, "non-negative") if key == "padding" else (1, "greater than zero")
        if min(h, w) < least:
            raise RuntimeError(
                f"{name} should be {told}, but got {short}_height: {h} {short}_width: {w}"
            )
    return tuple(pair for _, _, pair in place.values())


def _check_patches(input: Tensor, size: tuple, place: tuple) -> None:
    kernel, dilation, padding, stride = place
    _, rows, columns = input.shape
    if rows % math.prod(kernel):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={rows} and kernel_size={kernel}."
        )
    h, w = window_counts(size, kernel, stride, padding, dilation)
    if columns != h * w or min(h, w) < 1:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {h} * {w} = {h * w}, but got "
            f"input.size(2)={columns}."
        )


def _refuse_whole(kernel: str, input: Tensor) -> None:
    if not (input.is_floating_point() or input.is_complex() or input.dtype is torch.bool):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.title}'")
