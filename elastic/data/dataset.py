"""Datasets: samples by index. PyTorch's names and meanings."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import elastic.tensor as torch
from elastic.errors import DataError

__all__ = [
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Samples by index: a subclass has `__getitem__` and, to be loaded, `__len__`."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[T]) -> ConcatDataset[T]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """A stream of samples. `DataLoader` refuses it: who trained on what could not be known."""


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Rows of tensors: sample i is the tuple of each tensor's row i."""

    def __init__(self, *tensors: Any):
        rows = [tensor.size(0) for tensor in tensors]
        if len(set(rows)) != 1:
            raise DataError(f"TensorDataset expects tensors of one number of rows, got {rows}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class Subset(Dataset[T]):
    """Those samples of a dataset that stand at `indices`."""

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> T:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T]):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset[T]]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise DataError("ConcatDataset expects at least one dataset, got none")
        for dataset in self.datasets:
            if isinstance(dataset, IterableDataset):
                raise DataError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset has {len(self)} samples, got index {index}")
        index %= len(self)
        which = bisect_right(self.cumulative_sizes, index)
        begin = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - begin]


def random_split(
    dataset: Dataset[T], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[T]]:
    """Return subsets of the given lengths, or fractions that add up to 1, in a random order.

    Raises:
        DataError: the lengths do not add up to the dataset's.
    """
    total = len(dataset)  # type: ignore[arg-type]
    counts = _counts(total, lengths)
    if sum(counts) != total:
        raise DataError(
            f"random_split expects lengths that add up to the {total} samples of the dataset, "
            f"got {list(lengths)}"
        )
    order = torch.randperm(total, generator=generator).tolist()
    ends = accumulate(counts)
    return [
        Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)
    ]


def _counts(total: int, lengths: Sequence[int | float]) -> list[int]:
    """Fractions are rounded down; what remains is dealt out one by one from the first."""
    if not (math.isclose(sum(lengths), 1) and sum(lengths) <= 1):
        return [int(length) for length in lengths]
    if any(not 0 <= fraction <= 1 for fraction in lengths):
        raise DataError(f"random_split expects fractions from 0 to 1, got {list(lengths)}")
    counts = [math.floor(total * fraction) for fraction in lengths]
    for i in range(total - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
