"""How `elastic-run status` looks: a headline, the members, stragglers, the last events."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from elastic.agent.board import Snapshot, WorkerView
from elastic.agent.status import GONE, WAITING, JobView
from elastic.rendezvous.record import DONE, FAILED

__all__ = ["brief_event", "headline", "view"]

_COLORS = {DONE: "green", FAILED: "red", "running": "green", WAITING: "yellow", GONE: "red"}
_SAID_ELSEWHERE = {"t", "event", "host", "worker", "local_rank", "world_size", "generation", "pid"}
_MAX_ROWS = 64


def view(job: JobView, note: str = "") -> RenderableType:
    """Return what is shown; `note` is a warning above all."""
    first, *rest = headline(job)
    parts: list[RenderableType] = [Text(note, "red")] if note else []
    parts += [Text(first, _COLORS[job.status]), *map(Text, rest)]
    if job.members:
        parts.append(_members(job))
        more = len(job.members) - _MAX_ROWS
        parts += [Text(f"… and {more} more")] if more > 0 else []
    parts += [Text(f"straggler: {why}", "yellow") for why in job.stragglers.values()]
    parts += [Text(f"agent {address}: {why}", "yellow") for address, why in _silent(job)]
    if job.news:
        parts += [Text("last events", "bold"), *(Text(brief_event(each)) for each in job.news)]
    return Group(*parts)


def headline(job: JobView) -> list[str]:
    """Return the lines that say how the job stands."""
    record = job.record
    hosts = len({member.agent.rpartition(":")[0] for member in job.members})
    first = f"job {job.job}: {job.status}"
    if record is not None and not job.is_over:
        first += f", generation {record.generation}: {_count(len(record.ids), 'worker')}"
        first += f", {_count(hosts, 'host')}"
    lines = [first]
    if record is not None and job.status == DONE:
        result = record.result or {}
        lines.append(f"{result.get('steps')} steps, digest {result.get('digest')}")
    elif job.status == GONE:
        lines.append("no agent of it is there: started again, it goes on from its checkpoint")
    elif record is not None and record.cause:
        lines.append(record.cause if job.status == FAILED else f"because: {record.cause}")
    if job.snapshots and not job.is_over:
        lines.append(_pace(job.snapshots[0]))
    return lines


def _pace(now: Snapshot) -> str:
    parts = [f"step {now.step}" + (f" of {now.total_steps}" if now.total_steps else "")]
    if now.steps_per_s is not None:
        parts.append(f"{now.steps_per_s:.3g} steps/s")
        if now.total_steps and now.steps_per_s > 0:
            parts.append(f"{_duration((now.total_steps - now.step) / now.steps_per_s)} to go")
    parts += [f"{name} {_number(value)}" for name, value in now.metrics.items()]
    parts.append(f"goodput {now.goodput:.1%}")
    if now.last_recovery:
        total_s = now.last_recovery["total_s"]
        parts.append(f"last recovery {total_s:.3g} s at step {now.last_recovery['step']}")
    if now.step_age_s is not None and now.step_age_s > 5:
        parts.append(f"no step for {_duration(now.step_age_s)}")
    return "  ".join(parts)


def _members(job: JobView) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rank", "host", "pid", "member", "step", "ms/step", "leaves", "reduce", "update"):
        table.add_column(name, justify="left" if name in ("host", "member") else "right")
    known = {view.id: (each, view) for each in job.snapshots for view in each.workers}
    for rank, member in job.ranked[:_MAX_ROWS]:
        snapshot, worker = known.get(member.id, (None, None))
        host = snapshot.host if snapshot else member.agent.rpartition(":")[0]
        table.add_row("waits" if rank is None else str(rank), host, *_cells(member.id, worker))
    return table


def _cells(id: str, worker: WorkerView | None) -> list[str]:
    if worker is None:
        return ["", id]
    times = (worker.step_s, worker.compute_s, worker.reduce_s, worker.update_s)
    shown = [f"{each * 1000:.1f}" if worker.step_s else "" for each in times]
    return [str(worker.pid), id, str(worker.step), *shown]


def _silent(job: JobView) -> list[tuple[str, str]]:
    silent = [(address, said) for address, said in job.agents.items() if isinstance(said, str)]
    if silent and not job.token_fits:
        why = "the token given is not this job's: give --token-file or set ELASTIC_TOKEN"
        return [(", ".join(address for address, _ in silent), why)]
    return silent


def brief_event(event: dict[str, Any]) -> str:
    """Return one event in a line."""
    clock = time.strftime("%H:%M:%S", time.localtime(event["t"]))
    said = [f"{k}={_number(v)}" for k, v in event.items() if k not in _SAID_ELSEWHERE]
    text = " ".join(said).replace("\n", " ")
    return f"{clock} {event['host']} {event['event']} {text}"[:200]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
