"""Pooling: what PyTorch checks before the ops compute it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from elastic.tensor._grad_mode import mode
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.ops.pool import pooled_size

Number = int | Sequence[int]  # one for all dimensions, or one each

_COUNTS = {2: "two", 3: "three"}


@public(method=False)
def max_pool1d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    dilation: Number = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of each window. Shapes: (N, C, L) or (C, L)."""
    return largest(1, input, kernel_size, stride, padding, dilation, ceil_mode)


@public(method=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    dilation: Number = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of each window. Shapes: (N, C, H, W) or (C, H, W)."""
    return largest(2, input, kernel_size, stride, padding, dilation, ceil_mode)


@public(method=False)
def max_pool3d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    dilation: Number = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of each window. Shapes: (N, C, D, H, W) or (C, D, H, W)."""
    return largest(3, input, kernel_size, stride, padding, dilation, ceil_mode)


@public(method=False)
def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    dilation: Number = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """The largest of each window, and where it stands. Shapes: (N, C, L) or (C, L)."""
    return largest(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


@public(method=False)
def max_pool2d_with_indices_backward(
    grad_output: Tensor,
    self: Tensor,
    kernel_size: Number,
    stride: Number,
    padding: Number,
    dilation: Number,
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """What `max_pool2d` sends back to its input `self`: part of the graph of either argument."""
    back = F._to_indices(grad_output, indices, tuple(self.shape), 2)
    if mode.enabled and self.requires_grad:  # only its shape counts, so its gradient is 0
        return F.where(F.zeros_like(back).bool(), self, back)
    return back


@public(method=False)
def avg_pool1d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window. Shapes: (N, C, L) or (C, L)."""
    return mean_of(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@public(method=False)
def adaptive_avg_pool1d(input: Tensor, output_size: Number) -> Tensor:
    """The means of `output_size` windows that cover the input. Shapes: (N, C, L) or (C, L)."""
    return adaptive_mean(1, input, output_size)


@public(method=False)
def adaptive_max_pool1d(input: Tensor, output_size: Number) -> tuple[Tensor, Tensor]:
    """The largest of `output_size` windows that cover the input, and where it stands."""
    return adaptive_largest(1, input, output_size)


# Windows of one size


def largest(
    nd: int,
    input: Tensor,
    kernel_size: Number,
    stride: Number | None,
    padding: Number,
    dilation: Number,
    ceil_mode: bool,
    with_indices: bool = False,
) -> Any:
    """The largest of each window, in `nd` dimensions; with indices also where it stands."""
    name = f"max_pool{nd}d"
    kernel = _each(name, "kernel_size", kernel_size, nd)
    steps = _each(name, "stride", stride, nd) if stride not in (None, [], ()) else kernel
    place = (_each(name, "padding", padding, nd), _each(name, "dilation", dilation, nd))
    plain = nd == 1 and not with_indices
    _check_rank(name, nd, input, plain)
    if plain:
        _check_line(kernel[0], steps[0], place[0][0], place[1][0])
        if 0 in input.shape[input.dim() - 2 :]:
            raise _not_a_line(list(input.shape))
    counts = _checked_counts(name, nd, input, kernel, steps, *place, ceil_mode)
    if plain and counts[0] < 1:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {counts[0]}")
    _check_output(name, nd, input, kernel, counts)
    _check_dtype("max_pool1d_impl" if plain else name, input, "biu" if plain else "b")
    pool = F._max_pool_with_indices if with_indices else F._max_pool
    return pool(input, kernel, steps, *place, ceil_mode)


def mean_of(
    nd: int,
    input: Tensor,
    kernel_size: Number,
    stride: Number | None,
    padding: Number,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """The mean of each window, in `nd` dimensions."""
    name = f"avg_pool{nd}d"
    kernel = _each(name, "kernel_size", kernel_size, nd)
    steps = _each(name, "stride", stride, nd) if stride not in (None, [], ()) else kernel
    pad = _each(name, "padding", padding, nd)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    _check_rank(name, nd, input)
    counts = _checked_counts(name, nd, input, kernel, steps, pad, (1,) * nd, ceil_mode)
    _check_output(name, nd, input, kernel, counts)
    _check_dtype("avg_pool3d_out_frame" if nd == 3 else "avg_pool2d", input, "b")
    return F._avg_pool(input, kernel, steps, pad, ceil_mode, count_include_pad, divisor_override)


def _each(name: str, what: str, value: Any, nd: int) -> tuple:
    """One number a dimension. Raises: RuntimeError in PyTorch's words for other counts."""
    value = (value,) if isinstance(value, int) else tuple(value)
    if len(value) == 1:
        return value * nd
    if len(value) == nd:
        return value
    if name == "max_pool1d":
        kinds = {
            "stride": "None, an int, list of ints, or",
            "padding": "an int, list of ints, or",
        }.get(what, "an int, list of ints or")
        raise RuntimeError(
            f"max_pool1d() {what} must be {kinds} tuple of ints of size 1 but got size {len(value)}"
        )
    if nd == 1:
        raise RuntimeError(f"{name}() argument '{what}' should contain one int (got {len(value)})")
    either = "" if name == "avg_pool3d" else "either "
    must = f"must be {either}" if what == "dilation" else f"must {either}be "
    omitted = "omitted, " if what == "stride" else ""
    raise RuntimeError(
        f"{name}: {what} {must}{omitted}a single int, or a tuple of {_COUNTS[nd]} ints"
    )


def _check_rank(name: str, nd: int, input: Tensor, plain: bool = False) -> None:
    if input.dim() in (nd + 1, nd + 2):
        return
    size = list(input.shape)
    if plain:
        raise _not_a_line(size)
    if nd == 1:
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input.dim()}-dimensional tensor for argument #1 "
            f"'self' (while checking arguments for {name})"
        )
    if name == "avg_pool2d":
        if input.dim() < 3:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{max(input.dim(), 1)}, "
                f"{max(input.dim(), 1) - 1}], but got -3)"
            )
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{size}"
        )
    raise RuntimeError(f"non-empty {nd + 1}D or {nd + 2}D (batch mode) tensor expected for input")


