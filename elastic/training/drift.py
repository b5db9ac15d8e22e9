"""Replicas that drift apart are caught: checksums of the parameters, compared inside a step.

A checksum is the sum of a parameter's bytes as 64-bit words: it runs at the speed of memory, and
any one flipped bit changes it. Members say theirs in the header of a step's reduction, every so
many steps, so a comparison needs no message of its own.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from elastic.tensor import Tensor
from elastic.training.agreement import Drift
from elastic.world import World

__all__ = ["checksums", "explain", "find_drift"]


def checksums(parameters: Mapping[str, Tensor]) -> str:
    """Return the checksum of each parameter, in order: 8 bytes each, as base64."""
    sums = [_checksum(parameter) for parameter in parameters.values()]
    return base64.b64encode(np.array(sums, np.uint64).tobytes()).decode()


def _checksum(parameter: Tensor) -> int:
    raw = parameter.detach()._array.reshape(-1).view(np.uint8)
    whole = raw.size // 8 * 8
    words = raw[:whole].view(np.uint64)
    tail = int.from_bytes(raw[whole:].tobytes(), "little")
    return (int(words.sum(dtype=np.uint64)) + tail) % (1 << 64)


def find_drift(told: Sequence[str], names: Sequence[str]) -> Drift | None:
    """Return who differs from the majority and where first; None if all told the same.

    `told` has what each rank said, `names` those of the parameters. Without a majority of more than
    half, who is right cannot be known: then all of the smaller camps are named.
    """
    counted = Counter(told).most_common()
    if len(counted) < 2:
        return None
    right, votes = counted[0]
    ranks = tuple(rank for rank, each in enumerate(told) if each != right)
    differ = _sums(right) != _sums(told[ranks[0]])
    return Drift(ranks, names[int(np.argmax(differ))], has_majority=2 * votes > len(told))


def _sums(told: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(told), np.uint64)


def explain(drift: Drift, world: World, step: str) -> str:
    """Return a sentence that says who has drifted, where it runs, and what differs."""
    who = ", ".join(
        f"rank {rank} ({world.members[rank].address}, {world.members[rank].id})"
        for rank in drift.ranks
    )
    if drift.has_majority:
        verdict = f"{who} differs from the others"
    else:
        verdict = f"{who} and the others differ, and neither side is a majority"
    return (
        f"all workers expect the same parameters before {step}, got another {drift.parameter!r}: "
        f"{verdict}; look for a fault of memory, or a write to parameters outside of update"
    )
