"""How a batch comes out of a dataset."""

from __future__ import annotations

import pytest

from elastic.data import Dataset, IterableDataset
from elastic.data.fetching import Fetching


class Squares(Dataset):
    def __getitem__(self, index):
        return index**2


class Together(Squares):
    def __getitems__(self, indices):
        return ["together", *indices]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))


def fetching(dataset, batched=True, collate_fn=list, drop_last=False):
    return Fetching(dataset, batched, collate_fn, drop_last).begin()


def test_samples_are_asked_for_one_by_one_or_together():
    assert fetching(Squares())([1, 3]) == [1, 9]
    assert fetching(Together())([1, 3]) == ["together", 1, 3]
    assert fetching(Squares(), batched=False, collate_fn=str)(3) == "9"


@pytest.mark.parametrize(("drop_last", "last"), [(False, [[4]]), (True, [])])
def test_a_stream_ends_once_and_for_all(drop_last, last):
    fetch = fetching(Stream(), drop_last=drop_last)
    for batch in [[0, 1], [2, 3], *last]:
        assert fetch([None, None]) == batch
    for _ in range(2):
        with pytest.raises(StopIteration):
            fetch([None, None])


def test_each_begin_is_a_pass_of_its_own():
    how = Fetching(Stream(), False, str, False)
    assert [how.begin()(None) for _ in range(2)] == ["0", "0"]
