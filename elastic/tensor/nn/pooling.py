"""Pooling layers. Shapes in d dimensions: (N, C, *d sizes) or (C, *d sizes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Number = int | Sequence[int]  # one for all dimensions, or one each


def _told(module: Module, *names: str) -> str:
    return ", ".join(f"{name}={getattr(module, name)}" for name in names)


def _each(value: Any, nd: int) -> Any:
    return (value,) * nd if isinstance(value, (int, float)) else tuple(value)


class _MaxPoolNd(Module):
    """The largest of each window; with return_indices a pair, also where it stands."""

    _nd: int

    def __init__(
        self,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        dilation: Number = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"max_pool{self._nd}d")
        place = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return pool(input, *place, self.return_indices)

    def extra_repr(self) -> str:
        return _told(self, "kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool1d(_MaxPoolNd):
    """The largest of each window of signals."""

    _nd = 1


class MaxPool2d(_MaxPoolNd):
    """The largest of each window of images."""

    _nd = 2


class MaxPool3d(_MaxPoolNd):
    """The largest of each window of volumes."""

    _nd = 3


class _MaxUnpoolNd(Module):
    """Zeros, with each element where max pooling found it."""

    _nd: int

    def __init__(self, kernel_size: Number, stride: Number | None = None, padding: Number = 0):
        super().__init__()
        self.kernel_size = _each(kernel_size, self._nd)
        self.stride = _each(kernel_size if stride is None else stride, self._nd)
        self.padding = _each(padding, self._nd)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        unpool = getattr(F, f"max_unpool{self._nd}d")
        place = (self.kernel_size, self.stride, self.padding)
        return unpool(input, indices, *place, output_size)

    def extra_repr(self) -> str:
        return _told(self, "kernel_size", "stride", "padding")


class MaxUnpool1d(_MaxUnpoolNd):
    """The way back of MaxPool1d."""

    _nd = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """The way back of MaxPool2d."""

    _nd = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """The way back of MaxPool3d."""

    _nd = 3


class AvgPool1d(Module):
    """The mean of each window of signals."""

    def __init__(
        self,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        self.kernel_size = _each(kernel_size, 1)
        self.stride = _each(kernel_size if stride is None else stride, 1)
        self.padding = _each(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        place = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool1d(input, *place, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return _told(self, "kernel_size", "stride", "padding")


class _AvgPoolNd(Module):
    """The mean of each window; divisor_override stands for the number of its elements."""

    _nd: int

    def __init__(
        self,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        pool = getattr(F, f"avg_pool{self._nd}d")
        place = (self.kernel_size, self.stride, self.padding)
        rest = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        return pool(input, *place, *rest)

    def extra_repr(self) -> str:
        return _told(self, "kernel_size", "stride", "padding")


class AvgPool2d(_AvgPoolNd):
    """The mean of each window of images."""

    _nd = 2


class AvgPool3d(_AvgPoolNd):
    """The mean of each window of volumes."""

    _nd = 3


class _FractionalMaxPoolNd(Module):
    """The largest of windows at places drawn anew each time. Source: Graham, 2014.

    Either output_size says how many windows there are, or output_ratio how many for each cell.
    """

    _nd: int

    def __init__(
        self,
        kernel_size: Number,
        output_size: Number | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ):
        super().__init__()
        name = type(self).__name__
        if self._nd == 3 and min(_each(kernel_size, 3)) <= 0:
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.kernel_size = _each(kernel_size, self._nd)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else _each(output_size, self._nd)
        self.output_ratio = None if output_ratio is None else _each(output_ratio, self._nd)
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{name} requires specifying either an output size, or a pooling ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"fractional_max_pool{self._nd}d")
        size = (self.output_size, self.output_ratio)
        drawn = self._random_samples
        return pool(input, self.kernel_size, *size, self.return_indices, _random_samples=drawn)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The largest of windows of images, at places drawn at random."""

    _nd = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The largest of windows of volumes, at places drawn at random."""

    _nd = 3


class _LPPoolNd(Module):
    """The p-norm of each window; of a sum below zero, 0."""

    _nd: int

    def __init__(
        self,
        norm_type: float,
        kernel_size: Number,
        stride: Number | None = None,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        pool = getattr(F, f"lp_pool{self._nd}d")
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return _told(self, "norm_type", "kernel_size", "stride", "ceil_mode")


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of signals."""

    _nd = 1


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of images."""

    _nd = 2


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of volumes."""

    _nd = 3


class _AdaptiveMaxPoolNd(Module):
    """The largest of output_size windows that cover the input."""

    _nd: int

    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"adaptive_max_pool{self._nd}d")
        return pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return _told(self, "output_size")


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest of windows that cover signals."""

    _nd = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The largest of windows that cover images."""

    _nd = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The largest of windows that cover volumes."""

    _nd = 3


class _AdaptiveAvgPoolNd(Module):
    """The means of output_size windows that cover the input."""

    _nd: int

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, f"adaptive_avg_pool{self._nd}d")(input, self.output_size)

    def extra_repr(self) -> str:
        return _told(self, "output_size")


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of windows that cover signals."""

    _nd = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of windows that cover images."""

    _nd = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of windows that cover volumes."""

    _nd = 3
