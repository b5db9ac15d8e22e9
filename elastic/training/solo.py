"""The group of a world of one: the calls of `collectives.Group`, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elastic.collectives.partial import Forest, Partial, reduce
from elastic.world import Member

__all__ = ["SoloGroup"]


class SoloGroup:
    """One member; whatever it sends comes back to it."""

    address = ""
    size, rank = 1, 0

    def rename(self, id: str) -> None:
        """There is nobody to tell."""

    def enter(self, generation: int, members: tuple[Member, ...], rank: int) -> None:
        """There is nobody to meet."""

    def interrupt(self, generation: int, reason: str) -> None:
        """Nothing is ever waited for."""

    def gather(self, blob: bytes) -> list[bytes]:
        """Return the blob of the one member."""
        return [blob]

    def round(
        self, tag: str, outgoing: Mapping[int, Sequence[Any]], expect: Iterable[int]
    ) -> dict[int, list[Any]]:
        """Return nothing: nobody else sends."""
        return {}

    def reduce_tree(
        self, tag: str, n_leaves: int, forest: Forest, header: bytes
    ) -> tuple[list[bytes], Partial | None]:
        """Return the one header, and the sum of all leaves."""
        lent = {node: partial.lend() for node, partial in forest.partials.items()}
        return [header], reduce(lent, n_leaves)

    def close(self) -> None:
        """Nothing is open."""
