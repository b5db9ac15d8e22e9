"""What simulated workers write, send and keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elastic import audit
from elastic.collectives.core import Key
from elastic.collectives.plan import Node
from elastic.training.agreement import Flags

__all__ = ["Checkpoint", "Feed", "Lent", "Message", "Note", "Result", "Share"]


@dataclass(frozen=True)
class Checkpoint:
    """What is on a host's disk."""

    step: int
    generation: int
    lineage: str
    state: str


@dataclass(frozen=True)
class Result:
    """A reduced step: all that `update` and the audit need (S3)."""

    step: int
    total: str
    leaves: tuple[audit.Leaf, ...]


@dataclass(frozen=True)
class Share:
    """What a member brings to a reduction."""

    step: int
    lineage: str
    flags: Flags
    sums: dict[Node, str]
    leaves: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Lent:
    """A share of State for a newcomer (S9); toys are small, so each is the whole."""

    generation: int
    member: str
    share: int
    shares: int
    feeder: str
    address: str
    step: int
    lineage: str
    state: str


@dataclass(frozen=True)
class Feed:
    """A later result for a newcomer; None: the feed has ended, complete or broken."""

    generation: int
    member: str
    result: Result | None
    broken: bool = False


@dataclass(frozen=True)
class Note:
    """At which step a newcomer stands."""

    generation: int
    source: str
    step: int


@dataclass(frozen=True)
class Message:
    """One payload on its way."""

    generation: int
    source: str
    key: Key
    payload: Any
