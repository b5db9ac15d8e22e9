"""Linear maps and lookups."""

from __future__ import annotations

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "embedding",
    "linear",
    "one_hot",
]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return input @ weight.T + bias. Shapes: (*, in), (out, in), (out) give (*, out)."""
    product = input.matmul(weight.t())
    return product if bias is None else product + bias


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Return weight[input]; no gradient reaches the row `padding_idx`."""
    rows = weight[input]
    if padding_idx is None:
        return rows
    return torch.where((input == padding_idx % len(weight)).unsqueeze(-1), rows.detach(), rows)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return int64 with a 1 at each class and 0 elsewhere. Shapes: (*) gives (*, num_classes)."""
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).long()