def _check_line(kernel: int, stride: int, padding: int, dilation: int) -> None:
    for what, n in (("kernel_size", kernel), ("stride", stride)):
        if n <= 0:
            raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {n}")
    if padding < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError(
            "max_pool1d() padding should be at most half of kernel size, but got "
            f"padding={padding} and kernel_size={kernel}"
        )
    if dilation <= 0:
        raise RuntimeError(f"max_pool1d() dilation must be greater than zero, but got {dilation}")


def _checked_counts(
    name: str,
    nd: int,
    input: Tensor,
    kernel: tuple,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    ceil_mode: bool,
) -> tuple:
    """How many windows there are. Raises: RuntimeError for numbers that make no sense."""
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        if s == 0:
            raise RuntimeError("stride should not be zero")
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}"
            )
    axes = "THW"[3 - nd :] if nd > 1 else "W"
    for what, mark, numbers in (
        ("kernel size", "k{}", kernel),
        ("stride", "d{}", stride),
        ("dilation", "dilation{}", dilation),
    ):
        if any(n <= 0 for n in numbers):
            told = " ".join(f"{mark.format(a)}: {n}" for a, n in zip(axes, numbers, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {told}")
    _check_not_empty(name, nd, input)
    if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            "pad should be smaller than or equal to half of kernel size, but got "
            + _half(nd, kernel, padding)
        )
    size = tuple(input.shape[input.dim() - nd :])
    return pooled_size(size, kernel, stride, padding, dilation, ceil_mode)


def _half(nd: int, kernel: tuple, padding: tuple) -> str:
    if nd == 3:
        (kt, kh, kw), (pt, ph, pw) = kernel, padding
        return f"kT: {kt} kW: {kw} kH: {kh} padT: {pt} padW: {pw} padH: {ph}"
    (kh, kw), (ph, pw) = ((1, *kernel), (0, *padding)) if nd == 1 else (kernel, padding)
    return f"padW = {pw}, padH = {ph}, kW = {kw}, kH = {kh}"


def _check_not_empty(name: str, nd: int, input: Tensor) -> None:
    size = list(input.shape)
    if 0 not in size[1 if len(size) == nd + 2 else 0 :]:
        return
    if nd == 3:
        title = "max_pool3d_with_indices_out_cpu_template" if name == "max_pool3d" else name
        raise RuntimeError(
            f"{title}(): Expected input's non-batch dimensions to have positive length, but input "
            f"has a shape of {size} and non-batch dimension 0 has length zero!"
        )
    if nd == 1:
        size.insert(-1, 1)
    raise RuntimeError(
        "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
        f"got:{size}"
    )


def _not_a_line(size: list) -> RuntimeError:
    return RuntimeError(
        "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for "
        f"input, but got:{size}"
    )


def _check_output(name: str, nd: int, input: Tensor, kernel: tuple, counts: tuple) -> None:
    if all(n >= 1 for n in counts):
        return
    size = list(input.shape[input.dim() - nd - 1 :])
    if name == "avg_pool3d":
        have = " ".join(f"{a}: {n}" for a, n in zip("THW", size[1:], strict=True))
        want = " ".join(f"k{a}: {n}" for a, n in zip("THW", kernel, strict=True))
        raise RuntimeError(f"input image ({have}) smaller than kernel size ({want})")
    middle = [1] if nd == 1 else []
    before = "x".join(map(str, [size[0], *middle, *size[1:]]))
    after = "x".join(map(str, [size[0], *middle, *counts]))
    raise RuntimeError(
        f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small"
    )


def _check_dtype(kernel: str, input: Tensor, refused: str) -> None:
    if input._array.dtype.kind in refused:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.title}'")


# Windows that adapt


