"""Datasets with PyTorch's names and meanings."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Letters(Dataset[str]):
    def __init__(self, text):
        self.text = text

    def __getitem__(self, index):
        return self.text[index]

    def __len__(self):
        return len(self.text)


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def test_a_tensor_dataset_gives_rows():
    x, y = torch.arange(6).reshape(3, 2), torch.tensor([7, 8, 9])
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    first, second = dataset[1]
    assert first.tolist() == [2, 3]
    assert second.item() == 8


@pytest.mark.parametrize("sizes", [(3, 2), (3, 3, 4)])
def test_tensors_of_different_lengths_are_refused(sizes):
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(*(torch.zeros(size) for size in sizes))


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


def test_an_index_beyond_concatenated_datasets_is_refused():
    both = ConcatDataset([Letters("abc"), Letters("de")])
    with pytest.raises(IndexError):
        both[5]
    with pytest.raises(ValueError, match="absolute value of index should not exceed"):
        both[-6]


def test_nothing_and_streams_are_not_concatenated():
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Count(2)])


def test_random_split_follows_the_generator():
    """PyTorch's stream: randperm, then cut."""
    parts = random_split(Letters("abcdef"), [4, 2], torch.Generator().manual_seed(3))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3)).tolist()
    assert [part.indices for part in parts] == [order[:4], order[4:]]


@pytest.mark.parametrize(
    ("fractions", "counts"),
    [([0.5, 0.5], [4, 3]), ([0.3, 0.3, 0.4], [3, 2, 2]), ([1.0], [7])],
)
def test_random_split_takes_fractions(fractions, counts):
    parts = random_split(Letters("abcdefg"), fractions)
    assert [len(part) for part in parts] == counts
    assert sorted(i for part in parts for i in part.indices) == list(range(7))


@pytest.mark.parametrize("lengths", [[3, 3], [8], [0.5, 0.6]])
def test_lengths_that_do_not_add_up_are_refused(lengths):
    with pytest.raises(ValueError, match="Sum of input lengths does not equal the length"):
        random_split(Letters("abcdefg"), lengths)


def test_fractions_outside_0_to_1_are_refused():
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(Letters("abcdefg"), [1.5, -0.5])


def test_a_dataset_may_hold_arrays():
    dataset = Subset(np.arange(10), [3, 4])
    assert dataset[1] == 4


def test_an_empty_part_is_warned_of():
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0. This might result"):
        parts = random_split(Letters("abc"), [1, 0])
    assert [len(part) for part in parts] == [3, 0]


def test_a_part_asks_for_all_samples_at_once_where_it_can():
    class Together(Letters):
        def __getitems__(self, indices):
            return ["".join(self[i] for i in indices)]

    assert Subset(Together("abc"), [2, 1, 0]).__getitems__([0, 2]) == ["ca"]
    assert Subset(Letters("abc"), [2, 1, 0]).__getitems__([0, 2]) == ["c", "a"]
    assert Subset(np.arange(5), [4, 3])[[0, 1]].tolist() == [4, 3]


def test_a_part_with_samples_of_its_own_must_give_many_too():
    class Loud(Subset):
        def __getitem__(self, index):
            return super().__getitem__(index).upper()

    with pytest.raises(NotImplementedError, match="Loud overrides __getitem__ but not"):
        Loud(Letters("abc"), [0])


def test_stacked_datasets_stand_side_by_side():
    pairs = StackDataset(Letters("abc"), Subset(Letters("xyz"), [2, 1, 0]))
    assert (len(pairs), pairs[0], pairs.__getitems__([0, 2])) == (
        3,
        ("a", "z"),
        [("a", "z"), ("c", "x")],
    )
    named = StackDataset(first=Letters("abc"), second=range(3))
    assert named[1] == {"first": "b", "second": 1}
    assert named.__getitems__([1]) == [{"first": "b", "second": 1}]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ([], {}, "At least one dataset should be passed"),
        (["ab"], {"x": "ab"}, "but both types are given"),
        (["ab", "c"], {}, "Size mismatch between datasets"),
    ],
)
def test_datasets_that_do_not_stack_are_refused(args, kwargs, text):
    with pytest.raises(ValueError, match=text):
        StackDataset(*args, **kwargs)


def test_a_stacked_dataset_that_gives_fewer_is_refused():
    class Forgetful(Letters):
        def __getitems__(self, indices):
            return []

    with pytest.raises(ValueError, match=r"output size mismatch\. Expected 2, got 0"):
        StackDataset(Forgetful("abc")).__getitems__([0, 1])


def test_chained_streams_follow_one_another():
    chain = Count(2) + Count(3)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 0, 1, 2]
    assert len(chain) == 5
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Letters("a")]))
