"""Pooling. Shapes in d dimensions: (N, C, *d sizes) or (C, *d sizes)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._registry import TENSORS as ops
from elastic.tensor.functions import pool

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Number = int | Sequence[int]  # one for all dimensions, or one each


def _max_pool(nd: int, with_indices: bool | None = None) -> Callable:
    """Return the function for nd dimensions."""

    def call(
        input: Tensor,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        dilation: Number = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        """Return the largest of each window, and on demand where it stands.

        An index counts through the flattened spatial dimensions.
        """
        wanted = return_indices if with_indices is None else with_indices
        place = (kernel_size, stride, padding, dilation, ceil_mode)
        return pool.largest(nd, input, *place, wanted)

    return _named(call, f"max_pool{nd}d{'_with_indices' if with_indices else ''}")


def _adaptive_max_pool(nd: int, with_indices: bool | None = None) -> Callable:
    """Return the function for nd dimensions."""

    def call(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        """Return the largest of output_size windows that cover the input, on demand with places."""
        size = output_size if nd == 1 else _completed(input, output_size)
        found = pool.adaptive_largest(nd, input, size)
        return found if return_indices or with_indices else found[0]

    return _named(call, f"adaptive_max_pool{nd}d{'_with_indices' if with_indices else ''}")


def _named(function: Callable, name: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    return function


def _completed(input: Tensor, output_size: Any) -> Any:
    """Return the size with the input's own in place of None."""
    if isinstance(output_size, int):
        return output_size
    if len(output_size) >= input.dim():
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    own = input.shape[input.dim() - len(output_size) :]
    return tuple(n if n is not None else m for n, m in zip(output_size, own, strict=True))


max_pool1d, max_pool2d, max_pool3d = (_max_pool(nd) for nd in (1, 2, 3))
max_pool1d_with_indices = _max_pool(1, True)
max_pool2d_with_indices = _max_pool(2, True)
max_pool3d_with_indices = _max_pool(3, True)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_max_pool(nd) for nd in (1, 2, 3)
)
adaptive_max_pool1d_with_indices = _adaptive_max_pool(1, True)
adaptive_max_pool2d_with_indices = _adaptive_max_pool(2, True)
adaptive_max_pool3d_with_indices = _adaptive_max_pool(3, True)
avg_pool1d: Any = torch.avg_pool1d
adaptive_avg_pool1d: Any = torch.adaptive_avg_pool1d


def avg_pool2d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window; padding counts as zeros, or not at all."""
    rest = (stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pool.mean_of(2, input, kernel_size, *rest)


def avg_pool3d(
    input: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window; padding counts as zeros, or not at all."""
    rest = (stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pool.mean_of(3, input, kernel_size, *rest)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of windows that cover the input; None keeps the input's size."""
    return pool.adaptive_mean(2, input, _completed(input, output_size))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Return the means of windows that cover the input; None keeps the input's size."""
    return pool.adaptive_mean(3, input, _completed(input, output_size))


# The p-norm of each window


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int,
    stride: Number | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window; of a sum below zero, 0."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Number,
    stride: Number | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window; of a sum below zero, 0."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Number,
    stride: Number | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the p-norm of each window; of a sum below zero, 0."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    nd: int, input: Tensor, p: float, kernel: Number, stride: Number | None, ceil_mode: bool
) -> Tensor:
    if math.isinf(p):
        sign = 1 if p > 0 else -1
        return sign * pool.largest(nd, sign * input.abs(), kernel, stride, 0, 1, ceil_mode)
    cells = math.prod((kernel,) * nd if isinstance(kernel, int) else kernel)
    mean = pool.mean_of(nd, input.pow(p), kernel, stride, 0, ceil_mode, True, None)
    # by the sign, not by a comparison: its gradient is 0 where the sum is
    return (mean.sign() * mean.abs().relu()).mul(cells).pow(1.0 / p)


