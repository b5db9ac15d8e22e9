"""The group of a world of one: all that `collectives.Group` has, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elastic.collectives.frames import as_bytes
from elastic.collectives.operations import Blob, Operations
from elastic.world import Member

__all__ = ["SoloGroup"]


class SoloGroup(Operations):
    """One member; whatever it sends comes back to it."""

    address = ""
    rank, size = 0, 1
    on_note: Any = None
    """Nobody tells it anything."""

    def rename(self, id: str) -> None:
        """There is nobody to tell."""

    def enter(self, generation: int, members: tuple[Member, ...], rank: int) -> None:
        """There is nobody to meet."""

    def interrupt(self, generation: int, reason: str) -> None:
        """Nothing is ever waited for."""

    def cut_off(self, seconds: float) -> None:
        """There is nobody to be cut off from."""

    def round(
        self, tag: str, outgoing: Mapping[int, Sequence[Blob]], expect: Iterable[int]
    ) -> dict[int, list[Any]]:
        """Return what it sent to itself, if it expects that."""
        return {rank: [as_bytes(blob) for blob in outgoing[rank]] for rank in expect}

    def close(self) -> None:
        """Nothing is open."""
