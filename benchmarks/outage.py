"""etcd killed for half a minute: what the steps notice, and how soon a change is made afterwards.

    python benchmarks/outage.py [--down 30] [--runs 5]

Four workers on this host; in the midst of the outage one is killed with SIGKILL. Times are by the
killer's clock: the longest gap between two committed steps from the store's end to the kill, less
one undisturbed step, and from the store's return to the first step of the group without the dead.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from itertools import pairwise

from recovery import next_step, steady
from rich.console import Console
from rich.progress import track
from rich.table import Table
from systems import Ours


def outage(down_s: float) -> tuple[float, float, float]:
    """Seconds of the longest gap, of a steady step, and from the store's return to a step."""
    with Ours(1, 4) as system:
        system.allow()
        lines = system.steps()
        pace, last = steady(lines, system.size)
        system.etcd.kill()
        end = time.monotonic() + down_s
        times: dict[int, float] = {}
        for line in lines:
            times.setdefault(line["step"], line["seen"])
            if line["seen"] > end:
                break
        gap = max(b - a for a, b in pairwise(sorted(times.values())))
        os.kill(last[0]["pid"], signal.SIGKILL)
        system.etcd.start()
        back = time.monotonic()
        return gap, pace, next_step(lines, last) - back


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--down", type=float, default=30.0, help="seconds without a store (30)")
    parser.add_argument("--runs", type=int, default=5, help="outages (5)")
    args = parser.parse_args()
    runs = [outage(args.down) for _ in track(range(args.runs), console=Console(stderr=True))]
    table = Table(title=f"etcd down for {args.down:g} s, four workers, {args.runs} times")
    for column in ("", "median s", "max s"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in {
        "longest gap between steps, less one step": [gap - pace for gap, pace, _ in runs],
        "etcd serves again to the step without the dead": [after for _, _, after in runs],
    }.items():
        table.add_row(name, f"{statistics.median(values):.3f}", f"{max(values):.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
