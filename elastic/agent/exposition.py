"""What is on the board, as Prometheus metrics in its text format.

Counters and gauges are made at the scrape, from what the board has anyway: a run that nobody
scrapes pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from elastic import __version__
from elastic.agent.board import Board, Snapshot
from elastic.clock import monotonic
from elastic.telemetry.recovery import Recovery

__all__ = ["CONTENT_TYPE", "METRICS", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_PHASES = ("detect", "rendezvous", "sync", "first_step")


@dataclass(frozen=True)
class _Metric:
    """One metric family: what it is to Prometheus, its labels, what it tells."""

    kind: str
    labels: tuple[str, ...]
    help: str


_WHERE = ("collective", "local_rank")
METRICS: dict[str, _Metric] = {
    "elastic_info": _Metric("gauge", ("job", "host", "version"), "Always 1; says who this is."),
    "elastic_up": _Metric("gauge", (), "1 if the agent is healthy, as /healthz says."),
    "elastic_state": _Metric("gauge", ("state",), "1 for the state that the agent is in."),
    "elastic_generation": _Metric("gauge", (), "Number of the group's generation."),
    "elastic_world_size": _Metric("gauge", (), "Workers in the group."),
    "elastic_local_workers": _Metric("gauge", (), "Living workers of this agent."),
    "elastic_step": _Metric("gauge", (), "The last committed step."),
    "elastic_step_age_seconds": _Metric("gauge", (), "Since the last committed step."),
    "elastic_training_metric": _Metric("gauge", ("name",), "The last step's loss and metrics."),
    "elastic_goodput_ratio": _Metric("gauge", (), "Share of the time not lost to recoveries."),
    "elastic_straggler": _Metric("gauge", ("rank",), "1 for a rank that holds the others up."),
    "elastic_recovery_seconds": _Metric("histogram", (), "Recoveries, from first sign to step."),
    "elastic_recovery_phase_seconds": _Metric(
        "counter", ("phase",), "Time lost to recoveries, by phase."
    ),
    "elastic_steps": _Metric("counter", (), "Steps committed while this agent was in the job."),
    "elastic_worker_starts": _Metric("counter", (), "Workers that this agent has started."),
    "elastic_worker_exits": _Metric("counter", ("how",), "Workers of this agent that ended."),
    "elastic_refused": _Metric(
        "counter", ("door", "reason"), "Callers refused here, told at the 1st, 2nd, 4th, 8th, …"
    ),
    "elastic_events": _Metric("counter", ("event",), "Events, as in --events."),
    "elastic_late_seconds": _Metric(
        "counter", ("rank", "local_rank"), "How long a worker here waited for that rank alone."
    ),
    "elastic_step_phase_seconds": _Metric(
        "counter", ("phase", "local_rank"), "Workers' time in leaves, reductions and updates."
    ),
    "elastic_collective_rounds": _Metric("counter", _WHERE, "Rounds of each collective."),
    "elastic_collective_seconds": _Metric("counter", _WHERE, "Time in each collective."),
    "elastic_collective_wait_seconds": _Metric(
        "counter", _WHERE, "Of that time, until the last message had come."
    ),
    "elastic_collective_sent_bytes": _Metric("counter", _WHERE, "Bytes handed over."),
    "elastic_collective_received_bytes": _Metric("counter", _WHERE, "Bytes taken."),
}
"""All metrics; a counter's samples end in `_total`."""


def exposition(board: Board) -> bytes:
    """Return the metrics now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(board))
    return generate_latest(registry)


class _BoardCollector(Collector):
    """Makes the families of one scrape."""

    def __init__(self, board: Board):
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Yield each family that has a sample."""
        gauges = _gauges(self._board.snapshot(monotonic()))
        counts = self._board.counts()
        recoveries = self._board.recoveries()
        yield _histogram(recoveries)
        for name, what in METRICS.items():
            if what.kind == "gauge":
                yield _gauge(name, what, gauges.get(name, ()))
            elif name == "elastic_recovery_phase_seconds":
                yield _phases(name, what, recoveries)
            elif what.kind == "counter":
                yield _counter(name, what, counts)


_Samples = list[tuple[tuple[str, ...], float]]


def _gauges(now: Snapshot) -> dict[str, _Samples]:
    one: dict[str, Any] = {
        "elastic_up": now.healthy,
        "elastic_generation": now.generation,
        "elastic_world_size": now.world_size,
        "elastic_local_workers": len(now.workers),
        "elastic_step": now.step,
        "elastic_step_age_seconds": now.step_age_s,
        "elastic_goodput_ratio": now.goodput,
    }
    gauges: dict[str, _Samples] = {
        name: [((), float(value))] for name, value in one.items() if value is not None
    }
    gauges["elastic_info"] = [((now.job, now.host, __version__), 1.0)]
    gauges["elastic_state"] = [((now.state,), 1.0)]
    gauges["elastic_straggler"] = [((rank,), 1.0) for rank in now.stragglers]
    gauges["elastic_training_metric"] = [
        ((name,), float(value)) for name, value in now.metrics.items()
    ]
    return gauges


def _gauge(name: str, what: _Metric, samples: Any) -> Metric:
    family = GaugeMetricFamily(name, what.help, labels=what.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _counter(name: str, what: _Metric, counts: dict[Any, float]) -> Metric:
    family = CounterMetricFamily(name, what.help, labels=what.labels)
    for (counted, labels), value in counts.items():
        if "elastic_" + counted == name:
            values = dict(labels)
            family.add_metric([values[label] for label in what.labels], value)
    return family


def _phases(name: str, what: _Metric, recoveries: tuple[Recovery, ...]) -> Metric:
    family = CounterMetricFamily(name, what.help, labels=what.labels)
    for phase in _PHASES:
        total_s = sum(getattr(recovery, f"{phase}_s") for recovery in recoveries)
        family.add_metric([phase], total_s)
    return family


def _histogram(recoveries: tuple[Recovery, ...]) -> Metric:
    name = "elastic_recovery_seconds"
    family = HistogramMetricFamily(name, METRICS[name].help)
    totals = [recovery.total_s for recovery in recoveries]
    buckets = [(str(le), float(sum(t <= le for t in totals))) for le in _BUCKETS_S]
    family.add_metric([], [*buckets, ("+Inf", float(len(totals)))], sum_value=sum(totals))
    return family
