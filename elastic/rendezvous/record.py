"""The record: the one key that says who the group is; and a member's key beside it. No IO."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from elastic.wire import from_json, parsed, to_json
from elastic.world import Member

__all__ = ["DONE", "FAILED", "RUNNING", "Keys", "Record", "decode_member", "encode_member"]

MAX_GENERATION = 1 << 62
"""Headers of messages have 64 bits for it."""
RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class Record:
    """Generation `generation` consists of `ids`, in rank order.

    `joined`, `left` and `lost` say what changed from the generation before, `cause` why.
    """

    generation: int
    ids: tuple[str, ...]
    cause: str
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    status: str = RUNNING
    result: dict[str, Any] | None = None

    @cached_property
    def members(self) -> frozenset[str]:
        """The ids, to look up."""
        return frozenset(self.ids)

    @property
    def planned(self) -> bool:
        """Whether all members agreed on this change at a step boundary: nothing is aborted."""
        return not self.lost and bool(self.joined or self.left)

    def encode(self) -> bytes:
        """Return the bytes for the store."""
        return json.dumps(to_json(self), separators=(",", ":")).encode()

    @classmethod
    @lru_cache(maxsize=4)  # a proposal's answer and the watch's news are the same bytes
    def decode(cls, data: bytes) -> Record:
        """Return the record that the store holds. Raises ValueError on anything else."""
        record = from_json(cls, parsed(data))
        if not 0 <= record.generation < MAX_GENERATION:
            raise ValueError(f"a generation is below 2**62, got {record.generation}")
        return record

    def after(self, **changes: Any) -> Record:
        """Return the next generation: this record with `changes`, and nothing else carried on."""
        blank = {"joined": (), "left": (), "lost": (), "result": None}
        return replace(self, generation=self.generation + 1, **{**blank, **changes})


@dataclass(frozen=True)
class Keys:
    """Where a job keeps its keys (PROTOCOL M2)."""

    job: str

    @cached_property
    def prefix(self) -> str:
        """All of the job's keys begin so."""
        return f"/elastic/{self.job}/"

    @cached_property
    def record(self) -> str:
        """The record."""
        return self.prefix + "record"

    @cached_property
    def members(self) -> str:
        """All members' keys begin so."""
        return self.prefix + "members/"

    @property
    def failures(self) -> str:
        """All failures' keys begin so."""
        return self.prefix + "failures/"

    @property
    def token(self) -> str:
        """An HMAC of the job's token: the store never holds the token itself (PROTOCOL P3)."""
        return self.prefix + "token"


def encode_member(member: Member) -> bytes:
    """Return the value of a member's key."""
    return json.dumps({"address": member.address, "agent": member.agent}).encode()


@lru_cache(maxsize=1 << 14)  # whoever lists again reads the same bytes
def decode_member(id: str, data: bytes) -> Member:
    """Return the member whose key `id` holds `data`. Raises ValueError on anything else."""
    value = parsed(data)
    if not isinstance(value, dict):
        raise ValueError(f"a member's key holds an object, not {type(value).__name__}")
    if "id" in value:
        raise ValueError("a member's key holds its addresses; its id is in its name")
    return from_json(Member, {"id": id, **value})
