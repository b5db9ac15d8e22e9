"""Rows of a table, one by one or in bags."""

from __future__ import annotations

from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor, backend
from elastic.tensor._dispatch import apply
from elastic.tensor._registry import REGISTRY
from elastic.tensor._tensor import wrap

__all__ = ["embedding", "embedding_bag"]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Returns weight[input]; no gradient reaches the row `padding_idx`.

    `max_norm` first shrinks, in place, the rows that are longer. `scale_grad_by_freq` divides the
    gradient of a row by how often it was looked up. `sparse` has no effect: gradients are dense.
    Shapes: (*) of integers and (V, D) give (*, D).
    """
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    padding = _checked_padding(padding_idx, len(weight))
    _check_indices(input)
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    return _looked_up(input, weight, padding, scale_grad_by_freq)


def _looked_up(input: Tensor, weight: Tensor, padding: int, by_frequency: bool) -> Tensor:
    indices, scale = input._array, None
    if by_frequency:
        xp = backend.xp_of(indices)
        counts = xp.bincount(indices.reshape(-1), minlength=len(weight))
        scale = (1 / counts[indices]).astype(weight._array.dtype)
    return apply(REGISTRY["_embedding"], [weight, indices, padding, scale])


def _checked_padding(padding_idx: int | None, count: int) -> int:
    """The row without a gradient, -1 for none."""
    if padding_idx is None:
        return -1
    if padding_idx >= 0:
        if padding_idx >= count:
            raise AssertionError("Padding_idx must be within num_embeddings")
    elif padding_idx < -count:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % count


def _check_indices(input: Tensor) -> None:
    if input.dtype not in (torch.int64, torch.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {input.type()} instead (while checking arguments for embedding)"
        )


def _renorm(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Shrinks the rows of `input` in place that are longer than `max_norm`."""
    with torch.no_grad():
        rows = torch.unique(input)
        lengths = weight[rows].norm(norm_type, 1, True)
        factor = torch.where(lengths > max_norm, max_norm / (lengths + 1e-7), 1.0)
        weight.detach()[rows] = weight[rows] * factor


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Returns the "sum", "mean" or "max" of the rows of each bag.

    Bags are the rows of a 2-D input; a 1-D input is cut at `offsets` (whose last entry ends the
    last bag with `include_last_offset`). Entries equal to `padding_idx` are left out; an empty bag
    gives 0. Shapes: (B, N) or (N) with (B) give (B, D).
    """
    input, offsets, weights = _flat_bags(input, offsets, per_sample_weights, include_last_offset)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"mode has to be one of sum, mean or max but got {mode}")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    padding = -1 if padding_idx is None else _checked_bag_padding(padding_idx, len(weight))
    starts = offsets._array
    count = len(starts) - include_last_offset
    bags = np.searchsorted(starts[:count], np.arange(len(input)), "right") - 1
    kept = input._array != padding
    rows = _looked_up(input, weight, padding, scale_grad_by_freq)
    if mode == "max":
        return _max_of_bags(rows, bags, kept, count)
    if weights is not None:
        rows = rows * weights.unsqueeze(1)
    rows = rows * wrap(kept[:, None])
    total = rows.new_zeros(count, weight.shape[1]).index_add(0, wrap(bags), rows)
    if mode == "sum":
        return total
    sizes = np.maximum(np.bincount(bags[kept], minlength=count), 1)
    return total / wrap(sizes[:, None].astype(weight._array.dtype))


def _checked_bag_padding(padding_idx: int, count: int) -> int:
    if not -count <= padding_idx < count:
        raise RuntimeError(
            f"padding_idx must be within the number of embeddings, -{count} through {count - 1}, "
            f"but got {padding_idx}"
        )
    return padding_idx % count


def _flat_bags(
    input: Tensor, offsets: Any, weights: Tensor | None, include_last: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One row of indices, where each bag of it starts, and one weight an index."""
    if weights is not None and weights.shape != input.shape:
        raise ValueError(
            "embedding_bag: If per_sample_weights "
            f"({list(weights.shape)}) is not None, then it must have the same shape as the input "
            f"({list(input.shape)})"
        )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        rows, length = input.shape
        starts = wrap(np.arange(rows + include_last, dtype=np.int64) * length)
        return input.reshape(-1), starts, None if weights is None else weights.reshape(-1)
    if input.dim() != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    return input, offsets, weights


def _max_of_bags(rows: Tensor, bags: Any, kept: Any, count: int) -> Tensor:
    """The largest of each bag in each column; its gradient goes to the first that reaches it."""
    values = rows.detach()._array
    best = np.full((count, values.shape[1]), -1, np.int64)
    for k in np.flatnonzero(kept):
        bag = best[bags[k]]
        best[bags[k]] = np.where((bag < 0) | (values[k] > values[bag, np.arange(len(bag))]), k, bag)
    if not len(values):
        return rows.new_zeros(count, values.shape[1])
    return rows.gather(0, wrap(np.maximum(best, 0))) * wrap(best >= 0)
