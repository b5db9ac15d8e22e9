"""The collectives over rounds in memory: values, bits, and what is refused."""

from __future__ import annotations

import queue
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from elastic.collectives import plan
from elastic.collectives.frames import as_bytes
from elastic.collectives.operations import Operations
from elastic.collectives.partial import Forest, Partial, SegmentMap, reduce
from elastic.errors import ConfigError


class InMemory(Operations):
    """Members whose rounds are queues."""

    def __init__(self, rank: int, size: int, queues: dict[tuple[int, int], queue.SimpleQueue]):
        self.rank, self.size, self._queues = rank, size, queues
        self.rounds = 0

    def round(self, tag, outgoing, expect):
        self.rounds += 1
        for to, blobs in outgoing.items():
            copies = [memoryview(bytes(as_bytes(blob))) for blob in blobs]
            self._queues[self.rank, to].put((tag, copies))
        got = {}
        for source in expect:
            theirs, got[source] = self._queues[source, self.rank].get(timeout=10)
            assert theirs == tag
        return got


def together(size: int, act: Callable[[InMemory], Any], direct_below_bytes: int = 1 << 18) -> list:
    """What `act(member)` returns on each member, all at the same time."""
    queues = {(a, b): queue.SimpleQueue() for a in range(size) for b in range(size)}
    members = [InMemory(rank, size, queues) for rank in range(size)]
    for member in members:
        member.direct_below_bytes = direct_below_bytes
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(act, members))


@pytest.fixture(params=[0, 1 << 20], ids=["sliced", "direct"])
def direct_below_bytes(request) -> int:
    return request.param


def test_gather_and_barrier():
    assert together(3, lambda m: m.gather(b"%d" % m.rank)) == [[b"0", b"1", b"2"]] * 3
    assert together(3, lambda m: m.barrier()) == [None] * 3


def test_allgather_takes_any_shape_and_dtype():
    arrays = [np.zeros((2, 0)), np.float32(3), np.ones(2, ml_dtypes.bfloat16)]
    for got in together(3, lambda m: m.allgather(arrays[m.rank])):
        assert [(a.dtype, a.shape) for a in got] == [(a.dtype, a.shape) for a in arrays]
        assert got[2].astype(float).tolist() == [1, 1]
        got[1][...] = 4  # it may be written


def test_broadcast_gives_the_roots_array_to_all():
    def act(member: InMemory) -> np.ndarray:
        return member.broadcast(np.arange(3) if member.rank == 1 else None, root=1)

    assert [got.tolist() for got in together(3, act)] == [[0, 1, 2]] * 3


@pytest.mark.parametrize(
    ("op", "expected"), [("sum", [9, 12]), ("mean", [3, 4]), ("max", [5, 6]), ("min", [1, 2])]
)
def test_allreduce(op, expected, direct_below_bytes):
    mine = [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])]
    got = together(3, lambda m: m.allreduce(mine[m.rank], op), direct_below_bytes)
    assert [each.tolist() for each in got] == [expected] * 3
    assert mine[0].tolist() == [1, 2]


def test_a_group_of_one_gets_a_copy():
    array = np.arange(3)
    (got,) = together(1, lambda m: m.allreduce(array))
    assert got.tolist() == [0, 1, 2]
    assert not np.shares_memory(got, array)


def test_reduce_scatter_gives_each_member_a_slice_of_the_sum():
    array = np.arange(100, dtype=np.float32).reshape(10, 10)
    got = together(3, lambda m: m.reduce_scatter(array))
    assert np.concatenate(got).tolist() == (3 * array).ravel().tolist()


def test_small_vectors_take_one_round_and_large_ones_two():
    def act(member: InMemory, length: int) -> int:
        member.allreduce(np.zeros(length))
        return member.rounds

    assert together(2, lambda m: act(m, 10)) == [1, 1]
    assert together(2, lambda m: act(m, 1 << 20)) == [2, 2]


@pytest.mark.parametrize("op", ["sum", "mean"])
def test_negative_zero_survives(op, direct_below_bytes):
    """B2"""
    got = together(3, lambda m: m.allreduce(np.float32([-0.0]), op), direct_below_bytes)
    assert all(np.signbit(each).all() for each in got)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda m: m.allreduce(np.zeros(2 + m.rank)), r"float64\[\d\] over 2 leaves"),
        (lambda m: m.allreduce(np.zeros(2, "fi"[m.rank])), "float32.*int32|int32.*float32"),
        (lambda m: m.allreduce(np.zeros(2), "product"), "sum, mean, max, min, got 'product'"),
        (lambda m: m.allreduce(np.zeros(2, int), "mean"), "a mean is no int64"),
        (lambda m: m.allgather(np.array([object()])), "nothing is pickled"),
        (lambda m: m.broadcast(None, root=m.rank), r"rank \d broadcasts an array, got None"),
    ],
)
def test_what_does_not_fit_is_an_error_on_all(act, why):
    def attempt(member: InMemory) -> None:
        with pytest.raises(ConfigError, match=why):
            act(member)

    together(2, attempt)