# Windows at random places. Source: Graham, "Fractional Max-Pooling", 2014.


def _fractional(nd: int, with_indices: bool) -> Callable:
    """Return the function for nd dimensions."""
    name = f"fractional_max_pool{nd}d"

    def call(
        input: Tensor,
        kernel_size: Number,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        """Return the largest of output_size windows at places drawn at random.

        `_random_samples` (N, C, dimensions) stands for the draws, from [0, 1).
        """
        size = _fractional_size(name, nd, input, output_size, output_ratio)
        if _random_samples is None:
            batch = 1 if input.dim() == nd + 1 else input.shape[0]
            shape = (batch, input.shape[-nd - 1], nd)
            _random_samples = torch.rand(shape, dtype=input.dtype)
        found = _fractional_pool(name, nd, input, kernel_size, size, _random_samples)
        return found if return_indices or with_indices else found[0]

    return _named(call, name + ("_with_indices" if with_indices else ""))


def _fractional_size(name: str, nd: int, input: Tensor, size: Any, ratio: Any) -> tuple:
    if size is None and ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if input.dim() < nd + 1:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [-{input.dim()}, "
            f"{input.dim() - 1}], but got {-nd - 1})"
        )
    if size is None:
        ratios = (ratio,) * nd if isinstance(ratio, (int, float)) else tuple(ratio)
        own = input.shape[input.dim() - nd :]
        return tuple(int(n * r) for n, r in zip(own, ratios, strict=True))
    return _whole(name, "output_size", size, nd)


def _whole(name: str, what: str, value: Any, nd: int) -> tuple:
    value = (value,) if isinstance(value, int) else tuple(value)
    if len(value) not in (1, nd):
        raise RuntimeError(f"{name}: {what} must either be a single Int or tuple of Ints")
    return value * nd if len(value) == 1 else value


def _fractional_pool(
    name: str, nd: int, input: Tensor, kernel_size: Number, size: tuple, samples: Tensor
) -> tuple[Tensor, Tensor]:
    kernel = _whole(name, "kernel_size", kernel_size, nd)
    own = tuple(input.shape[input.dim() - nd :])
    _check_fractional(name, nd, input, kernel, size, samples)
    drawn = samples._array[: input.shape[0]] if input.dim() == nd + 2 else samples._array[0]
    order = (1, 0) if nd == 2 else (0, 1, 2)  # of images, the first sample is the width's
    cells = [
        _starts(drawn[..., j], n, out, k)[..., None] + np.arange(k)
        for j, n, out, k in zip(order, own, size, kernel, strict=True)
    ]
    return ops._best_of(input, pool.windows_of(own, cells), nd)


def _starts(sample: Any, n: int, out: int, kernel: int) -> Any:
    """Return where windows begin. Shapes: sample (*), result (*, out)."""
    k = np.arange(out).astype(sample.dtype)
    alpha = sample.dtype.type(n - kernel) / sample.dtype.type(max(out - 1, 1))
    places = ((k + sample[..., None]) * alpha).astype(np.int64)
    places = places - (sample * alpha).astype(np.int64)[..., None]
    places[..., out - 1 :] = n - kernel
    return places


def _check_fractional(
    name: str, nd: int, input: Tensor, kernel: tuple, size: tuple, samples: Tensor
) -> None:
    own = input.shape[input.dim() - nd :]
    for k in range(input.dim() - nd - 1, input.dim()):
        if input.shape[k] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got"
                f"{list(input.shape)} with dimension {k} being empty."
            )
    axes = ("time", "height", "width")[3 - nd :]
    for axis, n, out, k in zip(axes, own, size, kernel, strict=True):
        if out + k - 1 > n:
            raise RuntimeError(
                f"{name}{'_out' if nd == 3 else ''}(): pool {axis} {k} too large relative to "
                f"input {axis} {n}"
            )
    if samples.dtype is not input.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.shape[0] < (input.shape[0] if input.dim() == nd + 2 else 1):
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != input.shape[-nd - 1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != nd:
        raise RuntimeError(
            f"Expect _random_samples.size(2) equals to {nd}; got {samples.shape[2]}."
        )


fractional_max_pool2d, fractional_max_pool3d = (_fractional(nd, False) for nd in (2, 3))
fractional_max_pool2d_with_indices = _fractional(2, True)
fractional_max_pool3d_with_indices = _fractional(3, True)


# Back to where the largest stood


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return zeros with the elements of input at the indices that max_pool1d gave."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return zeros with the elements of input at the indices that max_pool2d gave."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Number,
    stride: Number | None = None,
    padding: Number = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Return zeros with the elements of input at the indices that max_pool3d gave."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    nd: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Number,
    stride: Number | None,
    padding: Number,
    output_size: Sequence[int] | None,
) -> Tensor:
    kernel, pad = _several(kernel_size, nd), _several(padding, nd)
    steps = kernel if stride is None else _several(stride, nd)
    size = _unpooled_size(nd, input, kernel, steps, pad, output_size)
    _check_unpool(nd, input, indices, size, steps)
    lead = tuple(input.shape[: input.dim() - nd])
    return ops._unpool(input, indices, (*lead, *size), nd)


