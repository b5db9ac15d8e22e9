"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn import init
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

Number = int | Sequence[int]  # one for all dimensions, or one each

_NAMES = ("same", "valid")
_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share: settings, weights and first values."""

    _nd: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Number,
        stride: Number = 1,
        padding: Number | str = 0,
        dilation: Number = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._each(kernel_size)
        self.stride = self._each(stride)
        self.padding = padding if isinstance(padding, str) else self._each(padding)
        self.dilation = self._each(dilation)
        self.output_padding = self._each(0)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check_settings()
        self._make_weights(bias, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def _each(self, value: Number) -> Any:
        return (value,) * self._nd if isinstance(value, int) else tuple(value)

    def _check_settings(self) -> None:
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups != 0:
                raise ValueError(f"{name} must be divisible by groups")
        if isinstance(self.padding, str):
            if self.padding not in _NAMES:
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of {set(_NAMES)}"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in _MODES:
            raise ValueError(
                f"padding_mode must be one of {set(_MODES)}, "
                f"but got padding_mode='{self.padding_mode}'"
            )

    def _make_weights(self, bias: bool, placed: dict) -> None:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        size = (first, second // self.groups, *self.kernel_size)
        self.weight = Parameter(torch.empty(size, **placed))
        self.register_parameter(
            "bias", Parameter(torch.empty(self.out_channels, **placed)) if bias else None
        )

    def reset_parameters(self) -> None:
        """Draw both from U(-b, b) with b = 1 / sqrt(inputs of an output), the weight first."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._both_ends(), mode=self.padding_mode)
            padding = self._each(0)
        convolve = getattr(F, f"conv{self._nd}d")
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _both_ends(self) -> list[int]:
        """The padding as `pad` takes it: two numbers a dimension, the last dimension first."""
        if self.padding == "valid":
            return [0] * (2 * self._nd)
        if self.padding == "same":
            spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(span // 2, span - span // 2) for span in spans]
        else:
            pairs = [(n, n) for n in self.padding]
        return [n for pair in reversed(pairs) for n in pair]

    def extra_repr(self) -> str:
        plain = {
            "padding": self._each(0),
            "dilation": self._each(1),
            "output_padding": self._each(0),
            "groups": 1,
        }
        told = [f"{self.in_channels}, {self.out_channels}"]
        told += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        told += [f"{k}={getattr(self, k)}" for k, v in plain.items() if getattr(self, k) != v]
        told += ["bias=False"] if self.bias is None else []
        told += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(told)


class Conv1d(_ConvNd):
    """Cross-correlation over signals. Shapes: (N, in, L) or (in, L)."""

    _nd = 1


class Conv2d(_ConvNd):
    """Cross-correlation over images. Shapes: (N, in, H, W) or (in, H, W)."""

    _nd = 2


class Conv3d(_ConvNd):
    """Cross-correlation over volumes. Shapes: (N, in, D, H, W) or (in, D, H, W)."""

    _nd = 3


class _ConvTransposeNd(_ConvNd):
    """A convolution's way back to its input: kernels, added up where they overlap."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Number,
        stride: Number = 1,
        padding: Number = 0,
        output_padding: Number = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Number = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        if padding_mode != "zeros":
            name = type(self).__name__
            raise ValueError(f'Only "zeros" padding mode is supported for {name}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.output_padding = self._each(output_padding)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self.output_padding if output_size is None else self._needed(input, output_size)
        convolve = getattr(F, f"conv_transpose{self._nd}d")
        place = (self.stride, self.padding, more, self.groups, self.dilation)
        return convolve(input, self.weight, self.bias, *place)

    def _needed(self, input: Tensor, output_size: Sequence[int]) -> list[int]:
        """The output padding that gives `output_size`. Raises: ValueError where none does."""
        lead = input.dim() - self._nd
        wanted = list(output_size[lead:] if len(output_size) == lead + self._nd else output_size)
        if len(wanted) != self._nd:
            raise ValueError(
                f"ConvTranspose{self._nd}D: for {input.dim()}D input, output_size must have "
                f"{self._nd} or {lead + self._nd} elements (got {len(wanted)})"
            )
        smallest = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[lead:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        largest = [n + s - 1 for n, s in zip(smallest, self.stride, strict=True)]
        if any(not a <= n <= b for a, n, b in zip(smallest, wanted, largest, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {smallest} "
                f"to {largest} (for an input of {torch.Size(input.shape[2:])})"
            )
        return [n - a for n, a in zip(wanted, smallest, strict=True)]


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over signals. Shapes: (N, in, L) or (in, L)."""

    _nd = 1


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over images. Shapes: (N, in, H, W) or (in, H, W)."""

    _nd = 2


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over volumes. Shapes: (N, in, D, H, W) or (in, D, H, W)."""

    _nd = 3
