"""Partial sums: presence, ownership, and the same bits for any holding."""

from __future__ import annotations

import random

import ml_dtypes
import numpy as np
import pytest

from elastic.collectives import plan
from elastic.collectives.partial import Forest, Partial, Pieces, SegmentMap, add, reduce

MAP = SegmentMap.of([("float32", 3), ("float64", 1), ("float32", 2)])


def partial(*values: object) -> Partial:
    """A partial sum over MAP; None is an absent segment."""
    made = Partial.empty(MAP)
    for segment, value in enumerate(values):
        if value is not None:
            made[segment] = value
    return made


def leaf_partial(rng: np.random.Generator, absent: float = 0.3) -> Partial:
    made = Partial.empty(MAP)
    for segment, (_, start, stop) in enumerate(MAP.segments):
        if rng.random() > absent:
            made[segment] = rng.normal(size=stop - start)
    return made


def bits(partial: Partial) -> list[bytes | None]:
    segments = (partial[segment] for segment in range(len(MAP.segments)))
    return [None if values is None else values.tobytes() for values in segments]


def copy(partial: Partial) -> Partial:
    vectors = [vector.copy() for vector in partial.vectors]
    return Partial(partial.map, vectors, partial.present.copy())


def as_pieces(partial: Partial) -> Pieces:
    """The same leaf as `backward` leaves it: an array a segment, which nobody may write."""
    arrays = [partial[segment] for segment in range(len(MAP.segments))]
    for array in arrays:
        if array is not None:
            array.flags.writeable = False
    return Pieces(MAP, arrays)


def reference(leaves: dict[int, Partial], node: plan.Node, segment: int) -> np.ndarray | None:
    """The recursive sum of one segment, with new arrays throughout."""
    if node[1] - node[0] == 1:
        return leaves[node[0]][segment] if node[0] in leaves else None
    left, right = (reference(leaves, child, segment) for child in plan.children(node))
    if left is None or right is None:
        return right if left is None else left
    return left + right


def test_a_map_lays_out_one_vector_a_dtype():
    assert MAP.dtypes == (np.dtype("float32"), np.dtype("float64"))
    assert MAP.lengths == (5, 1)
    assert MAP.segments == ((0, 0, 3), (1, 0, 1), (0, 3, 5))
    assert MAP.nbytes == 28


def test_segments_present_in_both_are_added_and_in_one_are_copied():
    """B2"""
    total = add(partial([1, 2, 3], None, None), partial([1, 1, 1], [-0.0], None))
    assert total[0].tolist() == [2, 3, 4]
    assert np.signbit(total[1]).all()
    assert total[2] is None


def test_what_is_lent_is_never_written():
    left, right = partial([1, 2, 3], [4], None), partial([1, 1, 1], [1], [9, 9])
    before = bits(left), bits(right)
    total = add(left.lend(), right.lend())
    assert (bits(left), bits(right)) == before
    assert add(left.lend(), right).vectors[0] is right.vectors[0]
    assert add(left, right.lend()).vectors[0] is left.vectors[0]
    assert total[2].tolist() == [9, 9]


def test_full_partials_are_added_vector_by_vector():
    total = add(partial([1, 2, 3], [4], [5, 6]), partial([1, 1, 1], [1], [1, 1]), np.maximum)
    assert [values.tolist() for values in total.vectors] == [[1, 2, 3, 5, 6], [4]]


def test_slices_hold_every_segment_under_one_mask():
    wide = SegmentMap.of([("float32", 20), ("float32", 30)])
    whole = Partial.empty(wide)
    whole[0], whole[1] = np.arange(20), np.arange(30)
    pieces = [whole.slice(*cut) for cut in wide.slices(3)]
    assert [piece.map.lengths for piece in pieces] == [(16,), (16,), (18,)]
    assert [piece.map.segments for piece in pieces] == [
        ((0, 0, 16), (0, 16, 16)),
        ((0, 0, 4), (0, 4, 16)),
        ((0, 0, 0), (0, 0, 18)),
    ]
    assert pieces[1][1].tolist() == list(range(12))
    assert not pieces[1].owned


