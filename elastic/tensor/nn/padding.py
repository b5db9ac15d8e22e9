"""Padding layers: at both ends of the last 1, 2 or 3 dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn.module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(Module):
    """Pads by one number everywhere, or by a pair for each dimension, the last one first."""

    _nd: int
    _mode: str

    def __init__(self, padding: int | Sequence[int]):
        super().__init__()
        both = (padding,) * (2 * self._nd) if isinstance(padding, int) else padding
        self.padding = tuple(both)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    """Pads with a value."""

    def __init__(self, padding: int | Sequence[int], value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads with a value. Shapes: (*, L)."""

    _nd = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads with a value. Shapes: (*, H, W)."""

    _nd = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads with a value. Shapes: (*, D, H, W)."""

    _nd = 3


class ZeroPad1d(ConstantPad1d):
    """Pads with zeros. Shapes: (*, L)."""

    def __init__(self, padding: int | Sequence[int]):
        super().__init__(padding, 0.0)

    extra_repr = _PadNd.extra_repr


class ZeroPad2d(ConstantPad2d):
    """Pads with zeros. Shapes: (*, H, W)."""

    def __init__(self, padding: int | Sequence[int]):
        super().__init__(padding, 0.0)

    extra_repr = _PadNd.extra_repr


class ZeroPad3d(ConstantPad3d):
    """Pads with zeros. Shapes: (*, D, H, W)."""

    def __init__(self, padding: int | Sequence[int]):
        super().__init__(padding, 0.0)

    extra_repr = _PadNd.extra_repr


class ReflectionPad1d(_PadNd):
    """Pads with a mirror image; the edge itself stands once. Shapes: (N, C, L) or (C, L)."""

    _nd, _mode = 1, "reflect"


class ReflectionPad2d(_PadNd):
    """Pads with a mirror image; the edge itself stands once. Shapes: (N, C, H, W) or (C, H, W)."""

    _nd, _mode = 2, "reflect"


class ReflectionPad3d(_PadNd):
    """Pads with a mirror image; the edge stands once. Shapes: (N, C, D, H, W) or (C, D, H, W)."""

    _nd, _mode = 3, "reflect"


class ReplicationPad1d(_PadNd):
    """Pads with the edge, again and again. Shapes: (N, C, L) or (C, L)."""

    _nd, _mode = 1, "replicate"


class ReplicationPad2d(_PadNd):
    """Pads with the edge, again and again. Shapes: (N, C, H, W) or (C, H, W)."""

    _nd, _mode = 2, "replicate"


class ReplicationPad3d(_PadNd):
    """Pads with the edge, again and again. Shapes: (N, C, D, H, W) or (C, D, H, W)."""

    _nd, _mode = 3, "replicate"


class _CircularPadNd(_PadNd):
    """Pads with what stands at the other end."""

    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self._nd + 1, self._nd + 2):
            raise ValueError(
                f"expected {self._nd + 1}D or {self._nd + 2}D input (got {input.dim()}D input)"
            )
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Pads with what stands at the other end. Shapes: (N, C, L) or (C, L)."""

    _nd = 1


class CircularPad2d(_CircularPadNd):
    """Pads with what stands at the other end. Shapes: (N, C, H, W) or (C, H, W)."""

    _nd = 2


class CircularPad3d(_CircularPadNd):
    """Pads with what stands at the other end. Shapes: (N, C, D, H, W) or (C, D, H, W)."""

    _nd = 3
