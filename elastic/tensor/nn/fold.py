"""Patches of images as columns, and columns added up to images."""

from __future__ import annotations

from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn.module import Module

__all__ = ["Fold", "Unfold"]


class Unfold(Module):
    """Patches as columns. Shapes: (N, C, H, W) gives (N, C KH KW, patches)."""

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Unfold):
    """Columns as patches, added up where they overlap.

    Shapes: (N, C KH KW, patches) gives (N, C, *output_size).
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        place = (self.kernel_size, self.dilation, self.padding, self.stride)
        return F.fold(input, self.output_size, *place)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
