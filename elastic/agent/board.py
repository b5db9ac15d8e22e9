"""What an agent knows of its run now: for its health port, `elastic-run status` and the live line.

The agent's main thread writes it as things happen; doors read it in threads of their own, so that
they answer also when the main thread does not.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from elastic.control import Committed, Group
from elastic.telemetry.events import plain
from elastic.telemetry.recovery import Recovery, goodput

__all__ = ["Board", "Snapshot", "WorkerView"]

STALL_S = 10.0
"""An agent whose loop has not turned for so long is not healthy; it turns every second."""
_RATE_S = 10.0
"""Steps per second are counted over so long."""
_SAMPLE_S = 0.25
_KEPT_EVENTS = 20
_KEPT_CHARS = 300
_ROUTINE = {"step", "timing", "straggler", "ready", "start", "sync", "rendezvous", "checkpoint"}
"""Events that are not news."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class WorkerView:
    """One living worker of this agent. Durations are means over a step of its last window."""

    id: str
    local_rank: int
    pid: int
    rank: int | None
    step: int = 0
    step_s: float = 0.0
    compute_s: float = 0.0
    reduce_s: float = 0.0
    update_s: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """An agent's view of its job at one moment."""

    job: str
    host: str
    state: str
    """starting, waiting (for more workers), training, leaving, done or failed."""
    healthy: bool
    generation: int = 0
    cause: str = ""
    """Why this generation was formed; of a failed job, why it failed."""
    world_size: int = 0
    step: int = 0
    total_steps: int | None = None
    steps_per_s: float | None = None
    step_age_s: float | None = None
    """Since the last committed step; None before the first."""
    metrics: dict[str, Any] = field(default_factory=dict)
    goodput: float = 1.0
    recoveries: int = 0
    last_recovery: dict[str, Any] | None = None
    restarts: int = 0
    workers: tuple[WorkerView, ...] = ()
    stragglers: dict[str, str] = field(default_factory=dict)
    """Rank to evidence."""
    events: tuple[dict[str, Any], ...] = ()
    """The last news, oldest first."""


