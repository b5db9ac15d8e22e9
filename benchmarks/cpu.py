"""The same jobs on PyTorch and on ours, in processes that take turns: time, ratio, peak memory.

    python benchmarks/cpu.py [JOB …] [--rounds 5] [--threads 1]

Every round runs each job once on each side, in a process of its own: ours, PyTorch with its
defaults, PyTorch with its best settings. A side's time is the median of its rounds' median steps.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SIDES = ("ours", "torch", "torch best")
SECONDS, STEPS = 1.5, 3
"""How long a process measures, and how many steps at least."""


def arguments() -> argparse.Namespace:
    """What is asked for."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.models import JOBS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)} (all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every side (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of either library (1)")
    parser.add_argument("--side", choices=SIDES, help="measure one side here, print JSON")
    asked = parser.parse_args()
    if set(asked.jobs) - set(JOBS):
        parser.error(f"no such job: {', '.join(set(asked.jobs) - set(JOBS))}")
    asked.jobs = asked.jobs or list(JOBS)
    return asked


def library(side: str, threads: int) -> Any:
    """The module that a side calls torch."""
    if side == "ours":
        import elastic.tensor as torch
    else:
        import torch

        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
    torch.manual_seed(0)
    return torch


def measure(job: str, side: str, threads: int) -> dict[str, float]:
    """Median seconds of a step and the peak memory of this process, in bytes."""
    from benchmarks.models import JOBS

    step = JOBS[job](library(side, threads), side == "torch best")
    for _ in range(STEPS):
        step()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < STEPS:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(times), "bytes": peak}


def measured_elsewhere(job: str, side: str, threads: int) -> dict[str, float]:
    """The same, from a process of its own."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    limits["PYTHONPATH"] = str(ROOT)
    if side == "torch best":  # no page faults for every big buffer
        limits |= {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
    command = [sys.executable, __file__, job, "--side", side, "--threads", str(threads)]
    done = subprocess.run(
        command, env=os.environ | limits, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{job} on {side}:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print the table."""
    asked = arguments()
    if asked.side:
        print(json.dumps(measure(asked.jobs[0], asked.side, asked.threads)))
        return
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    turns = [(job, side) for job in asked.jobs for _ in range(asked.rounds) for side in SIDES]
    found: dict[tuple[str, str], list[dict]] = {}
    for job, side in track(turns, "measuring", disable=not sys.stderr.isatty()):
        found.setdefault((job, side), []).append(measured_elsewhere(job, side, asked.threads))
    columns = ("ours, ms", "torch, ms", "best, ms", "speed: torch / ours", "best / ours")
    table = Table("job", *columns, "memory: ours / torch", title=f"{asked.threads} threads")
    for job in asked.jobs:
        table.add_row(job, *row([found[job, side] for side in SIDES]))
    Console(width=120).print(table)


def row(sides: list[list[dict]]) -> list[str]:
    """One line of the table."""
    ours, plain, best = (statistics.median(each["seconds"] for each in side) for side in sides)
    memory = [statistics.median(each["bytes"] for each in side) for side in sides]
    figures = [f"{1000 * each:.3g}" for each in (ours, plain, best)]
    return [*figures, f"{plain / ours:.2f}", f"{best / ours:.2f}", f"{memory[0] / memory[1]:.2f}"]


if __name__ == "__main__":
    main()
