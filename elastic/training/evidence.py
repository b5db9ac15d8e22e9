"""What a worker tells its agent of committed steps: their lines of evidence for the audit (D2)."""

from __future__ import annotations

from typing import Any

from elastic import audit, control
from elastic.training.context import Context

__all__ = ["Evidence"]


class Evidence:
    """The first of an agent's members tells its audit file what was trained on."""

    def __init__(self, context: Context):
        self.context = context
        self._opening = "open"
        """How it begins next: 'open', 'resume', or '' while steps follow each other."""

    def forget(self, load: str) -> None:
        """State is another's now, perhaps of a checkpoint that member `load` has loaded."""
        if load or not self._opening:
            self._opening = "resume"

    def open(self, now: float) -> None:
        """All are level: open or resume the audit, unless the last step was told."""
        c = self.context
        if c.world.local_rank != 0:
            return
        if c.steps.last_line is not None:
            self._tell(c.steps.last_line, now)
        elif self._opening:
            step, lineage = c.standing.applied, c.standing.lineage
            self._tell(audit.opening(self._opening, step, lineage, c.phases), now)
        self._opening = ""

    def commit(self, now: float) -> None:
        """A step is committed."""
        c = self.context
        self._tell(c.steps.last_line if c.world.local_rank == 0 else None, now)

    def _tell(self, line: dict[str, Any] | None, now: float) -> None:
        state = self.context.state
        self.context.link.send(control.Committed(state.step, now, dict(state.metrics), line))
