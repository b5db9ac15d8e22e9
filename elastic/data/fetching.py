"""How a batch comes out of a dataset, the same in the loader's process and in its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.data.collate import stacks_rows
from elastic.data.dataset import IterableDataset, Subset, TensorDataset

__all__ = ["Fetching", "fetch_leaf", "rows"]


@dataclass(frozen=True)
class Fetching:
    """What a batch is made of: the dataset, and how its samples are put together.

    `batched` says whether what is asked for is the indices of a batch, or the index of a sample.
    """

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool

    @property
    def is_stream(self) -> bool:
        """Whether the dataset has samples one after the other, and no indices."""
        return isinstance(self.dataset, IterableDataset)

    def begin(self) -> Callable[[Any], Any]:
        """Return the function that fetches a batch, or raises StopIteration at a stream's end."""
        if self.is_stream:
            return _Stream(self, iter(self.dataset)).fetch
        return self._fetch

    def _fetch(self, asked: Any) -> Any:
        if not self.batched:
            return self.collate_fn(self.dataset[asked])
        if stacks_rows(self.collate_fn):
            tensors = rows(self.dataset, asked)
            if tensors is not None:
                return tensors
        together = getattr(self.dataset, "__getitems__", None)
        samples = together(asked) if together else [self.dataset[index] for index in asked]
        return self.collate_fn(samples)


class _Stream:
    """One pass over a stream."""

    def __init__(self, fetching: Fetching, samples: Iterator[Any]):
        self._fetching = fetching
        self._samples = samples
        self._ended = False

    def fetch(self, asked: Any) -> Any:
        if self._ended:
            raise StopIteration
        how = self._fetching
        return how.collate_fn(self._batch(len(asked)) if how.batched else next(self._samples))

    def _batch(self, size: int) -> list[Any]:
        batch: list[Any] = []
        for sample in self._samples:
            batch.append(sample)
            if len(batch) == size:
                return batch
        self._ended = True
        if not batch or self._fetching.drop_last:
            raise StopIteration
        return batch


def fetch_leaf(
    dataset: Any,
    collate_fn: Callable[[Any], Any],
    indices: Sequence[int],
    seed_sample: Callable[[int], None] | None,
) -> tuple[Any, tuple[int, ...]]:
    """Return the batch and, as evidence, the indices that were asked of the dataset (D2).

    `seed_sample(i)` is called before the i-th sample is fetched, so that random augmentation
    follows the sample and not the worker.
    """
    tensors = rows(dataset, indices) if stacks_rows(collate_fn) else None
    if tensors is not None:
        return tensors, tuple(indices)
    fetched, samples = [], []
    for offset, index in enumerate(indices):
        if seed_sample is not None:
            seed_sample(offset)
        samples.append(dataset[index])
        fetched.append(index)
    return collate_fn(samples), tuple(fetched)


def rows(dataset: Any, indices: Any) -> list[Any] | None:
    """Return the rows of a TensorDataset, or of a part of one, in one call a tensor; else None."""
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    wanted = torch.from_numpy(np.array(indices, np.int64))
    return [tensor[wanted] for tensor in dataset.tensors]
