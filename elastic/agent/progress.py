"""What a person at the terminal sees of a run: a line every few seconds, and one a recovery. Pure.

Plain lines, which survive pipes, logs and `grep`.
"""

from __future__ import annotations

from elastic.control import Committed
from elastic.telemetry.recovery import Recovery

__all__ = ["Progress", "recovery_line"]


class Progress:
    """Knows when a committed step is worth a line: the first one, then one every few seconds.

    Time is that of the messages, so a run that stands still says nothing.
    """

    def __init__(self, every_s: float = 2.0):
        self._every_s = every_s
        self._last: Committed | None = None

    def line(self, message: Committed, world_size: int) -> str | None:
        """Return the line for this step, or None if the last one is not long enough ago."""
        before, since_s = self._last, 0.0
        if before is not None:
            since_s = message.t - before.t
            # the other workers of this host tell of the same steps
            if message.step <= before.step or since_s < self._every_s:
                return None
        self._last = message
        numbers = "".join(f", {name} {value:.4g}" for name, value in message.metrics.items())
        rate = f", {(message.step - before.step) / since_s:.1f} steps/s" if before else ""
        plural = "" if world_size == 1 else "s"
        return f"step {message.step}{numbers}, {world_size} worker{plural}{rate}"


def recovery_line(recovery: Recovery) -> str:
    """Return the line for a recovery, with its phases in milliseconds."""
    phases = (
        ("detect", recovery.detect_s),
        ("rendezvous", recovery.rendezvous_s),
        ("sync", recovery.sync_s),
        ("first step", recovery.first_step_s),
    )
    told = ", ".join(f"{name} {_ms(duration_s)}" for name, duration_s in phases)
    total = _ms(recovery.total_s)
    return f"recovered at step {recovery.step} in {total} ({told}): {recovery.cause}"


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1000:.0f} ms"
