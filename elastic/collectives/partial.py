"""Partial sums: the arrays that stand at nodes of the canonical tree, and how two become one.

A partial sum is a few flat vectors, one for each dtype, cut into segments (a parameter's gradient,
a weight, a metric). A segment may be absent: a gradient that is None in every leaf below the node.
Absent is not zero (PROTOCOL B2): what is absent on one side is copied from the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np

from elastic.collectives import plan
from elastic.collectives.plan import Node

__all__ = ["Forest", "Partial", "Pieces", "SegmentMap", "add", "reduce"]

Ranges = tuple[tuple[int, int], ...]
"""(start, stop) in elements, one for each vector."""

ALIGN_BYTES = 64
"""Slices begin at multiples of this: a cache line, and a whole number of any dtype's elements."""


@dataclass(frozen=True)
class SegmentMap:
    """Where each segment lies. Equal on all members of a group.

    Attributes:
        dtypes: of each vector.
        lengths: of each vector, in elements.
        segments: (vector index, start, stop) of each segment.
    """

    dtypes: tuple[np.dtype, ...]
    lengths: tuple[int, ...]
    segments: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, parts: Iterable[tuple[Any, int]]) -> SegmentMap:
        """Return the map of segments with these (dtype, length), in order, one vector a dtype."""
        lengths: dict[np.dtype, int] = {}
        segments = []
        for kind, length in parts:
            dtype = np.dtype(kind)
            start = lengths.setdefault(dtype, 0)
            segments.append((list(lengths).index(dtype), start, start + length))
            lengths[dtype] = start + length
        return cls(tuple(lengths), tuple(lengths.values()), tuple(segments))

    @property
    def nbytes(self) -> int:
        """The bytes of all vectors."""
        sizes = zip(self.dtypes, self.lengths, strict=True)
        return sum(dtype.itemsize * length for dtype, length in sizes)

    def slices(self, parts: int) -> tuple[tuple[Ranges, SegmentMap], ...]:
        """Return each owner's slice of every vector, and the map within it.

        All segments are in every slice, most of them empty, so one presence mask fits them all.
        """
        if parts not in self._slices:
            cuts = [
                plan.slices(length, parts, max(1, ALIGN_BYTES // dtype.itemsize))
                for dtype, length in zip(self.dtypes, self.lengths, strict=True)
            ]
            ranges = [tuple(cut[part] for cut in cuts) for part in range(parts)]
            self._slices[parts] = tuple((each, self._within(each)) for each in ranges)
        return self._slices[parts]

    @cached_property
    def fingerprint(self) -> int:
        """A number that differs between maps that differ."""
        return crc32(repr((list(map(str, self.dtypes)), self.lengths, self.segments)).encode())

    @cached_property
    def _slices(self) -> dict[int, tuple[tuple[Ranges, SegmentMap], ...]]:
        return {}

    def _within(self, ranges: Ranges) -> SegmentMap:
        def clip(vector: int, position: int) -> int:
            start, stop = ranges[vector]
            return min(max(position, start), stop) - start

        segments = ((v, clip(v, start), clip(v, stop)) for v, start, stop in self.segments)
        return SegmentMap(self.dtypes, tuple(b - a for a, b in ranges), tuple(segments))


class Partial:
    """A sum over some leaves.

    Attributes:
        map: where its segments lie.
        vectors: flat, contiguous, one for each dtype; anything may stand in absent segments.
        present: which segments are there.
        owned: whether `add` may write the sum into these vectors.
    """

    __slots__ = ("map", "owned", "present", "vectors")

    def __init__(
        self,
        map: SegmentMap,
        vectors: Sequence[np.ndarray],
        present: np.ndarray,
        owned: bool = True,
    ):
        self.map = map
        self.vectors = tuple(vectors)
        self.present = present
        self.owned = owned

    @classmethod
    def empty(cls, map: SegmentMap) -> Partial:
        """Return a partial sum with vectors of its own in which nothing is present yet."""
        sizes = zip(map.lengths, map.dtypes, strict=True)
        vectors = [np.empty(length, dtype) for length, dtype in sizes]
        return cls(map, vectors, np.zeros(len(map.segments), bool))

    def __setitem__(self, segment: int, values: Any) -> None:
        """Copy `values`, flattened, into a segment, which is present from now on."""
        self._view(segment)[:] = np.asarray(values).reshape(-1)
        self.present[segment] = True

    def __getitem__(self, segment: int) -> np.ndarray | None:
        """Return a flat view of a segment; None if it is absent."""
        return self._view(segment) if self.present[segment] else None

    def _view(self, segment: int) -> np.ndarray:
        vector, start, stop = self.map.segments[segment]
        return self.vectors[vector][start:stop]

    def slice(self, ranges: Ranges, map: SegmentMap) -> Partial:
        """Return a view of one owner's slice (see `SegmentMap.slices`); it is not owned."""
        cuts = zip(self.vectors, ranges, strict=True)
        return Partial(map, [vector[a:b] for vector, (a, b) in cuts], self.present, owned=False)

    def laid_out(self) -> Partial:
        """Return this: its segments lie in vectors."""
        return self

    def lend(self) -> Partial:
        """Return the same sum, into which `add` does not write."""
        return Partial(self.map, self.vectors, self.present, owned=False)

    def divided(self, by: float) -> Partial:
        """Return a new one with every segment divided: a mean of a sum."""
        made = Partial.empty(self.map)
        made.present[:] = self.present
        if self.present.all():
            for vector, into in zip(self.vectors, made.vectors, strict=True):
                np.divide(vector, by, out=into, casting="unsafe")
        else:
            for segment in np.flatnonzero(self.present).tolist():
                np.divide(self._view(segment), by, out=made._view(segment), casting="unsafe")
        return made

    def owning(self) -> Partial:
        """Return this if it is owned, else a copy that is."""
        if self.owned:
            return self
        return Partial(self.map, [vector.copy() for vector in self.vectors], self.present.copy())


class Pieces:
    """What one leaf gives, as it was computed: an array a segment, None where it is absent.

    It is read only, and laid out in vectors when something is added to it or it is sent: so no
    gradient is copied before that.

    Attributes:
        map: where its segments will lie.
        present: which segments are there.
    """

    __slots__ = ("_arrays", "map", "present")

    def __init__(self, map: SegmentMap, arrays: Sequence[np.ndarray | None]):
        self.map = map
        self._arrays = arrays
        self.present = np.array([array is not None for array in arrays], bool)

    def __getitem__(self, segment: int) -> np.ndarray | None:
        """Return a segment, flattened in C order; None if it is absent."""
        array = self._arrays[segment]
        return None if array is None else array.reshape(-1)

    def laid_out(self) -> Partial:
        """Return a partial sum with vectors of its own."""
        made = Partial.empty(self.map)
        for segment in np.flatnonzero(self.present).tolist():
            made[segment] = self._arrays[segment]
        return made


def add(left: Partial | Pieces, right: Partial | Pieces, combine: np.ufunc = np.add) -> Partial:
    """Return left + right, in the vectors of one that is owned, else in new ones."""
    into = next((each for each in (left, right) if isinstance(each, Partial) and each.owned), None)
    into = into or Partial.empty(left.map)
    present = left.present | right.present
    if isinstance(left, Pieces) or isinstance(right, Pieces) or not _are_whole(left, right):
        for segment in np.flatnonzero(present).tolist():
            _add_segment(left[segment], right[segment], into._view(segment), combine)
    else:
        for a, b, out in zip(left.vectors, right.vectors, into.vectors, strict=True):
            combine(a, b, out=out)
    return Partial(left.map, into.vectors, present)


def _are_whole(left: Partial, right: Partial) -> bool:
    return bool(left.present.all() and right.present.all())


def _add_segment(
    left: np.ndarray | None, right: np.ndarray | None, out: np.ndarray, combine: np.ufunc
) -> None:
    if left is None or right is None:
        out[:] = right if left is None else left  # onto itself if it stands there already
    else:
        combine(left, right, out=out)


def reduce(
    parts: Mapping[Node, Partial], n_leaves: int, combine: np.ufunc = np.add
) -> Partial | None:
    """Return the sum of partial sums at disjoint nodes, added at nodes of the tree only (S5).

    None if there are none. Parts that are owned are used up; a sum that is not owned is a part.
    """
    standing = dict(parts)
    at = next(iter(standing), None)
    for left, right, parent in plan.additions(parts, n_leaves):
        standing[parent] = add(standing.pop(left), standing.pop(right), combine)
        at = parent
    return standing[at] if at else None


class Forest:
    """What a member holds of a step: the partial sums of maximal complete subtrees.

    Example:
        >>> forest = Forest(4, SegmentMap.of([("float32", 2)]))
        >>> for leaf in (0, 1, 3):
        ...     partial = Partial.empty(forest.map)
        ...     partial[0] = [leaf, 1.0]
        ...     forest.put(leaf, partial)
        >>> forest.nodes()
        ((0, 2), (3, 4))
        >>> forest.partials[0, 2][0].tolist()
        [1.0, 2.0]
    """

    def __init__(self, n_leaves: int, map: SegmentMap):
        self.n_leaves = n_leaves
        self.map = map
        self.partials: dict[Node, Partial | Pieces] = {}

    def put(self, leaf: int, partial: Partial | Pieces) -> None:
        """Take over what one leaf gives and add it upwards while the sibling is held."""
        held = any(start <= leaf < stop for start, stop in self.partials)
        if held or not 0 <= leaf < self.n_leaves:
            raise ValueError(f"a forest over {self.n_leaves} leaves takes each once, got {leaf}")
        self.partials[leaf, leaf + 1] = partial
        for parent in plan.ancestors(leaf, self.n_leaves):
            left, right = plan.children(parent)
            if left not in self.partials or right not in self.partials:
                return
            pair = self.partials.pop(left), self.partials.pop(right)
            self.partials[parent] = add(*pair)

    def lend(self) -> dict[Node, Partial]:
        """Return the partial sums laid out in vectors, into which `add` does not write."""
        laid_out = {node: partial.laid_out() for node, partial in self.partials.items()}
        self.partials.update(laid_out)
        return {node: partial.lend() for node, partial in laid_out.items()}

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes held, in order."""
        return tuple(sorted(self.partials))
