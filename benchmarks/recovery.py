"""From SIGKILL of a worker to the next committed step, by the killer's clock.

    python benchmarks/recovery.py [--kills 20] [--workers 4]

The job is examples/digits.py on one host. The time is taken from just before `kill` to the moment
this process sees the first step of the new generation, less one undisturbed step (their median).
Before the next kill a newcomer has taken the place of the dead.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from jobs import Job, running
from rich.console import Console
from rich.progress import track
from rich.table import Table

DIGITS = Path(__file__).parent.parent / "examples" / "digits.py"
STEADY_STEPS = 30


def main() -> None:
    """Kill, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    flags = (f"--max-restarts={args.kills + 1}",)
    with running(args.workers, DIGITS, "1000000", flags=flags) as job:
        events = job.events()
        found = [
            one_kill(job, events, args.workers, chance)
            for _ in track(range(args.kills), description="killing", console=Console(stderr=True))
        ]
    show(found, args.workers)


def one_kill(job: Job, events: Any, workers: int, chance: random.Random) -> dict[str, float]:
    """Return the time of one recovery with its phases as the workers saw them."""
    pace = steady(job, events, workers)
    rank = chance.randrange(workers)
    before = job.generation
    start = time.monotonic()
    os.kill(job.pids[rank], signal.SIGKILL)
    seen, phases = 0.0, {}
    for event in events:
        if event["event"] == "step" and event["generation"] > before and not seen:
            seen = event["seen"] - start
        if event["event"] == "recovery":
            phases = {name: event[name] for name in event if name.endswith("_s")}
        if seen and phases:
            return {"excess_s": seen - pace, "step_s": pace, "rank": rank, **phases}
    raise RuntimeError("the job ended")


def steady(job: Job, events: Any, workers: int) -> float:
    """Wait until all workers train, and return the median time of a step."""
    times: list[float] = []
    for event in events:
        if len(job.pids) < workers or event["event"] == "sync":
            times = []
        elif event["event"] == "step":
            times.append(event["seen"])
        if len(times) > STEADY_STEPS:
            return statistics.median(b - a for a, b in pairwise(times))
    raise RuntimeError("the job ended")


def show(found: list[dict[str, float]], workers: int) -> None:
    """Print the table."""
    table = Table(title=f"SIGKILL of one of {workers} workers to the next committed step, ms")
    names = ["excess_s", "detect_s", "rendezvous_s", "sync_s", "first_step_s", "step_s"]
    for column in ("", "median", "95 %", "max"):
        table.add_column(column, justify="right")
    for name in names:
        values = sorted(run[name] * 1000 for run in found)
        high = values[min(len(values) - 1, int(0.95 * len(values)))]
        cells = (statistics.median(values), high, values[-1])
        table.add_row(name.removesuffix("_s"), *(f"{value:.1f}" for value in cells))
    Console().print(table)
    Console().print(f"{len(found)} kills, ranks {[int(run['rank']) for run in found]}")


if __name__ == "__main__":
    main()