class Board:
    """Kept by one agent. Times are CLOCK_MONOTONIC and come in, but those of events (`t`: wall)."""

    def __init__(self, job: str, host: str):
        self._lock = threading.Lock()
        self._now = Snapshot(job, host, "starting", True)
        self._workers: dict[int, WorkerView] = {}
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._samples: deque[tuple[float, int]] = deque()
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT_EVENTS)
        self._recoveries: dict[tuple[int, str], Recovery] = {}
        self._refused: dict[tuple[int, str, str], int] = {}
        """The count that each process told last, by door and reason."""
        self._stragglers: dict[int, dict[int, str]] = {}
        """What each worker here says of which rank."""
        self._first_t: float | None = None
        self._last_t = 0.0
        self._beat_t: float | None = None

    # -- the agent writes ----------------------------------------------------------------------

    def beat(self, t: float) -> None:
        """The agent's loop has turned."""
        self._beat_t = t

    def grouped(self, group: Group) -> None:
        """A new generation was told."""
        with self._lock:
            state = "waiting" if group.paused else "training"
            self._now = replace(
                self._now,
                state="leaving" if self._now.state == "leaving" else state,
                generation=group.generation,
                world_size=len(group.members),
                cause=group.cause,
            )
            self._stragglers.clear()  # ranks have changed

    def committed(self, message: Committed, local_rank: int) -> None:
        """A worker has applied a step."""
        with self._lock:
            view = self._workers.get(local_rank)
            if view is not None:
                self._workers[local_rank] = replace(view, step=message.step)
            if message.step <= self._now.step:
                return
            self._now = replace(self._now, step=message.step, metrics=message.metrics)
            self._first_t = message.t if self._first_t is None else self._first_t
            self._last_t = message.t
            self._count("steps", 1)
            self._sample(message.t, message.step)

    def recovered(self, recovery: Recovery) -> None:
        """A worker tells of a recovery: of several accounts the slowest counts."""
        with self._lock:
            key = (recovery.step, recovery.cause)
            known = self._recoveries.get(key)
            if known is None or recovery.total_s > known.total_s:
                self._recoveries[key] = recovery

    def event(self, name: str, t: float, fields: Mapping[str, Any]) -> None:
        """Something was written to the event log, or would have been."""
        with self._lock:
            self._count("events", 1, event=name)
            handler = getattr(self, f"_on_{name.replace('-', '_')}", None)
            if handler is not None:
                handler(fields)
            if name not in _ROUTINE:
                self._events.append({"t": t, "event": name, **_brief(fields)})

    # -- what events mean ----------------------------------------------------------------------

    def _on_start(self, fields: Mapping[str, Any]) -> None:
        self._seen(fields)
        self._count("worker_starts", 1)

    def _on_ready(self, fields: Mapping[str, Any]) -> None:
        self._seen(fields)

    def _on_sync(self, fields: Mapping[str, Any]) -> None:
        self._seen(fields)
        self._now = replace(self._now, total_steps=fields.get("total_steps"))

    def _on_exit(self, fields: Mapping[str, Any]) -> None:
        self._workers.pop(fields["local_rank"], None)
        self._count("worker_exits", 1, how=str(fields.get("how", "")))

    def _on_restart(self, fields: Mapping[str, Any]) -> None:
        self._now = replace(self._now, restarts=self._now.restarts + 1)

    def _on_leave_asked(self, fields: Mapping[str, Any]) -> None:
        self._now = replace(self._now, state="leaving")

    def _on_over(self, fields: Mapping[str, Any]) -> None:
        self._now = replace(self._now, state=fields["status"], cause=fields["cause"])

    def _on_refused(self, fields: Mapping[str, Any]) -> None:
        pid, door, reason, count = (fields[name] for name in ("pid", "door", "reason", "count"))
        before = self._refused.get((pid, door, reason), 0)
        self._refused[pid, door, reason] = count
        self._count("refused", count - before, door=door, reason=reason)

    def _on_straggler(self, fields: Mapping[str, Any]) -> None:
        said = self._stragglers.setdefault(fields["local_rank"], {})
        said[fields["accused_rank"]] = fields["text"]

    def _on_timing(self, fields: Mapping[str, Any]) -> None:
        self._seen(fields)
        who = {"local_rank": str(fields["local_rank"])}
        for phase in ("compute", "reduce", "update"):
            self._count("step_phase_seconds", fields[f"{phase}_s"], phase=phase, **who)
        for name, cost in fields["collectives"].items():
            where = who | {"collective": name}
            self._count("collective_rounds", cost["rounds"], **where)
            self._count("collective_seconds", cost["seconds"], **where)
            self._count("collective_wait_seconds", cost["waited_s"], **where)
            self._count("collective_sent_bytes", cost["sent_bytes"], **where)
            self._count("collective_received_bytes", cost["received_bytes"], **where)
        for pace in fields["paces"]:
            self._count("late_seconds", pace["late_s"], rank=str(pace["rank"]), **who)
        self._mean(fields)

    def _mean(self, fields: Mapping[str, Any]) -> None:
        steps, local_rank = fields["steps"], fields["local_rank"]
        if steps:
            self._stragglers.pop(local_rank, None)  # whoever still is one is told after this
            view = self._workers[local_rank]
            means = {f"{p}_s": fields[f"{p}_s"] / steps for p in ("compute", "reduce", "update")}
            view = replace(view, step_s=fields["seconds"] / steps, **means)
            self._workers[local_rank] = view

    def _seen(self, fields: Mapping[str, Any]) -> None:
        local_rank = fields["local_rank"]
        known = self._workers.get(local_rank)
        view = WorkerView(fields["worker"], local_rank, fields["pid"], fields["rank"])
        if known is not None and known.pid == view.pid:
            view = replace(known, id=view.id, rank=view.rank)
        self._workers[local_rank] = view

    def _count(self, name: str, amount: float, **labels: str) -> None:
        self._counts[name, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]

    def _sample(self, t: float, step: int) -> None:
        if self._samples and t - self._samples[-1][0] < _SAMPLE_S:
            return
        self._samples.append((t, step))
        while len(self._samples) > 2 and t - self._samples[0][0] > _RATE_S:
            self._samples.popleft()

    # -- doors read ----------------------------------------------------------------------------

    def snapshot(self, now: float) -> Snapshot:
        """Return how it stands."""
        with self._lock:
            lost_s = sum(recovery.total_s for recovery in self._recoveries.values())
            last = next(reversed(self._recoveries.values()), None)
            alive = self._beat_t is None or now - self._beat_t < STALL_S
            return replace(
                self._now,
                healthy=alive and self._now.state != "failed",
                steps_per_s=self._rate(now),
                step_age_s=None if self._first_t is None else max(0.0, now - self._last_t),
                goodput=goodput(self._last_t - (self._first_t or self._last_t), lost_s),
                recoveries=len(self._recoveries),
                last_recovery=None if last is None else plain(vars(last)),
                workers=tuple(self._workers[rank] for rank in sorted(self._workers)),
                stragglers={
                    str(rank): text
                    for said in self._stragglers.values()
                    for rank, text in said.items()
                },
                events=tuple(self._events),
            )

    def _rate(self, now: float) -> float | None:
        """Steps per second of late: it sinks while no step comes."""
        if not self._samples:
            return None
        (first_t, first), (last_t, last) = self._samples[0], (self._last_t, self._now.step)
        until = now if now - last_t > _RATE_S else last_t
        return (last - first) / (until - first_t) if until > first_t else None

    def counts(self) -> dict[tuple[str, Labels], float]:
        """Return the counters, by name and labels."""
        with self._lock:
            return dict(self._counts)

    def recoveries(self) -> tuple[Recovery, ...]:
        """Return the recoveries so far."""
        with self._lock:
            return tuple(self._recoveries.values())


def _brief(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields for people: no long lists, no traceback of a screen."""
    brief = {}
    for name, value in fields.items():
        text = value if isinstance(value, str) else plain(value)
        brief[name] = text[:_KEPT_CHARS] if isinstance(text, str) else text
    return {name: value for name, value in brief.items() if value not in (None, "", [], ())}
