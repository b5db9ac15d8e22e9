"""Dropout: random zeros in training."""

from __future__ import annotations

from collections.abc import Sequence

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return input with elements zeroed at probability p and the others divided by 1 - p."""
    return _dropped(input, input.shape, p, training, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, L) or (C, L)."""
    return _channels_dropped(1, input, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, H, W) or (C, H, W)."""
    return _channels_dropped(2, input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Return input with whole channels zeroed. Shapes: (N, C, D, H, W) or (C, D, H, W)."""
    return _channels_dropped(3, input, p, training, inplace)


def _channels_dropped(
    spatial: int, input: Tensor, p: float, training: bool, inplace: bool
) -> Tensor:
    if input.dim() - spatial not in (1, 2):
        raise RuntimeError(
            f"dropout{spatial}d: Expected {spatial + 1}D or {spatial + 2}D input, "
            f"but received a {input.dim()}D input."
        )
    channels = (*input.shape[: input.dim() - spatial], *[1] * spatial)
    return _dropped(input, channels, p, training, inplace)


def _dropped(
    input: Tensor, shape: Sequence[int], p: float, training: bool, inplace: bool
) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        mask = torch.zeros(shape, dtype=input.dtype)
    else:
        mask = torch.empty(shape, dtype=input.dtype).bernoulli_(1 - p).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask
