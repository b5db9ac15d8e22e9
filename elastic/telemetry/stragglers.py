"""Which ranks hold the others up, and by what evidence. Pure.

A rank is late by as much as a round would have ended sooner had it been like the last but one: so
what is slow for everybody (a large model, a busy switch) is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Pace", "Straggler", "stragglers"]

LATE_SHARE = 0.2
"""A rank that costs the others so much of their time is a straggler."""
_SLOW_LEAVES = 1.25
"""Leaves so much slower than the others' are the reason; else its messages are."""


@dataclass(frozen=True)
class Pace:
    """One rank over a window, as another rank sees it."""

    rank: int
    late_s: float
    """How long rounds waited for it alone."""
    leaves: int
    leaves_s: float
    """What it says that its leaves took, in all."""

    @property
    def leaf_s(self) -> float:
        """Of one leaf, on average; 0 if it had none."""
        return self.leaves_s / self.leaves if self.leaves else 0.0


@dataclass(frozen=True)
class Straggler:
    """A rank that makes the others wait, and why we say so."""

    accused_rank: int
    late_s: float
    """A step, on average."""
    share: float
    """Of the others' time, 0 to 1."""
    leaf_s: float
    others_leaf_s: float
    reason: str
    """'leaves': it computes more slowly than the others; 'messages': it does not."""

    def __str__(self) -> str:
        if self.reason == "leaves":
            why = f"its leaves take {_ms(self.leaf_s)}, the others' {_ms(self.others_leaf_s)}"
        else:
            why = "its leaves are as quick as the others': look at its network, disk and hooks"
        return (
            f"rank {self.accused_rank} makes the others wait {_ms(self.late_s)} a step, "
            f"{self.share:.0%} of their time: {why}"
        )


def stragglers(paces: Sequence[Pace], steps: int, seconds: float) -> tuple[Straggler, ...]:
    """Return the ranks that held this one up over a window of `steps` steps, the worst first."""
    if not steps or seconds <= 0:
        return ()
    found = [
        _judged(pace, [other for other in paces if other.rank != pace.rank], steps, seconds)
        for pace in paces
    ]
    late = [straggler for straggler in found if straggler.share > LATE_SHARE]
    return tuple(sorted(late, key=lambda straggler: -straggler.share))


def _judged(pace: Pace, others: Sequence[Pace], steps: int, seconds: float) -> Straggler:
    usual_s = median([other.leaf_s for other in others if other.leaves] or [0.0])
    # leaves do not always divide evenly: whoever is dealt one more is late, and not to blame
    more = max(0, pace.leaves - max([other.leaves for other in others], default=0))
    late_s = max(0.0, pace.late_s - more * (usual_s or pace.leaf_s))
    is_slow = pace.leaf_s > _SLOW_LEAVES * usual_s > 0
    reason = "leaves" if is_slow else "messages"
    return Straggler(pace.rank, late_s / steps, late_s / seconds, pace.leaf_s, usual_s, reason)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
