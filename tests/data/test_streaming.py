"""A stream in training: read by all, known by position, opened again where it stood."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import DataLoader, IterableDataset
from elastic.data.streaming import Streaming, digest_of
from elastic.errors import DataError


class Numbers(IterableDataset):
    """0, 1, 2, … of so many."""

    def __init__(self, n=10):
        self.n, self.read = n, 0

    def __iter__(self):
        for i in range(self.n):
            self.read += 1
            yield i


class Resumable(Numbers):
    """It saves where it is."""

    def __init__(self, n=10):
        super().__init__(n)
        self.at = 0

    def __iter__(self):
        while self.at < self.n:
            self.read += 1
            self.at += 1
            yield self.at - 1
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def through(stream, steps):
    """The samples of so many steps, and where an epoch ended."""
    seen = []
    for _ in range(steps):
        seen.append((stream.epoch, stream.batch().position, stream.batch().samples))
        seen[-1] += (stream.advance(),)
    return seen


def test_batches_follow_each_other_to_the_end_of_an_epoch():
    """D1: the end is known with the last batch."""
    assert through(Streaming(Numbers(), 4, False), 4) == [
        (0, 0, [0, 1, 2, 3], False),
        (0, 4, [4, 5, 6, 7], False),
        (0, 8, [8, 9], True),
        (1, 0, [0, 1, 2, 3], False),
    ]
    assert through(Streaming(Numbers(), 4, True), 2)[1] == (0, 4, [4, 5, 6, 7], True)


@pytest.mark.parametrize("kind", [Numbers, Resumable])
@pytest.mark.parametrize("steps", range(5))
def test_it_is_opened_again_where_it_stood(kind, steps):
    """D1: by skipping, or from what the dataset has saved, which is read no second time."""
    first, then = Streaming(kind(), 4, False), Streaming(kind(), 4, False)
    through(first, steps)
    if steps % 3 == 1:
        first.batch(), first.ends_epoch()  # read ahead is not yet taken
    then.go_to(first.epoch, first.position, first.saved)
    assert through(then, 4) == through(first, 4)
    skips = kind is Numbers
    again = Streaming(kind(), 4, False)
    again.go_to(0, 8, None if skips else {"at": 8})
    again.batch()
    assert again.dataset.read == (10 if skips else 2)


def test_samples_are_seeded_by_their_place():
    """B3: whoever reads them, and however often; the streams outside are kept."""

    class Drawing(Numbers):
        def __iter__(self):
            offset = np.random.randint(1000)
            return (offset + i + np.random.rand() for i in range(self.n))

    def made():
        stream = Streaming(Drawing(), 4, False)
        stream.seed_sample = lambda epoch, position: np.random.seed(100 * epoch + position)
        return stream

    first, then = made(), made()
    expected = through(first, 5)
    through(then, 1)
    then.go_to(0, 4, None)
    assert through(then, 4) == expected[1:]
    assert expected[0][2] != expected[3][2], "another epoch"


def test_each_epoch_is_announced_to_a_dataset_that_wants_it():
    """D1: as others' distributed samplers and streams have it."""
    told = []

    class Epochs(Numbers):
        def set_epoch(self, epoch):
            told.append(epoch)

    through(Streaming(Epochs(), 4, False), 4)
    assert told == [0, 1]


class Once(IterableDataset):
    def __init__(self):
        self.left = iter(range(6))

    def __iter__(self):
        return self.left


REFUSED = [
    (Numbers(0), 0, "expects at least one sample of the stream Numbers in an epoch, got none"),
    (Once(), 2, "got none; __iter__ must begin anew each time"),
]


@pytest.mark.parametrize(("dataset", "steps", "text"), REFUSED)
def test_a_stream_without_samples_is_an_error(dataset, steps, text):
    """D1."""
    stream = Streaming(dataset, 4, False)
    through(stream, steps)
    with pytest.raises(DataError, match=text):
        stream.batch()


def test_a_stream_that_has_become_shorter_is_an_error():
    """D1."""
    stream = Streaming(Numbers(6), 4, False)
    stream.go_to(0, 8, None)
    with pytest.raises(DataError, match="got an end after 8 samples of epoch 0 here"):
        stream.batch()


def test_digests_see_what_samples_hold():
    """D1."""
    samples = [
        [1, 2],
        [12],
        [(1, 2)],
        [np.ones(2)],
        [np.ones(2, "float32")],
        [torch.ones(2, 1)],
        [{"a": 1}],
        [{"b": 1}],
        ["a"],
        [b"a"],
        [None],
        [1.0],
    ]
    assert len({digest_of(each) for each in samples}) == len(samples)
    assert digest_of([torch.ones(2), {"k": (1, "x")}]) == digest_of(
        [torch.ones(2), {"k": (1, "x")}]
    )
    assert digest_of([object()]) == digest_of([object()]), "what is not known is not compared"


# -- the loader ----------------------------------------------------------------------------------


def loader(dataset=None, **asked):
    made = DataLoader(dataset or Numbers(), **{"batch_size": 4, "micro_batches": 2} | asked)
    made.check_elastic()
    made.begin()
    return made


def test_leaves_know_their_positions():
    """D2: a ragged batch has fewer leaves, the last of them smaller."""
    made = loader(Numbers(7))
    assert made.leaf_count(0) == 2
    assert made.fetch_leaf(0, 0, 1, None)[1] == (2, 3)
    made.advance()
    assert [made.fetch_leaf(0, 1, leaf, None)[1] for leaf in range(2)] == [(4, 5), (6,)]
    assert made.fetch_leaf(0, 1, 0, None)[0].tolist() == [4, 5]


def test_its_place_is_saved_and_restored():
    """D1: what has been read stays read where it stands already."""
    first, then = loader(), loader(Resumable())
    first.advance()
    state = first.state_dict()
    assert (state["position"], state["stream"]) == (4, None)
    then.load_state_dict(state)
    assert then.stream.batch().samples == [4, 5, 6, 7]
    batch = first.stream.batch()
    first.load_state_dict(state)
    assert first.stream.batch() is batch
    with pytest.raises(DataError, match="expects its state_dict"):
        loader().load_state_dict(DataLoader(range(9), batch_size=8).state_dict())


CANNOT = [
    ({"batch_size": None}, "with batch_size=None; give batch_size"),
    ({"num_workers": 1}, "got num_workers=1: which process reads which sample"),
    ({"micro_batches": 3}, "expects micro_batches to divide batch_size"),
]


@pytest.mark.parametrize(("asked", "text"), CANNOT)
def test_what_cannot_be_exactly_once_is_refused(asked, text):
    """D1."""
    with pytest.raises(DataError, match=text):
        loader(**asked)
