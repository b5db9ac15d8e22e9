"""Convolutions: those of the namespace, where users of layers look for them."""

from __future__ import annotations

from typing import Any

import elastic.tensor as torch

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

conv1d: Any = torch.conv1d
conv2d: Any = torch.conv2d
conv3d: Any = torch.conv3d
conv_tbc: Any = torch.conv_tbc
conv_transpose1d: Any = torch.conv_transpose1d
conv_transpose2d: Any = torch.conv_transpose2d
conv_transpose3d: Any = torch.conv_transpose3d