MAP = SegmentMap.of([("float32", 40), ("float64", 1), ("float32", 3)])


def some(rng: np.random.Generator) -> Partial:
    made = Partial.empty(MAP)
    for segment, (_, start, stop) in enumerate(MAP.segments):
        if rng.random() < 0.7:
            made[segment] = rng.normal(size=stop - start)
    return made


def forests(seed: int) -> tuple[list[Forest], list[bytes | None]]:
    """Forests of random sizes and holders with absent leaves, and the bits of their sum."""
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    n, size = chance.randint(1, 12), chance.randint(1, 5)
    made, single = [Forest(n, MAP) for _ in range(size)], {}
    for leaf in [leaf for leaf in range(n) if chance.random() < 0.8]:
        partial = some(rng)
        single[leaf, leaf + 1] = Partial(MAP, [v.copy() for v in partial.vectors], partial.present)
        chance.choice(made).put(leaf, partial)
    return made, bits(reduce({node: part.lend() for node, part in single.items()}, n))


def bits(total: Partial | None) -> list[bytes | None]:
    if total is None:
        return []
    segments = (total[segment] for segment in range(len(MAP.segments)))
    return [None if values is None else values.tobytes() for values in segments]


def test_a_step_has_the_same_bits_whoever_holds_what(direct_below_bytes):
    """S5, B2: uneven forests, members that hold nothing, absent leaves and segments; done twice,
    as after an abort."""
    for seed in range(40):
        print("seed", seed)
        mine, expected = forests(seed)

        def act(member: InMemory, mine: list[Forest] = mine) -> list:
            forest, header = mine[member.rank], b"header %d" % member.rank
            return [member.reduce_tree("step", forest, header) for _ in range(2)]

        for results in together(len(mine), act, direct_below_bytes):
            for headers, total in results:
                assert headers == [b"header %d" % rank for rank in range(len(mine))]
                assert bits(total) == expected


def test_a_sum_that_is_owned_is_the_callers_to_write(direct_below_bytes):
    forest = Forest(1, MAP)
    forest.put(0, some(np.random.default_rng(0)))
    before = bits(forest.partials[0, 1])

    def act(member: InMemory) -> None:
        _, total = member.reduce_tree("step", forest if member.rank == 0 else Forest(1, MAP))
        for vector in total.vectors if total.owned else ():
            vector[:] = 0

    together(2, act, direct_below_bytes)
    assert bits(forest.partials[0, 1]) == before


def test_nobody_sends_the_sum_to_whoever_holds_all_of_it():
    """S9: while a newcomer takes the last steps, the others' work is not sent back to them."""
    map = SegmentMap.of([("float32", 1000)])

    def act(member: InMemory) -> int:
        forest, received, round = Forest(1, map), [], member.round
        if member.rank == 1:
            forest.put(0, Partial(map, [np.ones(1000, np.float32)], np.ones(1, bool)))

        def counting(tag, outgoing, expect):
            got = round(tag, outgoing, expect)
            received.extend(b.nbytes for rank in got if rank != member.rank for b in got[rank])
            return got

        member.round = counting
        member.reduce_tree("step", forest)
        return sum(received)

    received = together(3, act, direct_below_bytes=0)
    assert received[1] < 1000 < 4000 <= min(received[0], received[2])


def test_a_leaf_with_two_holders_is_refused():
    def act(member: InMemory) -> None:
        forest = Forest(2, MAP)
        for leaf in range(2 - member.rank):
            forest.put(leaf, some(np.random.default_rng(leaf)))
        with pytest.raises(ConfigError, match="leaf 0 has ranks 0 and 1"):
            member.reduce_tree("step", forest)

    together(2, act)


def test_the_deal_of_the_planner_ships_what_it_says():
    """S5: four members of eight leaves ship one subtree each."""
    forest = Forest(8, MAP)
    for leaf in plan.deal(8, 4)[1]:
        forest.put(leaf, some(np.random.default_rng(leaf)))
    assert forest.nodes() == ((2, 4),)
