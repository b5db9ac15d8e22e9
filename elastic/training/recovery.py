"""The marks of time along a recovery or a planned change, as a worker sees them.

CLOCK_MONOTONIC, seconds.
"""

from __future__ import annotations

from dataclasses import replace

from elastic.control import Group
from elastic.telemetry.recovery import Marks, Recovery

__all__ = ["RecoveryMarks"]


class RecoveryMarks:
    """Collects when a loss was seen, decided, told, synced and made good; when a turn began."""

    def __init__(self) -> None:
        self._aborted = 0.0
        self._group: Group | None = None
        self._told = self._synced = 0.0
        self._turned: float | None = None

    def aborted(self, now: float) -> None:
        """A collective ended early: usually the first sign that this worker has."""
        self._aborted = self._aborted or now
        self._turned = None

    def turned(self, now: float) -> None:
        """A planned change began, for whose sake all pause."""
        self._turned = now

    def resumed(self, now: float) -> float | None:
        """All are level; return how long a planned change has made them pause."""
        turned, self._turned = self._turned, None
        return None if turned is None else now - turned

    def formed(self, group: Group, now: float) -> None:
        """A generation was told; losses that follow each other are one recovery."""
        if group.lost:
            self._group = _merged(self._group, group) if self._group else group
            self._told = now
        elif self._group is None:
            self._aborted = 0.0

    def synced(self, now: float) -> None:
        """All are level and `sync` has returned."""
        self._synced = now

    def committed(self, step: int, now: float) -> Recovery | None:
        """Return the recovery that this step ends, if one was under way."""
        group, self._group = self._group, None
        aborted, self._aborted = self._aborted, 0.0
        if group is None:
            return None
        lost = min(t for t in (group.first_sign, aborted, self._told) if t)
        decided = group.decided or max(aborted, lost)
        marks = Marks(lost, decided, self._told, self._synced, now)
        return Recovery.of(step, group.cause, group.lost, marks)


def _merged(first: Group, then: Group) -> Group:
    cause = f"{first.cause}; {then.cause}"
    return replace(first, lost=(*first.lost, *then.lost), cause=cause)
