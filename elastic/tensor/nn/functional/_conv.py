"""Convolutions: those of the namespace, where users of layers look for them."""

from __future__ import annotations

import elastic.tensor as torch

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

conv1d, conv2d, conv3d = torch.conv1d, torch.conv2d, torch.conv3d
conv_transpose1d = torch.conv_transpose1d
conv_transpose2d = torch.conv_transpose2d
conv_transpose3d = torch.conv_transpose3d
