"""Samples to batches, as PyTorch's `default_collate`."""

from __future__ import annotations

from collections import OrderedDict, UserList, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import default_collate, default_convert
from elastic.data.collate import collate, default_collate_fn_map

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
    class Fixed(Mapping):
        def __getitem__(self, key):
            return {"x": 1}[key]

        def __iter__(self):
            return iter("x")

        def __len__(self):
            return 1

    batch = default_collate([Fixed(), Fixed()])
    assert type(batch) is dict
    assert batch["x"].tolist() == [1, 1]
    assert default_collate([MappingProxyType({"x": 1})])["x"].tolist() == [1]


def test_members_of_different_number_are_refused():
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        default_collate([(1, 2), (1,)])


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        (object(), "<class 'object'>"),
        (None, "<class 'NoneType'>"),
        (np.array(["text"]), "<U4"),
        (np.array([None]), "object"),
    ],
)
def test_what_cannot_be_collated_is_refused(sample, found):
    with pytest.raises(TypeError, match=f"numbers, dicts or lists; found {found}$"):
        default_collate([sample, sample])


def test_a_copied_container_keeps_its_attributes():
    class Named(dict):
        pass

    named, listed = Named(x=1), UserList([1, 2])
    named.name = listed.name = "kept"
    for sample in (named, listed):
        batch = default_collate([sample, sample])
        assert type(batch) is type(sample)
        assert batch.name == "kept"
    assert (named["x"], listed[0]) == (1, 1)


def test_a_type_may_have_a_function_of_its_own(monkeypatch):
    def joined(batch, *, collate_fn_map):
        return "".join(batch)

    assert collate([("a", 1), ("b", 2)], collate_fn_map={str: joined, int: max_of}) == ["ab", 2]
    with pytest.raises(TypeError, match="found <class 'int'>"):
        collate([1, 2])
    monkeypatch.setitem(default_collate_fn_map, str, joined)
    assert default_collate(["a", "b"]) == "ab"


def max_of(batch, *, collate_fn_map):
    return max(batch)


def test_converting_leaves_structure_and_texts():
    pair = default_convert(Pair(np.array([1, 2]), "text"))
    assert (type(pair), pair.x.tolist(), pair.y) == (Pair, [1, 2], "text")
    converted = default_convert({"a": (np.float32(1), b"b"), "c": [np.array(["d"]), 5]})
    assert converted["a"][0].dtype == torch.float32
    assert converted["a"][1] == b"b"
    assert type(converted["c"][0]) is np.ndarray
    assert converted["c"][1] == 5
    assert default_convert(range(2)) == [0, 1]
