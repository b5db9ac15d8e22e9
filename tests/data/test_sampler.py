"""Samplers with PyTorch's random streams, held against numpy's Mersenne twister as the oracle."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


class Twister:
    """PyTorch's CPU generator as its sources describe it."""

    def __init__(self, seed):
        self.words = np.random.RandomState(seed & 0xFFFFFFFF)

    def u32(self):
        return int(self.words.randint(0, 2**32, dtype=np.uint32))

    def int64(self):
        return ((self.u32() << 32) | self.u32()) % 2**63

    def randperm(self, n):
        order = list(range(n))
        for i in range(n - 1):
            j = i + self.u32() % (n - i)
            order[i], order[j] = order[j], order[i]
        return order


def test_a_sequential_sampler_counts():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


def test_the_oracle_is_pytorchs():
    """`torch.manual_seed(0); torch.randperm(10)` of PyTorch 2.13."""
    assert Twister(0).randperm(10) == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]


def test_a_random_sampler_permutes_under_a_seed_from_the_global_generator():
    torch.manual_seed(5)
    sampler = RandomSampler(range(10))
    oracle = Twister(5)
    for _ in range(3):
        assert list(sampler) == Twister(oracle.int64()).randperm(10)


def test_a_random_sampler_with_a_generator_leaves_the_global_one_alone():
    torch.manual_seed(5)
    oracle = Twister(3)
    sampler = RandomSampler(range(10), generator=torch.Generator().manual_seed(3))
    for _ in range(3):
        assert list(sampler) == oracle.randperm(10)
        oracle.randperm(10)  # PyTorch draws once more, of which nothing is taken
    assert int(torch.empty((), dtype=torch.int64).random_().item()) == Twister(5).int64()


def test_a_random_sampler_may_take_more_or_fewer_than_there_are():
    oracle = Twister(3)
    generator = torch.Generator().manual_seed(3)
    sampler = RandomSampler(range(4), num_samples=10, generator=generator)
    assert list(sampler) == [*oracle.randperm(4), *oracle.randperm(4), *oracle.randperm(4)[:2]]
    assert (
        list(RandomSampler(range(9), num_samples=2, generator=generator))
        == (oracle.randperm(9)[:2])
    )
    assert len(sampler) == 10


def test_a_random_sampler_with_replacement_draws_in_blocks():
    oracle = Twister(3)
    generator = torch.Generator().manual_seed(3)
    sampler = RandomSampler(range(7), replacement=True, num_samples=70, generator=generator)
    assert list(sampler) == [oracle.u32() % 7 for _ in range(70)]


def test_a_subset_random_sampler_permutes_its_indices():
    sampler = SubsetRandomSampler([5, 3, 8, 1], torch.Generator().manual_seed(3))
    assert list(sampler) == [[5, 3, 8, 1][i] for i in Twister(3).randperm(4)]
    assert len(sampler) == 4


def test_a_weighted_sampler_follows_multinomial():
    weights = [0.1, 0.0, 0.6, 0.3]
    sampler = WeightedRandomSampler(weights, 50, generator=torch.Generator().manual_seed(3))
    drawn = list(sampler)
    expected = torch.multinomial(
        torch.tensor(weights, dtype=torch.float64),
        50,
        True,
        generator=torch.Generator().manual_seed(3),
    )
    assert drawn == expected.tolist()
    assert set(drawn) <= {0, 2, 3}
    assert len(sampler) == 50


def test_a_weighted_sampler_without_replacement_takes_each_once():
    assert sorted(WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]


@pytest.mark.parametrize("count", [0, -1, 1.5])
@pytest.mark.parametrize("make", [WeightedRandomSampler, lambda w, n: RandomSampler(w, True, n)])
def test_a_number_of_samples_is_a_positive_integer(make, count):
    text = f"num_samples should be a positive integer value, but got num_samples={count}"
    with pytest.raises(ValueError, match=text):
        make([1.0], count)


def test_an_empty_dataset_has_no_random_order():
    with pytest.raises(ValueError, match="num_samples=0"):
        RandomSampler([])


def test_weights_are_a_list():
    with pytest.raises(ValueError, match=r"weights should be a 1d sequence .* shape \(1, 2\)"):
        WeightedRandomSampler([[1.0, 2.0]], 3)


def test_switches_are_truth_values():
    with pytest.raises(TypeError, match="boolean value, but got replacement=1"):
        RandomSampler("ab", replacement=1)
    with pytest.raises(ValueError, match="boolean value, but got replacement=1"):
        WeightedRandomSampler([1.0], 1, replacement=1)
    with pytest.raises(ValueError, match="boolean value, but got drop_last=0"):
        BatchSampler("ab", 1, 0)


@pytest.mark.parametrize(
    ("n", "drop_last", "batches"),
    [
        (7, False, [[0, 1, 2], [3, 4, 5], [6]]),
        (7, True, [[0, 1, 2], [3, 4, 5]]),
        (6, False, [[0, 1, 2], [3, 4, 5]]),
        (2, True, []),
        (0, False, []),
    ],
)
def test_a_batch_sampler_groups(n, drop_last, batches):
    sampler = BatchSampler(SequentialSampler(range(n)), 3, drop_last)
    assert list(sampler) == batches
    assert len(sampler) == len(batches)


def test_a_batch_has_a_size():
    with pytest.raises(ValueError, match="batch_size=0"):
        BatchSampler(SequentialSampler("abc"), 0, False)


def test_a_sampler_without_an_order_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(Sampler())
