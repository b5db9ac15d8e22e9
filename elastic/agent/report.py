"""A run in one JSON file: what was trained, on how many workers, and what the losses cost."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from elastic.control import Committed, Event, Finished
from elastic.telemetry.recovery import Recovery, goodput
from elastic.telemetry.refusals import REFUSED
from elastic.wire import from_json, to_json

__all__ = ["RunReport", "recovery_in"]

_RECOVERY_FIELDS = tuple(field.name for field in dataclasses.fields(Recovery))


def recovery_in(event: Event) -> Recovery | None:
    """Return the recovery that a worker tells of, or None if the event is another."""
    if event.event != "recovery":
        return None
    fields = {name: event.fields[name] for name in _RECOVERY_FIELDS if name in event.fields}
    try:
        return from_json(Recovery, fields)
    except ValueError:  # a worker of another version; its words stand in the event log
        return None


class RunReport:
    """Collects what happened, as this agent's workers tell it."""

    def __init__(self) -> None:
        self._steps = 0
        self._first_t: float | None = None
        self._last_t = 0.0
        self._result: dict[str, Any] = {}
        self._world_sizes: list[int] = []
        self._recoveries: dict[tuple[int, str], Recovery] = {}
        self._audit: str | None = None
        self._chaos: list[dict[str, Any]] = []
        self._refused: dict[tuple[Any, ...], int] = {}

    def observe(self, message: Any) -> None:
        """Take what a message of a worker says for the report, if anything."""
        if isinstance(message, Committed):
            self._committed(message)
        elif isinstance(message, Finished):
            self.finished(message.result)
        elif isinstance(message, Event):
            self._recovered(recovery_in(message))
            if message.event == REFUSED:
                self._refuse(**message.fields)

    def grouped(self, world_size: int) -> None:
        """Note a new generation."""
        self._world_sizes.append(world_size)

    def finished(self, result: dict[str, Any]) -> None:
        """Note the job's result: the worker's, or the record's for who came late."""
        self._result = result

    def injected(self, fault: dict[str, Any]) -> None:
        """Note a fault that this agent made (`--chaos`)."""
        self._chaos.append(fault)

    def audited(self, verdict: str) -> None:
        """Note what the verifier says of this agent's audit file."""
        self._audit = verdict

    def to_json(self) -> dict[str, Any]:
        """Return the report; what is not known is null."""
        lost_s = sum(recovery.total_s for recovery in self._recoveries.values())
        total_s = self._last_t - (self._first_t or self._last_t)
        return {
            "steps": self._result.get("steps", self._steps),
            "digest": self._result.get("digest"),
            "state_digest": self._result.get("state_digest"),
            "bits": self._result.get("bits"),
            "world_sizes": self._world_sizes,
            "recoveries": [to_json(each) for each in self._recoveries.values()],
            "goodput": goodput(total_s, lost_s),
            "audit": self._audit,
            "chaos": self._chaos,
            "refused": self._refusals(),
        }

    def write(self, path: Path) -> None:
        """Put the report at `path`, whole or not at all.

        Raises:
            OSError: it cannot be written; a report that was there before still is.
        """
        text = json.dumps(self.to_json(), indent=2) + "\n"
        target = path.resolve()
        if (
            target.exists() and not target.is_file()
        ):  # /dev/stdout: nothing to put a file in place of
            target.write_text(text)
            return
        _replace(target, text)

    def _committed(self, message: Committed) -> None:
        if self._first_t is None:
            self._first_t = message.t
        self._steps = max(self._steps, message.step)
        self._last_t = max(self._last_t, message.t)

    def _refuse(self, pid: int, door: str, reason: str, count: int) -> None:
        key = (pid, door, reason)
        self._refused[key] = max(count, self._refused.get(key, 0))

    def _refusals(self) -> dict[str, int]:
        """Return how many were refused at the doors of this host, by door and reason."""
        total: dict[str, int] = {}
        for (_, door, reason), count in sorted(self._refused.items()):
            total[f"{door}: {reason}"] = total.get(f"{door}: {reason}", 0) + count
        return total

    def _recovered(self, recovery: Recovery | None) -> None:
        """Keep the slowest account: each worker here tells of the same recovery."""
        if recovery is None:
            return
        key = (recovery.step, recovery.cause)
        known = self._recoveries.get(key)
        if known is None or recovery.total_s > known.total_s:
            self._recoveries[key] = recovery


def _replace(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
