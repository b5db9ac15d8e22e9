"""The collectives, all of them on one primitive: a round.

In a round each member hands over what it has for each of the others and names those it expects
something from. Whatever has `rank`, `size` and `round` has every operation of this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from elastic.collectives import plan
from elastic.collectives.frames import as_bytes
from elastic.collectives.partial import Forest, Partial, Ranges, SegmentMap, reduce
from elastic.collectives.plan import Node
from elastic.errors import ConfigError
from elastic.telemetry.account import Account

__all__ = ["Blob", "Operations", "pack", "unpack"]

Cut = tuple[Ranges, SegmentMap]
Blob = bytes | bytearray | memoryview | np.ndarray

COMBINE = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum}


class Operations:
    """What members do together. All of them call the same operations in the same order."""

    rank: int
    size: int
    direct_below_bytes: int = plan.DIRECT_BELOW_BYTES

    def round(
        self, tag: str, outgoing: Mapping[int, Sequence[Blob]], expect: Iterable[int]
    ) -> dict[int, list[memoryview]]:
        """Return the blobs of each expected rank, after handing over the outgoing ones."""
        raise NotImplementedError

    @cached_property
    def account(self) -> Account:
        """What the collectives have cost, for whoever tells it."""
        return Account()

    # -- blobs ---------------------------------------------------------------------------------

    def gather(self, blob: Blob) -> list[bytes]:
        """Return every member's blob, in rank order, on all members."""
        got = self._to_all("gather", [blob])
        return [bytes(got[rank][0]) for rank in range(self.size)]

    def barrier(self) -> None:
        """Return when every member has called this."""
        self._to_all("barrier", [])

    def _to_all(self, tag: str, blobs: Sequence[Blob]) -> dict[int, list[memoryview]]:
        everyone = range(self.size)
        return self.round(tag, dict.fromkeys(everyone, blobs), everyone)

    # -- arrays --------------------------------------------------------------------------------

    def allgather(self, array: np.ndarray) -> list[np.ndarray]:
        """Return every member's array, in rank order; shapes and dtypes may differ."""
        got = self._to_all("allgather", pack(array))
        return [unpack(got[rank]) for rank in range(self.size)]

    def broadcast(self, array: np.ndarray | None, root: int = 0) -> np.ndarray:
        """Return the array of rank `root`; what the others pass is not read."""
        if self.rank != root:
            return unpack(self.round("broadcast", {}, [root])[root])
        if array is None:
            raise ConfigError(f"rank {root} broadcasts an array, got None")
        blobs = pack(array)
        self.round("broadcast", dict.fromkeys(range(self.size), blobs), [root])
        return array

    def allreduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        """Return the sum, mean, max or min over all members, added along the canonical tree.

        Raises:
            ConfigError: the members' shapes or dtypes differ, or the op does not fit the dtype.
        """
        array = np.asarray(array)
        _, total = self._reduce(f"allreduce {op}", self._one_array(array, op), b"")
        assert total is not None
        return self._mean(total.owning().vectors[0], op).reshape(array.shape)

    def reduce_scatter(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        """Return this member's slice of the flat reduction: in rank order they make the whole."""
        mine = self._one_array(np.asarray(array), op)
        cuts = mine.map.slices(self.size)
        _, total, _ = self._add_up(f"reduce_scatter {op}", mine, b"", cuts)
        assert total is not None
        return self._mean(total.owning().vectors[0], op)

    def _one_array(self, array: np.ndarray, op: str) -> Shipment:
        _check_op(op, array.dtype)
        map = SegmentMap.of([(array.dtype, array.size)])
        flat = np.ascontiguousarray(array).reshape(-1)
        lent = Partial(map, [flat], np.ones(1, bool), owned=False)
        return Shipment(self.size, map, {(self.rank, self.rank + 1): lent}, COMBINE[op])

    def _mean(self, total: np.ndarray, op: str) -> np.ndarray:
        if op == "mean":
            total /= total.dtype.type(self.size)
        return total

    # -- one step's reduction ------------------------------------------------------------------

    def reduce_tree(
        self, tag: str, forest: Forest, header: Blob = b""
    ) -> tuple[list[bytes], Partial | None]:
        """Return every member's header, and the sum over all leaves that anybody holds.

        The headers travel with the partial sums, in the first round. The sum is None if nobody
        holds a leaf; if it is not `owned`, it is what the forest holds. The forest is left as it
        is, so that a reduction which was aborted can be done again.

        Raises:
            ConfigError: the members' forests have other segments or leaves, or share a leaf.
        """
        mine = Shipment(forest.n_leaves, forest.map, forest.lend(), np.add)
        return self._reduce(tag, mine, header)

    def _reduce(self, tag: str, mine: Shipment, header: Blob) -> tuple[list[bytes], Partial | None]:
        if plan.algorithm(self.size, mine.map.nbytes, self.direct_below_bytes) == "direct":
            uncut = tuple((0, length) for length in mine.map.lengths), mine.map
            return self._add_up(tag, mine, header, [uncut] * self.size)[:2]
        headers, total, whole = self._add_up(tag, mine, header, mine.map.slices(self.size))
        return headers, total and self._share(tag, total, mine, whole)

    def _add_up(
        self, tag: str, mine: Shipment, header: Blob, cuts: Sequence[Cut]
    ) -> tuple[list[bytes], Partial | None, int | None]:
        """Return all headers, the sum of this member's slice, and who holds the whole sum alone."""
        label = mine.label()
        outgoing = {
            rank: [header, label, *mine.blobs(cuts[rank])]
            for rank in range(self.size)
            if rank != self.rank
        }
        got = self.round(tag, outgoing, outgoing)
        got[self.rank] = [as_bytes(header)]
        cut = cuts[self.rank]
        parts = {self.rank: {node: part.slice(*cut) for node, part in mine.parts.items()}}
        for rank in outgoing:
            parts[rank] = mine.received(rank, got[rank][1:], cut[1])
        total = reduce(_disjoint(parts), mine.n_leaves, mine.combine)
        whole = next((rank for rank, nodes in parts.items() if mine.root in nodes), None)
        return [bytes(got[rank][0]) for rank in range(self.size)], total, whole

    def _share(self, tag: str, slice: Partial, mine: Shipment, whole: int | None) -> Partial:
        """Return the whole sum, of which each member has its own slice, and one perhaps all."""
        tag, everyone = f"{tag}, slices", range(self.size)
        outgoing = {rank: slice.vectors for rank in everyone if rank != whole}
        if self.rank == whole:
            self.round(tag, outgoing, [])
            return mine.parts[mine.root]
        total = Partial.empty(mine.map)
        total.present[:] = slice.present
        got = self.round(tag, outgoing, everyone)
        for rank, cut in enumerate(mine.map.slices(self.size)):
            for vector, blob in zip(total.slice(*cut).vectors, got[rank], strict=True):
                vector[:] = np.frombuffer(blob, vector.dtype)
        return total


def _disjoint(parts: Mapping[int, Mapping[Node, Partial]]) -> dict[Node, Partial]:
    """Return the partial sums of all ranks by node, each leaf under one of them."""
    claims = sorted((node, rank) for rank, nodes in parts.items() for node in nodes)
    for (node, rank), (after, other) in pairwise(claims):
        if after[0] < node[1]:
            both = " and ".join(str(each) for each in sorted((rank, other)))
            raise ConfigError(f"each leaf has one holder, leaf {after[0]} has ranks {both}")
    return {node: part for nodes in parts.values() for node, part in nodes.items()}


class Shipment:
    """The partial sums of one member and what they say of themselves on the way."""

    def __init__(
        self, n_leaves: int, map: SegmentMap, parts: Mapping[Node, Partial], combine: np.ufunc
    ):
        self.n_leaves = n_leaves
        self.map = map
        self.parts = parts
        self.combine = combine

    @property
    def root(self) -> Node:
        """The node of the whole sum."""
        return plan.root(self.n_leaves)

    def label(self) -> bytes:
        """Return the blob before the vectors: which nodes they stand at, over what."""
        label = {
            "leaves": self.n_leaves,
            "map": self.map.fingerprint,
            "what": self._what(),
            "nodes": list(self.parts),
        }
        return json.dumps(label).encode()

    def _what(self) -> str:
        vectors = zip(self.map.dtypes, self.map.lengths, strict=True)
        return ", ".join(f"{dtype.name}[{length}]" for dtype, length in vectors)

    def blobs(self, cut: Cut) -> list[Blob]:
        """Return, for each node, the presence mask and one slice of each vector."""
        blobs: list[Blob] = []
        for part in self.parts.values():
            blobs += [np.packbits(part.present), *part.slice(*cut).vectors]
        return blobs

    def received(
        self, rank: int, blobs: Sequence[memoryview], map: SegmentMap
    ) -> dict[Node, Partial]:
        """Return the partial sums that rank `rank` has shipped, of the slice laid out by `map`."""
        label = json.loads(bytes(blobs[0]))
        if (label["leaves"], label["map"]) != (self.n_leaves, self.map.fingerprint):
            raise ConfigError(
                f"all members reduce the same: {self._what()} over {self.n_leaves} leaves here, "
                f"{label['what']} over {label['leaves']} leaves at rank {rank}"
            )
        parts, each = {}, 1 + len(map.dtypes)
        for at, (start, stop) in enumerate(label["nodes"]):
            parts[start, stop] = _partial(map, blobs[1 + at * each : 1 + (at + 1) * each])
        return parts


def _partial(map: SegmentMap, blobs: Sequence[memoryview]) -> Partial:
    mask = np.frombuffer(blobs[0], np.uint8)
    present = np.unpackbits(mask, count=len(map.segments)).astype(bool)
    vectors = [np.frombuffer(b, dtype) for b, dtype in zip(blobs[1:], map.dtypes, strict=True)]
    return Partial(map, vectors, present, owned=not any(blob.readonly for blob in blobs[1:]))


def _check_op(op: str, dtype: np.dtype) -> None:
    if op not in COMBINE:
        raise ConfigError(f"allreduce takes one of {', '.join(COMBINE)}, got {op!r}")
    if op == "mean" and dtype.kind in "biu":
        raise ConfigError(f"a mean is no {dtype.name}; use op='sum' or a floating dtype")


def pack(array: np.ndarray) -> list[Blob]:
    """Return an array as blobs: dtype and shape, then its bytes."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise ConfigError("arrays of Python objects do not travel: nothing is pickled; use bytes")
    return [json.dumps([array.dtype.name, array.shape]).encode(), array]


def unpack(blobs: Sequence[memoryview]) -> np.ndarray:
    """Return the array of `pack`; a copy that can be written."""
    name, shape = json.loads(bytes(blobs[0]))
    return np.frombuffer(blobs[1], _dtype(name)).reshape(shape).copy()


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # bfloat16 and the small floats have no name in numpy itself

        return np.dtype(getattr(ml_dtypes, name))
