"""What a recovery cost, phase by phase. Pure: the times come in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Marks", "Recovery", "goodput"]


@dataclass(frozen=True)
class Marks:
    """When each phase ended for one worker, all on CLOCK_MONOTONIC of its host. Units: seconds."""

    lost: float
    """The first sign that a member is gone, seen by anyone on this host."""
    aborted: float
    """This worker had left the step in flight."""
    grouped: float
    """It knew the new group."""
    synced: float
    """The first exchange of the new generation, and any transfer of State, was over."""
    committed: float
    """It had applied the first step of the new generation."""


@dataclass(frozen=True)
class Recovery:
    """One recovery as a worker saw it; the phases add up to `total_s`."""

    step: int
    cause: str
    lost: tuple[str, ...]
    detect_s: float
    rendezvous_s: float
    sync_s: float
    first_step_s: float
    total_s: float

    @classmethod
    def of(cls, step: int, cause: str, lost: tuple[str, ...], marks: Marks) -> Recovery:
        """Return the recovery that ended with `step`.

        A worker may abort before its agent sees the first sign, or learn of the group before it has
        aborted: such a phase took no time, and the next one begins where the last one ended.
        """
        times = [marks.lost]
        for t in (marks.aborted, marks.grouped, marks.synced, marks.committed):
            times.append(max(t, times[-1]))
        detect_s, rendezvous_s, sync_s, first_step_s = (b - a for a, b in pairwise(times))
        total_s = times[-1] - times[0]
        return cls(step, cause, lost, detect_s, rendezvous_s, sync_s, first_step_s, total_s)

    def __str__(self) -> str:
        return (
            f"recovered at step {self.step} in {self.total_s:.3f} s "
            f"(detect {self.detect_s:.3f}, rendezvous {self.rendezvous_s:.3f}, "
            f"sync {self.sync_s:.3f}, first step {self.first_step_s:.3f}): {self.cause}"
        )


def goodput(total_s: float, lost_s: float) -> float:
    """Return the share of the run that was not lost to recoveries, 0 to 1."""
    if total_s <= 0:
        return 1.0
    return min(1.0, max(0.0, 1 - lost_s / total_s))
