"""What a person at the terminal sees of a run: a line every few seconds, and one a recovery.

Plain lines, which survive pipes, logs and `grep`. Time is that of the messages: nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastic.control import Committed, Event, Group
from elastic.telemetry.recovery import Recovery

__all__ = ["Progress"]


class Progress:
    """Says how the run goes, through `say(line)`; steps only where no live line shows them."""

    def __init__(
        self, say: Callable[[str], None], every_s: float = 5.0, *, tells_steps: bool = True
    ):
        self._say = say
        self._every_s = every_s
        self._tells_steps = tells_steps
        self._world_size = 0
        self._step = -1
        self._said: tuple[int, float] | None = None
        """The step and time of the last line."""
        self._recovered: set[tuple[int, str]] = set()
        self._stragglers: set[Any] = set()

    def grouped(self, group: Group) -> None:
        """Tell of a new generation."""
        self._world_size = len(group.members)
        self._stragglers.clear()
        pause = "; paused: fewer than the minimum" if group.paused else ""
        workers = _workers(self._world_size)
        self._say(f"generation {group.generation}: {workers} ({group.cause}){pause}")

    def committed(self, message: Committed) -> None:
        """Tell of a committed step, if the last line is long enough ago."""
        if message.step <= self._step or not self._tells_steps:
            return  # another worker of this host said so, or the live line does
        self._step = message.step
        if self._said is None:
            self._line(message, "")
        elif message.t - self._said[1] >= self._every_s:
            step, t = self._said
            self._line(message, f"  {(message.step - step) / (message.t - t):.1f} steps/s")

    def told(self, event: Event) -> None:
        """Tell of a straggler, once while the group is the same."""
        rank = event.fields.get("accused_rank")
        if event.event == "straggler" and rank not in self._stragglers:
            self._stragglers.add(rank)
            self._say(f"straggler: {event.fields['text']}")

    def recovered(self, recovery: Recovery) -> None:
        """Tell of a recovery with its phases, once for all workers of this host."""
        key = (recovery.step, recovery.cause)
        if key in self._recovered:
            return
        self._recovered.add(key)
        phases = (
            ("detect", recovery.detect_s),
            ("rendezvous", recovery.rendezvous_s),
            ("sync", recovery.sync_s),
            ("first step", recovery.first_step_s),
        )
        told = ", ".join(f"{name} {_ms(seconds)}" for name, seconds in phases)
        total = _ms(recovery.total_s)
        self._say(f"recovered at step {recovery.step} in {total} ({told}): {recovery.cause}")

    def _line(self, message: Committed, speed: str) -> None:
        self._said = (message.step, message.t)
        loss = message.metrics.get("loss")
        shown = "" if loss is None else f"  loss {loss:.4g}"
        self._say(f"step {message.step}{shown}  {_workers(self._world_size)}{speed}")


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
