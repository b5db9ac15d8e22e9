"""What a newcomer costs those who train: the longest gap between committed steps while it joins.

    python benchmarks/join.py [--parameters 50_000_000] [--runs 5]

One worker trains, another joins, each with an agent of its own on this host. The time of a gap is
taken from the committed steps' own clock, less the median step of as many workers; beside it
stands one copy of State in memory, into pages that are there, measured just before.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jobs import Job
from rich.console import Console
from rich.progress import track
from rich.table import Table

from elastic.agent.embedded_etcd import EmbeddedEtcd

Commits = dict[int, tuple[float, int]]
"""When each step was first committed, and by how many workers."""
STEADY_STEPS = 8
TIMEOUT_S = 240.0


def job(parameters: int, micro_batches: int) -> None:
    """The script that the workers run: one wide layer, momentum of the same size."""
    import elastic
    import elastic.tensor as torch
    from elastic.data import DataLoader, TensorDataset
    from elastic.tensor import nn, optim

    torch.manual_seed(0)
    width = int(parameters**0.5)
    model = nn.Linear(width, width, bias=False)
    data = TensorDataset(torch.randn(64, width), torch.randn(64, width))
    loader = DataLoader(data, batch_size=16, micro_batches=micro_batches, seed=0)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    state = elastic.State(model=model, optimizer=optimizer, loader=loader)

    def train_step(state: elastic.State, batch: Any) -> Any:
        inputs, targets = batch
        return ((state.model(inputs) - targets) ** 2).mean()

    elastic.train(state, train_step, steps=1_000_000)


@dataclass(frozen=True)
class Run:
    """One join. Units: seconds."""

    copy: float
    alone: float
    """The median step of the one that trains, before the newcomer is ready."""
    together: float
    lending: float
    """The longest gap from the newcomer's readiness to the last step without it."""
    handover: float
    """The gap between the last step without it and the first with it."""
    waiting: float
    """From the newcomer's readiness to its first step."""
    copying: float
    """So long the one that trains stood still for its State to be copied."""
    turning: float
    """So long it stood still between its last step alone and its first together."""

    @property
    def excess(self) -> float:
        """The longest gap less a median step: of one worker, or of two if that is longer."""
        return max(self.lending - self.alone, self.handover - max(self.alone, self.together))


def main() -> None:
    """Join, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parameters", type=int, default=50_000_000)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        job(args.parameters, args.micro_batches)
        return
    sizes = [f"--parameters={args.parameters}", f"--micro-batches={args.micro_batches}"]
    runs = [
        one_join(args.parameters, sizes)
        for _ in track(range(args.runs), description="joining", console=Console(stderr=True))
    ]
    show(runs, args.parameters)


def one_join(parameters: int, sizes: list[str]) -> Run:
    """Return the times of one join."""
    copy = memory_copy(2 * 4 * parameters)
    with ExitStack() as stack:
        etcd = EmbeddedEtcd()
        endpoint = etcd.start()
        stack.callback(etcd.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        commits: Commits = {}
        pauses: dict[str, float] = {}
        first = start(stack, folder / "first", endpoint, sizes)
        follow(first, commits, pauses, lambda: len(commits) > STEADY_STEPS)
        second = start(stack, folder / "second", endpoint, sizes)
        ready = follow(second, {}, {}, lambda: False, until="ready")
        together = lambda: sum(size == 2 for _, size in commits.values())  # noqa: E731
        follow(first, commits, pauses, lambda: together() > STEADY_STEPS)
    return measured(copy, ready, commits, pauses)


def start(stack: ExitStack, folder: Path, endpoint: str, sizes: list[str]) -> Job:
    """Start an agent with one worker; the stack ends it."""
    folder.mkdir()
    command = [sys.executable, "-m", "elastic.agent", f"--rdzv-endpoint={endpoint}"]
    command += ["--rdzv-id=join", "--nproc-per-node=1", f"--events={folder / 'events'}"]
    output = stack.enter_context((folder / "output").open("wb"))
    process = subprocess.Popen(
        [*command, __file__, "--worker", *sizes], stdout=output, stderr=subprocess.STDOUT
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return Job(process, folder / "events")


def follow(
    job: Job,
    commits: Commits,
    pauses: dict[str, float],
    enough: Callable[[], bool],
    until: str = "",
) -> float:
    """Note the first commit of each step, and pauses; return the time of the last event."""
    deadline = time.monotonic() + TIMEOUT_S
    for event in events(job, deadline):
        if "pause_s" in event:
            pauses[event["event"]] = event["pause_s"]
        if event["event"] == "step":
            commits.setdefault(event["step"], (event["t"], event["world_size"]))
        if event["event"] == until or enough():
            return event["t"]
    raise RuntimeError("the job ended")


def events(job: Job, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield the events of a job until the deadline."""
    for event in job.events():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no newcomer in {TIMEOUT_S:g} s")
        yield event


def measured(copy: float, ready: float, commits: Commits, pauses: dict[str, float]) -> Run:
    """Return the gaps between committed steps, before and after the newcomer is in."""
    steps = sorted(commits)
    gaps = [(commits[a][0], commits[b][0], commits[b][1]) for a, b in pairwise(steps)]
    alone = [b - a for a, b, size in gaps if size == 1 and b < ready]
    together = [b - a for a, b, size in gaps if size == 2]
    lending = [b - a for a, b, size in gaps if size == 1 and b > ready]
    joined = min(t for t, size in commits.values() if size == 2)
    return Run(
        copy,
        statistics.median(alone),
        statistics.median(together[1:]),
        max(lending),
        together[0],
        joined - ready,
        pauses["lend"],
        pauses["turn"],
    )


def memory_copy(nbytes: int) -> float:
    """Return the median time of a copy of so many bytes into pages that are there."""
    source, target = np.ones(nbytes, np.uint8), np.ones(nbytes, np.uint8)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        target[:] = source
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def show(runs: list[Run], parameters: int) -> None:
    """Print the table."""
    table = Table(title=f"A newcomer takes {8 * parameters / 1e6:.0f} MB of State, ms")
    for column in ("", "median", "max"):
        table.add_column(column, justify="right")
    rows = {
        "one copy of State": [run.copy for run in runs],
        "median step, one worker": [run.alone for run in runs],
        "median step, two workers": [run.together for run in runs],
        "longest gap while State is lent": [run.lending for run in runs],
        "gap of the hand-over": [run.handover for run in runs],
        "longest gap less a median step": [run.excess for run in runs],
        "of these, standing still to copy": [run.copying for run in runs],
        "of these, standing still to turn": [run.turning for run in runs],
        "from ready to its first step": [run.waiting for run in runs],
    }
    for name, values in rows.items():
        table.add_row(name, f"{statistics.median(values) * 1e3:.0f}", f"{max(values) * 1e3:.0f}")
    Console().print(table)
    ratios = sorted(run.excess / run.copy for run in runs)
    text = " ".join(f"{ratio:.1f}" for ratio in ratios)
    Console().print(f"excess in copies of State: median {statistics.median(ratios):.1f} ({text})")


if __name__ == "__main__":
    main()
