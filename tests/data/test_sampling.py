"""Index arithmetic (PROTOCOL D1, S6, B2): every sample once, the same for any number of workers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from elastic.data.sampling import (
    derived_seed,
    epoch_order,
    leaf_slices,
    micro_batch_size,
    order_digest,
    steps_per_epoch,
)
from elastic.errors import DataError


def test_an_order_is_a_permutation_that_follows_seed_and_epoch():
    """D1: a permutation of (seed, epoch)."""
    orders = [epoch_order(seed, epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 4
    assert np.array_equal(epoch_order(1, 1, 100), orders[3])
    assert orders[0].dtype == np.int64


def test_an_order_is_what_it_was_in_earlier_versions():
    """A job that is resumed with another version of elastic must go on in the same order."""
    assert epoch_order(7, 2, 10).tolist() == [3, 2, 8, 0, 6, 1, 9, 4, 5, 7]
    assert derived_seed(7, 2) == 15377846115815060038


def test_large_and_negative_seeds_have_orders_of_their_own():
    seeds = (0, -1, 2**63 - 1, 2**64, -(2**63))
    assert len({epoch_order(seed, 0, 50).tobytes() for seed in seeds}) == 5


def test_digests_tell_orders_apart():
    order = epoch_order(0, 0, 10)
    assert order_digest(order) == order_digest(order.astype(np.int32))
    assert order_digest(order) != order_digest(order[::-1])


@pytest.mark.parametrize(
    ("n", "batch_size", "drop_last", "steps"),
    [
        (0, 4, False, 0),
        (3, 4, False, 1),
        (3, 4, True, 0),
        (8, 4, False, 2),
        (9, 4, False, 3),
        (9, 4, True, 2),
    ],
)
def test_steps_per_epoch(n, batch_size, drop_last, steps):
    assert steps_per_epoch(n, batch_size, drop_last) == steps


@pytest.mark.parametrize(
    ("step", "slices"),
    [
        (0, ((0, 2), (2, 4), (4, 6), (6, 8))),
        (1, ((8, 10), (10, 12), (12, 14), (14, 16))),
        (2, ((16, 18), (18, 20), (20, 21))),
    ],
)
def test_a_ragged_last_batch_has_fewer_leaves_the_last_smaller(step, slices):
    """B2: 21 samples in batches of 8 in 4 micro-batches of 2."""
    assert leaf_slices(21, 8, 4, step, drop_last=False) == slices


@pytest.mark.parametrize("step", [-1, 3])
def test_there_are_no_leaves_outside_an_epoch(step):
    with pytest.raises(IndexError, match="of an epoch of 3 steps"):
        leaf_slices(21, 8, 4, step, drop_last=False)


def test_leaves_cover_every_epoch_exactly_once():
    """D1, B2: for random sizes; each leaf but the last of an epoch has the micro-batch size."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        size, leaves = rng.randint(1, 5), rng.randint(1, 6)
        n, drop_last = rng.randint(1, 60), rng.random() < 0.5
        batch_size = size * leaves
        steps = steps_per_epoch(n, batch_size, drop_last)
        slices = [s for k in range(steps) for s in leaf_slices(n, batch_size, leaves, k, drop_last)]
        covered = [i for start, stop in slices for i in range(start, stop)]
        assert covered == list(range(steps * batch_size if drop_last else n))
        assert all(stop - start == size for start, stop in slices[:-1])


@pytest.mark.parametrize(
    ("batch_size", "micro_batches", "cure"),
    [(12, 8, 6), (7, 8, 7), (64, 0, 1), (10, -3, 1), (4, 100, 4)],
)
def test_micro_batches_must_divide_the_batch(batch_size, micro_batches, cure):
    """D1: the error names both and the cure."""
    message = f"batch_size={batch_size} and micro_batches={micro_batches}; try micro_batches={cure}"
    with pytest.raises(DataError, match=message):
        micro_batch_size(batch_size, micro_batches)
    with pytest.raises(DataError, match="to divide batch_size"):
        leaf_slices(100, batch_size, micro_batches, 0, drop_last=False)


def test_the_micro_batch_size():
    assert micro_batch_size(64, 8) == 8
