"""Datasets with PyTorch's names and meanings."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from elastic.errors import DataError


class Letters(Dataset[str]):
    def __init__(self, text):
        self.text = text

    def __getitem__(self, index):
        return self.text[index]

    def __len__(self):
        return len(self.text)


def test_a_tensor_dataset_gives_rows():
    x, y = torch.arange(6).reshape(3, 2), torch.tensor([7, 8, 9])
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    first, second = dataset[1]
    assert first.tolist() == [2, 3]
    assert second.item() == 8


@pytest.mark.parametrize("sizes", [(3, 2), (3, 3, 4)])
def test_tensors_of_different_lengths_are_refused(sizes):
    with pytest.raises(DataError, match="tensors of one number of rows, got"):
        TensorDataset(*(torch.zeros(size) for size in sizes))


def test_a_tensor_dataset_of_nothing_is_refused():
    with pytest.raises(DataError, match=r"got \[\]"):
        TensorDataset()


def test_a_dataset_without_items_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        Dataset()[0]


def test_a_subset_gives_its_indices():
    subset = Subset(Letters("abcdef"), [4, 0, 4])
    assert [subset[i] for i in range(len(subset))] == ["e", "a", "e"]


def test_concatenated_datasets_follow_one_another():
    both = Letters("ab") + Letters("") + Letters("cde")
    assert isinstance(both, ConcatDataset)
    assert "".join(both[i] for i in range(len(both))) == "abcde"
    assert both[-1] == "e"
    assert both[-5] == "a"


@pytest.mark.parametrize("index", [5, -6])
def test_an_index_beyond_concatenated_datasets_is_refused(index):
    with pytest.raises(IndexError, match=f"has 5 samples, got index {index}"):
        ConcatDataset([Letters("abc"), Letters("de")])[index]


def test_nothing_and_streams_are_not_concatenated():
    with pytest.raises(DataError, match="at least one dataset"):
        ConcatDataset([])
    with pytest.raises(DataError, match="does not support IterableDataset"):
        ConcatDataset([IterableDataset()])


def test_random_split_follows_the_generator():
    """PyTorch's stream: randperm, then cut."""
    parts = random_split(Letters("abcdef"), [4, 2], torch.Generator().manual_seed(3))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3)).tolist()
    assert [part.indices for part in parts] == [order[:4], order[4:]]


@pytest.mark.parametrize(
    ("fractions", "counts"),
    [([0.5, 0.5], [4, 3]), ([0.3, 0.3, 0.4], [3, 2, 2]), ([1.0], [7]), ([1, 0], [7, 0])],
)
def test_random_split_takes_fractions(fractions, counts):
    parts = random_split(Letters("abcdefg"), fractions)
    assert [len(part) for part in parts] == counts
    assert sorted(i for part in parts for i in part.indices) == list(range(7))


@pytest.mark.parametrize("lengths", [[3, 3], [8], [0.5, 0.6]])
def test_lengths_that_do_not_add_up_are_refused(lengths):
    with pytest.raises(DataError, match="add up to the 7 samples"):
        random_split(Letters("abcdefg"), lengths)


def test_fractions_outside_0_to_1_are_refused():
    with pytest.raises(DataError, match="fractions from 0 to 1"):
        random_split(Letters("abcdefg"), [1.5, -0.5])


def test_a_dataset_may_hold_arrays():
    dataset = Subset(np.arange(10), [3, 4])
    assert dataset[1] == 4
