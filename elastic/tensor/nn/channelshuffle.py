"""Channels dealt out like cards. Source: Zhang et al., "ShuffleNet", 2017."""

from __future__ import annotations

from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn.module import Module

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Channels in an order that takes one of each group in turn. Shapes: (N, C, *)."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
