"""Shares of State: every donor's part of a copy for a newcomer, cut, said and put together (S9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from elastic.checkpoint import format
from elastic.errors import ProtocolError

__all__ = ["RESULT", "STATE", "Head", "Piece", "bytes_of", "cut", "join", "verify"]

STATE, RESULT = "state", "result"
"""What a feed carries: first a share of State, then the results of steps."""


@dataclass(frozen=True)
class Piece:
    """Bytes `start` to `stop` of the array of this name."""

    name: str
    start: int
    stop: int


def cut(sizes: dict[str, int], shares: int) -> list[list[Piece]]:
    """Return what each of so many donors sends of arrays of these sizes, in bytes.

    Shares are equal but for a byte; the order of `sizes` does not matter.
    """
    cuts: list[list[Piece]] = [[] for _ in range(shares)]
    total, begin = sum(sizes.values()), 0
    for name in sorted(sizes):
        end = begin + sizes[name]
        for share, pieces in enumerate(cuts):
            start = max(begin, total * share // shares)
            stop = min(end, total * (share + 1) // shares)
            if start < stop:
                pieces.append(Piece(name, start - begin, stop - begin))
        begin = end
    return cuts


@dataclass(frozen=True)
class Head:
    """What a share of State says of itself."""

    step: int
    lineage: str
    share: int
    shares: int
    feeder: str
    identity: dict[str, str]
    pieces: tuple[Piece, ...]
    digests: tuple[str, ...]
    """sha256 of each piece."""


def bytes_of(array: np.ndarray, piece: Piece) -> np.ndarray:
    """Return a piece of an array; it shares memory with it."""
    return array.reshape(-1).view(np.uint8)[piece.start : piece.stop]


def verify(head: Head, pieces: Sequence[Any]) -> None:
    """Raise ProtocolError unless the pieces are what the head says."""
    for blob, digest in zip(pieces, head.digests, strict=True):
        if sha256(blob).hexdigest() != digest:
            raise ProtocolError(
                "a share of State arrived with another digest than it was sent with"
            )


def join(shares: dict[int, tuple[Head, list[Any]]]) -> Any:
    """Return the tree that shares make together.

    Raises: ProtocolError or CheckpointError if they are not of one State, or do not cover it.
    """
    first, blobs = shares[0]
    found: dict[str, list[tuple[int, Any]]] = {}
    for head, parts in shares.values():
        if (head.step, head.lineage, head.shares) != (first.step, first.lineage, first.shares):
            raise ProtocolError(f"shares of two States: of step {head.step} and {first.step}")
        for piece, part in zip(head.pieces, parts[2:], strict=True):
            found.setdefault(piece.name, []).append((piece.start, part))
    header = bytes(blobs[1])
    total = sum(piece.stop - piece.start for head, _ in shares.values() for piece in head.pieces)
    specs = format.sizes(header, total)
    return format.unpack(header, [_array(spec, found.get(spec.name, [])) for spec in specs])


def _array(spec: format.ArraySpec, parts: list[tuple[int, Any]]) -> np.ndarray:
    ordered = sorted(parts, key=lambda part: part[0])
    flat = [np.frombuffer(part, np.uint8) for _, part in ordered]
    whole = flat[0] if len(flat) == 1 else np.concatenate([np.empty(0, np.uint8), *flat])
    ends = np.cumsum([0, *map(len, flat)])[:-1]
    if whole.nbytes != spec.nbytes or [start for start, _ in ordered] != ends.tolist():
        raise ProtocolError(f"State arrived without all of {spec.name!r}")
    return whole.view(format.DTYPES[spec.dtype]).reshape(spec.shape)
