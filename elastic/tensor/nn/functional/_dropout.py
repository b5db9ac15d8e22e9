"""Dropout: random zeros in training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
]  # fmt: skip

_SATURATION = 1.7580993408473766  # -SELU's limit towards minus infinity


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns input with elements zeroed at probability p and the others divided by 1 - p."""
    return _dropped(input, None, p, training, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns input with whole channels zeroed. Shapes: (N, C, L) or (C, L)."""
    if input.dim() not in (2, 3):
        raise RuntimeError(
            "dropout1d: Expected 2D or 3D input, but received a "
            f"{input.dim()}D input. Note that dropout1d exists to provide channel-wise dropout on "
            "inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension "
            "(i.e. 2D or 3D inputs)."
        )
    return _unbatched(input, 2, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns input with whole channels zeroed. Shapes: (N, C, H, W).

    An input of three dimensions is taken for (N, C, L), with a warning.
    """
    if input.dim() not in (3, 4):
        _warn(
            f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and "
            "will result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that dropout2d exists to provide "
            "channel-wise dropout on inputs with 2 spatial dimensions, a channel dimension, and an "
            "optional batch dimension (i.e. 3D or 4D inputs)."
        )
    if input.dim() == 3:
        _warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim. This behavior will change in a future release to interpret the input as one "
            "without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead."
        )
    return _dropped(input, _channels(input), p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns input with whole channels zeroed. Shapes: (N, C, D, H, W) or (C, D, H, W)."""
    if input.dim() not in (4, 5):
        _warn(
            f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated and "
            "will result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that dropout3d exists to provide "
            "channel-wise dropout on inputs with 3 spatial dimensions, a channel dimension, and an "
            "optional batch dimension (i.e. 4D or 5D inputs)."
        )
    return _unbatched(input, 4, p, training, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Returns input with elements set to SELU's limit, scaled to keep mean 0 and variance 1.

    Source: Klambauer et al., "Self-Normalizing Neural Networks", 2017.
    """
    return _alpha_dropped(input, list(input.shape), p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Returns alpha_dropout of whole channels. Shapes: (N, C, *)."""
    shape = _channels(input) if training and 0 < p < 1 else []
    return _alpha_dropped(input, shape, p, training, inplace)


def feature_dropout(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    """Returns input with whole channels zeroed. Shapes: (N, C, *)."""
    return _dropped(input, _channels(input), p, training, inplace)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=3)


def _unbatched(input: Tensor, rank: int, p: float, training: bool, inplace: bool) -> Tensor:
    """Channel dropout of an input that has no batch if its rank is `rank`."""
    if input.dim() != rank:
        return _dropped(input, _channels(input), p, training, inplace)
    dropped = _dropped(batch := input.unsqueeze(0), _channels(batch), p, training, inplace).squeeze(
        0
    )
    return input if inplace else dropped


def _channels(input: Tensor) -> list[int]:
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return [*input.shape[:2], *[1] * (input.dim() - 2)]


def _check(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(
    input: Tensor, shape: Sequence[int] | None, p: float, training: bool, inplace: bool
) -> Tensor:
    _check(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    like = input.detach()
    if p == 1:
        mask = torch.zeros((), dtype=input.dtype, device=input.device)
    else:
        blank = torch.empty_like(like) if shape is None else like.new_empty(shape)
        mask = blank.bernoulli_(1 - p).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask


def _alpha_dropped(
    input: Tensor, shape: Sequence[int], p: float, training: bool, inplace: bool
) -> Tensor:
    _check(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        zero = torch.zeros((), dtype=input.dtype, device=input.device)
        return input.mul_(zero) if inplace else input * zero
    scale = 1 / math.sqrt((_SATURATION * _SATURATION * p + 1) * (1 - p))
    mask = input.detach().new_empty(shape).bernoulli_(1 - p)
    shift = (mask - 1) * (_SATURATION * scale) + _SATURATION * scale * p
    mask = mask * scale
    return input.mul_(mask).add_(shift) if inplace else input * mask + shift
