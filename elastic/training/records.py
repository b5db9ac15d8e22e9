"""What members say to each other of a step: records of leaves, headers, results; as bytes too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np

from elastic.collectives.partial import Partial, SegmentMap
from elastic.training.agreement import Flags
from elastic.training.carry import Carries
from elastic.wire import from_json, to_json

__all__ = [
    "Header",
    "LeafRecord",
    "StepResult",
    "all_leaves",
    "pack_header",
    "pack_result",
    "unpack_headers",
    "unpack_result",
]


@dataclass(frozen=True)
class LeafRecord:
    """What a leaf tells besides its gradient: small, and known to all members."""

    leaf: int
    rank: int
    indices: tuple[int, ...]
    weight: float
    metrics: dict[str, float] = field(default_factory=dict)
    buffers: dict[str, Any] = field(default_factory=dict)
    """Integer buffers' changes and digests of the others (gradients.Bridge)."""
    carry_bytes: int = 0
    """The size of its carry, which travels behind the records."""


@dataclass(frozen=True)
class Header:
    """What a member says to all in a step's reduction."""

    step: int
    lineage: str
    order: str
    flags: Flags
    leaves: tuple[LeafRecord, ...]
    leaves_s: float = 0.0
    """How long it has computed them: by this the others tell a straggler."""
    checksums: str = ""
    """Of its parameters, in steps in which they are compared (drift)."""


@dataclass(frozen=True)
class StepResult:
    """A reduced step: all that `update` and the audit need (S3)."""

    step: int
    leaves: tuple[LeafRecord, ...]
    total: Partial | None
    carries: Carries = field(default_factory=dict)


def all_leaves(headers: Sequence[Header]) -> tuple[LeafRecord, ...]:
    """Return the records of a step's leaves, in order, with the rank that has computed each."""
    records = [
        replace(record, rank=rank)
        for rank, header in enumerate(headers)
        for record in header.leaves
    ]
    return tuple(sorted(records, key=lambda record: record.leaf))


def pack_header(header: Header, carries: Carries) -> bytes:
    """Return a member's header and the carries of its leaves as bytes."""
    return _with_carries(to_json(header), carries)


def unpack_headers(
    blobs: Sequence[bytes], rank: int, mine: Header, my_carries: Carries
) -> tuple[list[Header], Carries]:
    """Return all members' headers in the order of the blobs, and the carries of all leaves.

    That of `rank` is not read: it is `mine`.
    """
    headers: list[Header] = []
    carries = {leaf: packed for leaf, packed in my_carries.items() if packed}
    for at, blob in enumerate(blobs):
        if at == rank:
            headers.append(mine)
            continue
        head, behind = _split(blob)
        headers.append(from_json(Header, head))
        carries.update(_carries_behind(headers[-1].leaves, behind))
    return headers, carries


def pack_result(result: StepResult) -> list[bytes | np.ndarray]:
    """Return a result as buffers."""
    total = result.total
    head = {"step": result.step, "leaves": to_json(result.leaves), "total": total is not None}
    blob = _with_carries(head, result.carries)
    return [blob] if total is None else [blob, total.present, *total.vectors]


def unpack_result(buffers: Sequence[Any], segments: SegmentMap) -> StepResult:
    """Return the result that was packed; `segments` says how its gradients lie.

    It shares memory with the buffers.
    """
    head, behind = _split(bytes(buffers[0]))
    leaves = from_json(tuple[LeafRecord, ...], head["leaves"])
    total = _unpack_total(buffers[1:], segments) if head["total"] else None
    return StepResult(head["step"], leaves, total, _carries_behind(leaves, behind))


def _unpack_total(buffers: Sequence[Any], segments: SegmentMap) -> Partial:
    present, *packed = buffers
    vectors = [
        np.frombuffer(buffer, dtype) for buffer, dtype in zip(packed, segments.dtypes, strict=True)
    ]
    return Partial(segments, vectors, np.frombuffer(present, bool), owned=False)


def _with_carries(head: Any, carries: Carries) -> bytes:
    """Return a line of JSON, and behind it the carries in the order of their leaves."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join([text, b"\n", *(carries[leaf] for leaf in sorted(carries))])


def _split(blob: bytes) -> tuple[Any, bytes]:
    text, _, behind = blob.partition(b"\n")
    return json.loads(text), behind


def _carries_behind(leaves: Sequence[LeafRecord], behind: bytes) -> Carries:
    """Return the carry of each of these leaves, in order, that has one."""
    stops = list(accumulate(record.carry_bytes for record in leaves))
    return {
        record.leaf: behind[stop - record.carry_bytes : stop]
        for record, stop in zip(leaves, stops, strict=True)
        if record.carry_bytes
    }
