"""A user's sampler drawn under a seed (PROTOCOL D1, B3): the same list on every worker."""

from __future__ import annotations

import random

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import RandomSampler, WeightedRandomSampler
from elastic.data.drawing import draw_under
from elastic.errors import DataError


class Mixed:
    """A sampler of the wild: it draws with whatever there is."""

    def __len__(self):
        return 3

    def __iter__(self):
        yield random.randrange(1000)
        yield np.random.randint(1000)
        yield torch.randint(1000, (1,)).item()


class Yields:
    def __init__(self, *items, length=None):
        self.items = items
        self.length = len(items) if length is None else length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(self.items)


def seed_all():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def drawn():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_the_same_seed_gives_the_same_list_whatever_was_drawn_before():
    lists = []
    for seed in (1, 1, 2):
        drawn()
        lists.append(draw_under(seed, Mixed()).tolist())
    assert lists[0] == lists[1]
    assert all(one != other for one, other in zip(lists[0], lists[2], strict=True))


def test_the_global_generators_are_left_as_they_were():
    seed_all()
    expected = drawn()
    seed_all()
    draw_under(5, Mixed())
    assert drawn() == expected


def test_they_are_left_as_they_were_by_a_sampler_that_fails():
    seed_all()
    expected = drawn()
    seed_all()
    with pytest.raises(DataError):
        draw_under(5, Yields("a"))
    assert drawn() == expected


def test_a_generator_of_the_samplers_own_is_seeded_too():
    """Else the order of an epoch would depend on how many were drawn before: on history."""
    weighted = WeightedRandomSampler([1.0] * 50, 20, generator=torch.Generator())
    plain = RandomSampler(range(50), generator=torch.Generator())
    for sampler in (weighted, plain):
        first = draw_under(1, sampler).tolist()
        assert draw_under(2, sampler).tolist() != first
        assert draw_under(1, sampler).tolist() == first


def test_indices_may_be_of_any_integer_type():
    indices = draw_under(0, Yields(1, np.int32(2), torch.tensor(3)))
    assert indices.tolist() == [1, 2, 3]
    assert indices.dtype == np.int64


@pytest.mark.parametrize("item", ["a", 1.0, None, -1, [0, 1]])
def test_anything_else_than_an_index_is_refused(item):
    with pytest.raises(DataError, match="expects Yields to yield indices from 0, got"):
        draw_under(0, Yields(item))


@pytest.mark.parametrize("length", [1, 3])
def test_a_sampler_that_breaks_its_promise_is_refused(length):
    with pytest.raises(DataError, match=f"length of {length}, and yielded 2 indices"):
        draw_under(0, Yields(0, 1, length=length))
