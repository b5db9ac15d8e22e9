"""Who is in the group: the words that every room may say. No IO."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Member", "World"]


@dataclass(frozen=True, slots=True)
class Member:
    """One admission of a worker process. `id` is never used again; the addresses are host:port."""

    id: str
    address: str = ""
    """Where the worker's collectives listen."""
    agent: str = ""
    """Where its agent answers for it; also what tells one agent from another."""


@dataclass(frozen=True)
class World:
    """The group as one of its members sees it, fixed for one generation.

    Attributes:
        generation: number of the record that formed this group; it only grows.
        members: all members in rank order; survivors keep their order, newcomers are appended.
        rank: this worker's place in `members`.
        cause: why this generation was formed, in words.
    """

    generation: int = 0
    members: tuple[Member, ...] = (Member("alone"),)
    rank: int = 0
    cause: str = "a world of one"

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self.members)

    @property
    def me(self) -> Member:
        """This worker's own member."""
        return self.members[self.rank]

    @property
    def ids(self) -> tuple[str, ...]:
        """All member ids in rank order."""
        return tuple(member.id for member in self.members)

    @property
    def local_rank(self) -> int:
        """This worker's place among those of its agent."""
        return sum(m.agent == self.me.agent for m in self.members[: self.rank])
