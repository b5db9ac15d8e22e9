"""Where each addition of a reduction happens, and who ships what to whom. Pure: no IO, no arrays.

The canonical tree over n leaves splits at the largest power of two below n, recursively (PROTOCOL
S5). A node is the range of leaves below it, `(start, stop)`. Whoever holds which leaves and however
the bytes travel, partial sums are added at nodes of this tree only, so the sum has the same bits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from functools import cache
from itertools import pairwise

__all__ = [
    "DIRECT_BELOW_BYTES",
    "Addition",
    "Node",
    "additions",
    "ancestors",
    "algorithm",
    "children",
    "cover",
    "deal",
    "deal_missing",
    "root",
    "slices",
    "split",
]

Node = tuple[int, int]
"""A subtree of the canonical tree: its leaves are range(start, stop)."""

Addition = tuple[Node, Node, Node]
"""(left, right, parent): the sum of what stands at left and right stands at parent."""

DIRECT_BELOW_BYTES = 256 << 10
"""Below this a second round costs more than shipping every partial sum to everybody."""


# -- the tree ----------------------------------------------------------------------------------


def split(n: int) -> int:
    """Return the largest power of two below n: how many of n leaves are in the left subtree."""
    if n < 2:
        raise ValueError(f"a subtree splits if it has two leaves or more, got {n}")
    return 1 << ((n - 1).bit_length() - 1)


def root(n: int) -> Node:
    """Return the node over all n leaves."""
    return (0, n)


def children(node: Node) -> tuple[Node, Node]:
    """Return the left and right subtree of a node with two leaves or more."""
    start, stop = node
    middle = start + split(stop - start)
    return (start, middle), (middle, stop)


def ancestors(leaf: int, n: int) -> tuple[Node, ...]:
    """Return the nodes above a leaf, the nearest first and the root last."""
    path, node = [], root(n)
    while node[1] - node[0] > 1:
        path.append(node)
        left, right = children(node)
        node = left if leaf < left[1] else right
    return tuple(reversed(path))


def cover(leaves: Iterable[int], n: int) -> tuple[Node, ...]:
    """Return the maximal subtrees, in order, whose leaves are all in `leaves`."""
    held = sorted(set(leaves))
    if held and not 0 <= held[0] <= held[-1] < n:
        raise ValueError(
            f"a tree over {n} leaves has no leaf {held[0] if held[0] < 0 else held[-1]}"
        )
    return tuple(_cover(root(n), held))


def _cover(node: Node, held: Sequence[int]) -> list[Node]:
    if not held:
        return []
    if len(held) == node[1] - node[0]:
        return [node]
    left, right = children(node)
    cut = bisect_left(held, right[0])
    return _cover(left, held[:cut]) + _cover(right, held[cut:])


def additions(present: Iterable[Node], n: int) -> tuple[Addition, ...]:
    """Return the additions, in order, that bring disjoint nodes to the root of n leaves.

    Leaves under no given node are absent: skipped, never added as zero, which would turn -0.0 into
    0.0 (PROTOCOL B2). A node whose sibling is wholly absent is passed up unchanged, so `left` and
    `right` of an addition may lie deeper than the children of `parent`. The sum stands at the last
    parent, or at the only node if there is no addition.

    Raises:
        ValueError: the nodes overlap, or one is no node of this tree.
    """
    nodes = sorted(present)
    for node in nodes:
        if cover(range(*node), n) != (node,):
            raise ValueError(f"{node} is no subtree of the tree over {n} leaves")
    for before, after in pairwise(nodes):
        if before[1] > after[0]:
            raise ValueError(f"nodes {before} and {after} overlap: a leaf would be added twice")
    order: list[Addition] = []
    _bring(root(n), nodes, order)
    return tuple(order)


def _bring(node: Node, inside: Sequence[Node], order: list[Addition]) -> Node | None:
    """Return where the sum of the nodes inside `node` stands; None if there are none."""
    if not inside:
        return None
    if inside[0] == node:
        return node
    left, right = children(node)
    cut = bisect_left(inside, (right[0], 0))
    first = _bring(left, inside[:cut], order)
    second = _bring(right, inside[cut:], order)
    if first is None or second is None:
        return first or second
    order.append((first, second, node))
    return node


# -- who computes which leaves -----------------------------------------------------------------


@cache
def deal(n: int, size: int) -> tuple[range, ...]:
    """Return the contiguous leaves of each rank, balanced to within one leaf.

    Of all such deals it is one that ships the fewest subtrees; on a tie the lower ranks have more.
    More ranks than leaves: the last ranks have none.
    """
    low, extras = divmod(n, size)
    if low == 0:
        return tuple(range(min(rank, n), min(rank + 1, n)) for rank in range(size))
    ranges, start = [], 0
    for extra in _extras(n, size, low, extras):
        ranges.append(range(start, start + low + extra))
        start += low + extra
    return tuple(ranges)


def _extras(n: int, size: int, low: int, extras: int) -> list[int]:
    """Return who has one leaf more: the cheapest path through (rank, extras given out so far)."""
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for rank in range(size):
        reached: dict[int, tuple[int, list[int]]] = {}
        for given, (cost, path) in best.items():
            for extra in (1, 0):
                total = given + extra
                if not extras - (size - rank - 1) <= total <= extras:
                    continue
                start = rank * low + given
                shipped = cost + len(cover(range(start, start + low + extra), n))
                if total not in reached or shipped < reached[total][0]:
                    reached[total] = (shipped, [*path, extra])
        best = reached
    return best[extras][1]


def deal_missing(n: int, held: Sequence[Set[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the leaves that each rank has still to compute: those that nobody holds (PROTOCOL S6).

    `held[rank]` are the leaves whose gradients a rank has. Shares differ by at most one leaf, since
    all compute at the same time; those that hold the least get the larger ones. Shares are runs of
    neighbours where the missing leaves are.
    """
    missing = sorted(set(range(n)).difference(*held))
    if len(missing) == n:
        return tuple(tuple(leaves) for leaves in deal(n, len(held)))
    low, extras = divmod(len(missing), len(held))
    by_load = sorted(range(len(held)), key=lambda rank: (len(held[rank]), rank))
    larger = set(by_load[:extras])
    shares, start = [], 0
    for rank in range(len(held)):
        stop = start + low + (rank in larger)
        shares.append(tuple(missing[start:stop]))
        start = stop
    return tuple(shares)


# -- how the bytes travel ----------------------------------------------------------------------


def slices(length: int, parts: int, align: int = 16) -> tuple[tuple[int, int], ...]:
    """Return each owner's (start, stop) of a flat vector; starts are multiples of `align` elements.

    The last owners of a short vector have empty slices.
    """
    blocks = -(-length // align)
    cuts = [min(length, (blocks * part // parts) * align) for part in range(parts + 1)]
    return tuple(pairwise(cuts))


def algorithm(size: int, nbytes: int, direct_below_bytes: int = DIRECT_BELOW_BYTES) -> str:
    """Return 'direct' or 'sliced': how vectors of `nbytes` in all are reduced among `size` members.

    direct: one round; everybody ships its partial sums whole to all and adds by itself.
    sliced: everybody ships each slice to its owner, the owners add and ship the sums to all.
    """
    return "direct" if nbytes * (size - 1) < direct_below_bytes else "sliced"
