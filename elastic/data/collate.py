"""A list of samples to a batch, as PyTorch's `default_collate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import elastic.tensor as torch

__all__ = ["default_collate"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Return the samples with a new first axis.

    Tensors and arrays are stacked, numbers become a tensor (floats of 64 bits), texts stay a list;
    dicts, named tuples, tuples and lists are collated member by member, tuples to lists.

    Raises:
        TypeError: the samples are something else.
        RuntimeError: sequences of different lengths.
    """
    first = batch[0]
    if isinstance(first, torch.Tensor):
        return torch.stack(list(batch), 0)
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind not in "OSUMmV":
        return torch.as_tensor(np.stack([np.asarray(sample) for sample in batch]))
    if isinstance(first, float):
        return torch.tensor(list(batch), dtype=torch.float64)
    if isinstance(first, int):
        return torch.tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([d[key] for d in batch]) for key in first})
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}"
    )


def _collate_sequences(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    members = [default_collate(member) for member in zip(*batch, strict=True)]
    if hasattr(first, "_fields"):  # a named tuple
        return type(first)(*members)
    return members


def _like(mapping: Mapping[Any, Any], collated: dict[Any, Any]) -> Any:
    try:
        return type(mapping)(collated)  # type: ignore[call-arg]
    except TypeError:  # a mapping that is made otherwise
        return collated
