"""Samples to batches, as PyTorch's `default_collate`."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import default_collate

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("samples", "dtype", "values"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1.5, 2.0], "float64", [1.5, 2.0]),
        ([True, False], "bool", [True, False]),
        ([np.float32(1), np.float32(2)], "float32", [1.0, 2.0]),
        ([np.int16(1), np.int16(2)], "int16", [1, 2]),
        ([np.ones(2), np.zeros(2)], "float64", [[1.0, 1.0], [0.0, 0.0]]),
    ],
)
def test_numbers_and_arrays_become_a_tensor(samples, dtype, values):
    batch = default_collate(samples)
    assert batch.dtype == getattr(torch, dtype)
    assert batch.tolist() == values


def test_tensors_are_stacked():
    batch = default_collate([torch.zeros(2, 3), torch.ones(2, 3)])
    assert tuple(batch.shape) == (2, 2, 3)
    assert batch[1].tolist() == [[1.0] * 3] * 2


def test_texts_stay_as_they_are():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]


def test_tuples_and_lists_are_collated_member_by_member():
    for samples in ([(1, "a"), (2, "b")], [[1, "a"], [2, "b"]]):
        numbers, texts = default_collate(samples)
        assert numbers.tolist() == [1, 2]
        assert texts == ("a", "b")


def test_dicts_and_named_tuples_keep_their_class():
    batch = default_collate([OrderedDict(x=1), OrderedDict(x=2)])
    assert type(batch) is OrderedDict
    assert batch["x"].tolist() == [1, 2]
    pair = default_collate([Pair(1, 2.0), Pair(3, 4.0)])
    assert type(pair) is Pair
    assert pair.y.tolist() == [2.0, 4.0]


def test_a_mapping_that_cannot_be_made_again_becomes_a_dict():
    class Fixed(dict):
        def __init__(self):
            super().__init__(x=1)

    batch = default_collate([Fixed(), Fixed()])
    assert type(batch) is dict
    assert batch["x"].tolist() == [1, 1]
    assert default_collate([MappingProxyType({"x": 1})])["x"].tolist() == [1]


def test_members_of_different_number_are_refused():
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        default_collate([(1, 2), (1,)])


@pytest.mark.parametrize("sample", [object(), None, np.array(["text"]), np.array([None])])
def test_what_cannot_be_collated_is_refused(sample):
    with pytest.raises(TypeError, match="numbers, dicts or lists; found <class"):
        default_collate([sample, sample])