def adaptive_mean(nd: int, input: Tensor, output_size: Any) -> Tensor:
    """The means of windows that cover the input: `output_size` of them along each dimension."""
    name = f"adaptive_avg_pool{nd}d"
    wanted = _output_size(name, nd, output_size)
    _check_adaptive_rank(name, nd, input, "")
    _check_sizes_left(input, nd, f"adaptive_avg_pool{max(nd, 2)}d", nd == 3)
    if any(n < 0 for n in wanted):
        told = (
            f"{{{wanted[0] if nd > 1 else 1}, {','.join(map(str, wanted[1 if nd > 1 else 0 :]))}}}"
        )
        raise RuntimeError(
            f"adaptive_avg_pool{max(nd, 2)}d: elements of output_size must be greater than or "
            f"equal to 0 but received {told}"
        )
    _check_dtype("adaptive_avg_pool3d_cpu" if nd == 3 else "adaptive_avg_pool2d", input, "biu")
    size = tuple(input.shape[input.dim() - nd :])
    if all(out and n % out == 0 for n, out in zip(size, wanted, strict=True)):
        kernel = tuple(n // out for n, out in zip(size, wanted, strict=True))
        return F._avg_pool(input, kernel, kernel, (0,) * nd, False, True, None)
    rules = tuple(("mean", n, out) for n, out in zip(size, wanted, strict=True))
    return F._resample(input, rules)


def adaptive_largest(nd: int, input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """The largest of windows that cover the input, and where it stands."""
    name = f"adaptive_max_pool{nd}d"
    wanted = _output_size(name, nd, output_size)
    _check_adaptive_rank(name, nd, input, ":")
    _check_sizes_left(input, nd, name, True)
    if any(n < 0 for n in wanted):
        lead = list(input.shape[: input.dim() - nd])
        size = [*lead, *([1] if nd == 1 else []), *wanted]
        bad = next(n for n in wanted if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {size}")
    _check_dtype("adaptive_max_pool3d_cpu" if nd == 3 else "adaptive_max_pool2d", input, "biu")
    places = _adaptive_places(tuple(input.shape[input.dim() - nd :]), wanted)
    return F._best_of(input, places, nd)


def _output_size(name: str, nd: int, value: Any) -> tuple:
    if nd == 1:
        if value is None or (not isinstance(value, int) and None in value):
            found = (
                "found element of type NoneType at pos 0" if value is not None else "not NoneType"
            )
            found = f"but {found}" if value is not None else found
            raise TypeError(
                f"{name}(): argument 'output_size' (position 2) must be tuple of ints, {found}"
            )
    value = (value,) * nd if isinstance(value, int) else tuple(value)
    if len(value) == nd:
        return value
    if nd == 1:
        raise RuntimeError(
            f"{name}() argument 'output_size' should contain one int (got {len(value)})"
        )
    if "max" in name:
        raise RuntimeError(f"{name}(): internal error: output_size.size() must be {nd}")
    raise RuntimeError(f"{name}: output_size must be {nd}")


def _check_adaptive_rank(name: str, nd: int, input: Tensor, colon: str) -> None:
    if input.dim() in (nd + 1, nd + 2):
        return
    if nd == 1:
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input.dim()}-dimensional tensor for argument #1 "
            f"'self' (while checking arguments for {name})"
        )
    raise RuntimeError(
        f"{name}(): Expected {nd + 1}D or {nd + 2}D tensor, but got{colon} {list(input.shape)}"
    )


def _check_sizes_left(input: Tensor, nd: int, name: str, channels: bool) -> None:
    size = list(input.shape)
    if nd == 1 and name == "adaptive_avg_pool2d":
        size.insert(-1, 1)
    first = len(size) - max(nd, 2 if name == "adaptive_avg_pool2d" else 1) - channels
    for k in range(max(first, 0), len(size)):
        if size[k] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                f"input has sizes {size} with dimension {k} being empty"
            )


@lru_cache(64)
def _adaptive_places(size: tuple, wanted: tuple) -> Any:
    """The flat indices of each window's cells. Shape: (*wanted, cells of the largest window)."""
    ranges = [
        [range(k * n // out, -(-(k + 1) * n // out)) for k in range(out)]
        for n, out in zip(size, wanted, strict=True)
    ]
    return windows_of(size, [_filled(each) for each in ranges])


def _filled(windows: list) -> Any:
    """Windows as rows of equal length: the last cell of a short one stands again."""
    width = max(map(len, windows), default=1)
    rows = [[w[min(k, len(w) - 1)] for k in range(width)] for w in windows]
    return np.array(rows, np.int64).reshape(len(windows), width)


def windows_of(size: tuple, cells: list) -> Any:
    """Flat indices of windows from their cells along each dimension.

    Shapes: cells (*lead, out, width) each; result (*lead, *outs, product of widths).
    """
    nd, lead = len(size), cells[0].ndim - 2
    total: Any = 0
    for k, each in enumerate(cells):
        shape = [*each.shape[:lead], *[1] * (2 * nd)]
        shape[lead + k], shape[lead + nd + k] = each.shape[lead:]
        total = total * size[k] + each.reshape(shape)
    return total.reshape(*total.shape[: lead + nd], prod(total.shape[lead + nd :]))
