"""The planner: the canonical tree, the deals and the slices."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from elastic.collectives import plan


def reference(node: plan.Node, leaves: dict[int, np.ndarray]) -> np.ndarray | None:
    """The plain recursive sum that every way of reducing must equal in bits."""
    start, stop = node
    if stop - start == 1:
        return leaves.get(start)
    left, right = (reference(child, leaves) for child in plan.children(node))
    if left is None or right is None:
        return right if left is None else left
    return left + right


def summed(nodes: dict[plan.Node, np.ndarray], n: int) -> np.ndarray:
    """The sum as `additions` orders it."""
    values = dict(nodes)
    at = next(iter(values))
    for left, right, at in plan.additions(nodes, n):
        values[at] = values.pop(left) + values.pop(right)
    assert list(values) == [at]
    return values[at]


def test_split_is_the_largest_power_of_two_below():
    assert [plan.split(n) for n in range(2, 10)] == [1, 2, 2, 4, 4, 4, 4, 8]
    with pytest.raises(ValueError, match="two leaves"):
        plan.split(1)


def test_the_tree_over_six_leaves():
    """S5"""
    assert plan.root(6) == (0, 6)
    assert plan.children((0, 6)) == ((0, 4), (4, 6))
    assert plan.children((4, 6)) == ((4, 5), (5, 6))
    assert plan.ancestors(4, 6) == ((4, 6), (0, 6))
    assert plan.ancestors(0, 1) == ()


def test_cover_is_maximal_and_in_order():
    assert plan.cover(range(8), 8) == ((0, 8),)
    assert plan.cover([0, 1, 2, 5], 6) == ((0, 2), (2, 3), (5, 6))
    assert plan.cover([], 4) == ()
    with pytest.raises(ValueError, match="no leaf 4"):
        plan.cover([1, 4], 4)


def test_additions_pass_a_lonely_node_up_unchanged():
    """B2"""
    assert plan.additions([(0, 1), (3, 4)], 4) == (((0, 1), (3, 4), (0, 4)),)
    assert plan.additions([(5, 6)], 6) == ()
    assert plan.additions([], 6) == ()


@pytest.mark.parametrize("nodes", [[(0, 2), (1, 2)], [(0, 4), (0, 4)], [(0, 2), (0, 4)]])
def test_additions_refuse_overlapping_nodes(nodes):
    with pytest.raises(ValueError, match="overlap"):
        plan.additions(nodes, 4)


@pytest.mark.parametrize("node", [(1, 3), (2, 2), (3, 9)])
def test_additions_refuse_what_is_no_subtree(node):
    with pytest.raises(ValueError, match="tree over 4 leaves"):
        plan.additions([node], 4)


def test_any_holding_gives_the_same_bits():
    """S5, B2: random trees, holders and absent leaves against the recursive sum."""
    for seed in range(200):
        print("seed", seed)
        rng = random.Random(seed)
        n, size = rng.randint(1, 40), rng.randint(1, 9)
        present = [leaf for leaf in range(n) if rng.random() < 0.9] or [0]
        data = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
        leaves = {leaf: data[leaf] for leaf in present}
        holder = {leaf: rng.randrange(size) for leaf in present}
        nodes = {}
        for rank in range(size):
            for node in plan.cover([leaf for leaf in present if holder[leaf] == rank], n):
                nodes[node] = reference(node, leaves)
        expected = reference(plan.root(n), leaves)
        assert summed(nodes, n).tobytes() == expected.tobytes()


def test_negative_zero_survives_absent_siblings():
    """B2"""
    total = summed({(0, 1): np.float32([-0.0])}, 4)
    assert np.signbit(total).all()


@pytest.mark.parametrize("n", [1, 2, 7, 8, 12, 33])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 40])
def test_deals_are_contiguous_and_balanced(n, size):
    ranges = plan.deal(n, size)
    assert [leaf for leaves in ranges for leaf in leaves] == list(range(n))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_a_deal_ships_few_subtrees():
    """S5: of 8 leaves over 3 ranks, 3+3+2 ships five subtrees, 3+2+3 would ship six."""
    assert [len(leaves) for leaves in plan.deal(8, 3)] == [3, 3, 2]
    assert sum(len(plan.cover(leaves, 8)) for leaves in plan.deal(8, 4)) == 4


def test_only_missing_leaves_are_dealt_again():
    """S6"""
    assert plan.deal_missing(8, [{0, 1}, {4, 5}, {6, 7}]) == ((2,), (3,), ())
    assert plan.deal_missing(8, [{0, 1, 2}, {4, 5}, {6}]) == ((), (3,), (7,))
    assert plan.deal_missing(4, [{0, 1}, {2, 3}]) == ((), ())
    assert plan.deal_missing(8, [set(), set()]) == ((0, 1, 2, 3), (4, 5, 6, 7))


@pytest.mark.parametrize(("length", "parts"), [(0, 3), (5, 4), (100, 3), (1000, 7)])
def test_slices_cut_a_vector_without_gaps(length, parts):
    cuts = plan.slices(length, parts, align=8)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(cuts))
    assert all(start % 8 == 0 or start == length for start, _ in cuts)


def test_small_vectors_go_direct():
    assert plan.algorithm(4, 1 << 10) == "direct"
    assert plan.algorithm(4, 64 << 20) == "sliced"
    assert plan.algorithm(1, 64 << 20) == "direct"