def _several(value: Number, nd: int) -> tuple:
    return (value,) * nd if isinstance(value, int) else tuple(value)


def _unpooled_size(
    nd: int, input: Tensor, kernel: tuple, stride: tuple, padding: tuple, wanted: Any
) -> tuple:
    own = input.shape[max(input.dim() - nd, 0) :]
    natural = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(own, stride, kernel, padding)]  # noqa: B905 fewer dimensions are told later
    if wanted is None:
        return tuple(natural)
    size = tuple(wanted[2:] if len(wanted) == nd + 2 else wanted)
    if len(size) != nd:
        raise ValueError(
            f"output_size should be a sequence containing {nd} or {nd + 2} elements, but it has a "
            f"length of '{len(size)}'"
        )
    for d, (n, natural_n, s) in enumerate(zip(size, natural, stride, strict=True)):
        if not natural_n - s < n < natural_n + s:
            raise ValueError(
                f'invalid output_size "{wanted[2:] if len(wanted) == nd + 2 else wanted}" (dim {d} '
                f"must be between {natural_n - s} and {natural_n + s})"
            )
    return size


def _check_unpool(nd: int, input: Tensor, indices: Tensor, size: tuple, stride: tuple) -> None:
    rank = max(nd, 2)  # signals are taken for images of width 1
    if indices.dtype is not torch.int64:
        told = f" but got: {indices.dtype.title}" if nd < 3 else ""
        raise RuntimeError(f"elements in indices should be type int64{told}")
    if input.dim() not in (nd + 1, nd + 2):
        raise RuntimeError(
            f"Input to max_unpooling{rank}d should be a {rank + 1}d or {rank + 2}d Tensor, but got "
            f"a tensor with {input.dim() + rank - nd} dimensions."
        )
    if nd == 3 and any(s <= 0 for s in stride):
        raise RuntimeError(f"strides should be greater than zero, but got stride: {list(stride)}")
    if input.shape != indices.shape:
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    for k in range(1, input.dim()):
        if input.shape[k] == 0:
            raise RuntimeError(
                f"max_unpooling{rank}d_forward_out_cpu(): Expected input to have non-zero size for "
                f"non-batch dimensions, but got {list(input.shape)} with dimension {k} being empty."
            )
    places = indices._array
    wrong = (places < 0) | (places >= math.prod(size))
    if places.size and math.prod(size) and wrong.any():
        volume = "x".join(map(str, (*size, 1) if nd == 1 else size))
        raise RuntimeError(
            f"Found an invalid max index: {int(places[wrong][0])} (output volumes are of size "
            f"{volume})"
        )