def test_a_forest_keeps_only_maximal_subtrees():
    """S5"""
    rng = np.random.default_rng(0)
    forest = Forest(6, MAP)
    for leaf in (5, 0, 3, 1, 2):
        forest.put(leaf, leaf_partial(rng))
    assert forest.nodes() == ((0, 4), (5, 6))


def test_pieces_are_laid_out_in_c_order():
    """B5: whatever layout a gradient came in, and whatever dtype, its segment is one."""
    map = SegmentMap.of([("float32", 6), ("float32", 1)])
    alone = Pieces(map, [np.arange(6.0).reshape(3, 2).T, None])
    assert alone.laid_out()[0].tolist() == [0, 2, 4, 1, 3, 5]
    assert alone.laid_out()[1] is None
    both = add(alone, Pieces(map, [np.ones((2, 3), np.float32), np.float32(4).reshape(())]))
    assert both[0].tolist() == [1, 3, 5, 2, 4, 6]
    assert both[1].tolist() == [4]
    assert both.vectors[0].dtype == np.float32


def test_what_a_forest_lends_is_not_written_to():
    """A reduction that was aborted is done again with what is held (S5)."""
    rng = np.random.default_rng(0)
    forest = Forest(4, MAP)
    for leaf in (0, 2, 3):
        forest.put(leaf, as_pieces(leaf_partial(rng)))
    first, second = forest.lend(), forest.lend()
    assert [bits(first[node]) for node in first] == [bits(second[node]) for node in second]
    assert [part.owned for part in first.values()] == [False, False]
    whole = bits(reduce(first, 4))
    assert bits(reduce(forest.lend(), 4)) == whole


@pytest.mark.parametrize("leaf", [-1, 2, 7])
def test_a_forest_takes_each_leaf_once(leaf):
    forest = Forest(6, MAP)
    forest.put(2, partial())
    with pytest.raises(ValueError, match=f"got {leaf}"):
        forest.put(leaf, partial())


def test_nothing_at_all_reduces_to_none():
    assert reduce({}, 4) is None


def test_any_holding_gives_the_same_bits():
    """S5, B2: random holders, orders, absent leaves and segments; slices added apart."""
    for seed in range(60):
        print("seed", seed)
        rng, chance = np.random.default_rng(seed), random.Random(seed)
        n, size = chance.randint(1, 20), chance.randint(1, 6)
        leaves = {leaf: leaf_partial(rng) for leaf in range(n) if chance.random() < 0.9}
        forests = [Forest(n, MAP) for _ in range(size)]
        for leaf in chance.sample(sorted(leaves), len(leaves)):
            given = as_pieces(leaves[leaf]) if chance.random() < 0.5 else copy(leaves[leaf])
            chance.choice(forests).put(leaf, given)
        parts = {node: part for forest in forests for node, part in forest.lend().items()}
        total = reduce(parts, n)
        for segment in range(len(MAP.segments)):
            expected = reference(leaves, plan.root(n), segment)
            got = total[segment] if total else None
            assert (got is None) == (expected is None)
            assert got is None or got.tobytes() == expected.tobytes()
        for cut in MAP.slices(size) if total else ():
            pieces = {node: part.slice(*cut) for node, part in parts.items()}
            assert bits(reduce(pieces, n)) == bits(total.slice(*cut))


def test_bfloat16_is_added_too():
    brief = SegmentMap.of([(ml_dtypes.bfloat16, 2)])
    one, two = Partial.empty(brief), Partial.empty(brief)
    one[0], two[0] = [1, 2], [0.5, 0.25]
    assert add(one, two)[0].astype(float).tolist() == [1.5, 2.25]
