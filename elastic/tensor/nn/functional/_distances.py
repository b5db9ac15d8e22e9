"""Distances between vectors."""

from __future__ import annotations

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = ["pairwise_distance", "pdist"]


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Returns the p-norm of x1 - x2 + eps along the last dimension."""
    return torch.norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Returns the p-norm distances of all pairs of rows: (0, 1), (0, 2), ..., (1, 2), ...

    Shapes: (N, D) gives (N * (N - 1) / 2).
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    pairs = torch.triu_indices(len(input), len(input), 1)
    return torch.norm(input[pairs[0]] - input[pairs[1]], p, -1)
