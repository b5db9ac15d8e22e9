"""A run in one JSON file: what was trained, on how many workers, and what the losses cost."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from elastic.telemetry.recovery import Recovery, goodput
from elastic.wire import from_json, to_json

__all__ = ["RunReport", "recovery_in", "write_report"]


def recovery_in(fields: dict[str, Any]) -> Recovery | None:
    """Return the recovery that a worker's event tells of, among others of its fields.

    None if it tells of none: a worker of another version, whose words stand in the event log.
    """
    known = {name: fields[name] for name in Recovery.__dataclass_fields__ if name in fields}
    try:
        return from_json(Recovery, known)
    except ValueError:
        return None


class RunReport:
    """Collects what the report needs. Times `t` are on CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self._started_t: float | None = None
        self._world_sizes: list[int] = []
        self._recoveries: dict[tuple[int, str], Recovery] = {}

    def grouped(self, world_size: int, t: float) -> None:
        """Note a new generation; with the first one the run begins."""
        if self._started_t is None:
            self._started_t = t
        self._world_sizes.append(world_size)

    def recovered(self, recovery: Recovery) -> bool:
        """Note a recovery, and return whether it is news.

        Each worker of this agent tells of the same one; the slowest account is kept.
        """
        key = (recovery.step, recovery.cause)
        known = self._recoveries.get(key)
        if known is None or recovery.total_s > known.total_s:
            self._recoveries[key] = recovery
        return known is None

    def summary(
        self, result: dict[str, Any] | None, step: int, audit: str | None, t: float
    ) -> dict[str, Any]:
        """Return the report; what is not known is null.

        `result` is the job's, if it is done; else `step` is how far this agent's workers came.
        `audit` is the verifier's verdict, if there is one.
        """
        done = result or {}
        total_s = 0.0 if self._started_t is None else t - self._started_t
        lost_s = sum(recovery.total_s for recovery in self._recoveries.values())
        return {
            "steps": done.get("steps", step),
            "digest": done.get("digest"),
            "state_digest": done.get("state_digest"),
            "world_sizes": list(self._world_sizes),
            "recoveries": [to_json(recovery) for recovery in self._recoveries.values()],
            "goodput": goodput(total_s, lost_s),
            "audit": audit,
        }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Put the report at `path`, whole or not at all.

    Raises:
        OSError: it cannot be written; a report that was there before still is.
    """
    text = json.dumps(report, indent=2) + "\n"
    if path.exists() and not path.is_file():  # /dev/stdout, say: nothing to be replaced
        path.write_text(text)
    else:
        _replace(path.resolve(), text)


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
