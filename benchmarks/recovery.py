"""From a fault to the next committed step, by the killer's clock: Elastic beside its peers.

    python benchmarks/recovery.py [FAULT …] [--kills 20] [--peer-kills 5] [--system NAME …]

The job is to learn scikit-learn's digits with four workers on this host. A time is taken from just
before the fault to the moment this process sees the first step committed by a group formed after
it, less one undisturbed step (their median). Of a node that is asked to leave it is the longest gap
between two steps from then on: nothing is lost meanwhile. Before the next fault all four are back.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from systems import (
    PATIENCE_S,
    Ours,
    OursOnHosts,
    System,
    Torchft,
    TorchftBest,
    Torchrun,
    TorchrunBest,
)

STEADY_STEPS = 30


def kill_worker(system: System, line: dict[str, Any], chance: random.Random) -> float:
    """SIGKILL one worker; return the time just before."""
    start = time.monotonic()
    os.kill(line["pid"], signal.SIGKILL)
    return start


def kill_node(system: System, line: dict[str, Any], chance: random.Random) -> float:
    """SIGKILL the last node, launcher and workers at once; return the time just before."""
    return system.kill(system.nodes - 1)


def leave(system: System, line: dict[str, Any], chance: random.Random) -> float:
    """SIGTERM the last node; return the time just before."""
    return system.leave(system.nodes - 1)


def vanish(system: OursOnHosts, line: dict[str, Any], chance: random.Random) -> float:
    """Let the last node be unreachable without a word; return the time just before."""
    return system.vanish(system.nodes - 1)


Lines = Iterator[dict[str, Any]]


def recovery(lines: Lines, before: list[dict[str, Any]], start: float) -> float:
    """From the fault to the first step of a group formed after `before`, in seconds."""
    formed = max(line["generation"] for line in before)
    return next(line["seen"] for line in lines if line["generation"] > formed) - start


def longest_gap(lines: Lines, before: list[dict[str, Any]], start: float) -> float:
    """The longest between two steps, until the first of a group formed after `before`."""
    formed = max(line["generation"] for line in before)
    step, last, longest = max(line["step"] for line in before), 0.0, 0.0
    for line in lines:
        if line["step"] > step:
            longest = max(longest, line["seen"] - last) if last else 0.0
            step, last = line["step"], line["seen"]
        if line["generation"] > formed and line["seen"] > start:
            return longest
    raise RuntimeError("the lines ended")


FAULTS: dict[str, tuple[str, int, Callable[..., float]]] = {
    "worker": ("SIGKILL of one of four workers", 1, kill_worker),
    "node": ("SIGKILL of one of two nodes, launcher and two workers", 2, kill_node),
    "leave": ("SIGTERM of one of two nodes", 2, leave),
    "unreachable": ("all packets of one of two nodes dropped", 2, vanish),
}
"""What is told of each fault, on how many nodes the four workers are, and how it is made."""
SYSTEMS = {
    "ours": Ours,
    "torchrun": Torchrun,
    "torchrun-best": TorchrunBest,
    "torchft": Torchft,
    "torchft-best": TorchftBest,
}


def main() -> None:
    """Make the faults, measure, print a table each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)} (all)")
    parser.add_argument("--kills", type=int, default=20, help="faults of Elastic (20)")
    parser.add_argument("--peer-kills", type=int, default=5, help="faults of each peer (5)")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="only this one (all)")
    parser.add_argument("--seed", type=int, default=0, help="chooses whom to kill (0)")
    args = parser.parse_args()
    unknown = set(args.faults) - set(FAULTS)
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    for fault in args.faults or FAULTS:
        rows = {}
        able = {"ours": OursOnHosts} if fault == "unreachable" else SYSTEMS
        for name in able.keys() & set(args.system) if args.system else able:
            kills = args.kills if name == "ours" else args.peer_kills
            rows[able[name].name] = measure(able[name], fault, kills, args.seed)
        show(FAULTS[fault][0], rows)


def measure(kind: type[System], fault: str, kills: int, seed: int) -> list[tuple[float, float]]:
    """The seconds without a step, and of a steady step, for each of so many faults.

    A system that does not recover in time gets infinity, and begins anew for the next fault.
    """
    _, nodes, _ = FAULTS[fault]
    chance = random.Random(seed)
    found: list[tuple[float, float]] = []
    progress = Progress(console=Console(stderr=True))
    task = progress.add_task(f"{kind.name}, {fault}", total=kills)
    with progress:
        while len(found) < kills:
            begun = len(found)
            with kind(nodes, 4 // nodes) as system:
                try:
                    for times in faults(system, fault, kills - len(found), chance):
                        found.append(times)
                        progress.advance(task)
                except TimeoutError as error:  # it went on, but never to all four again
                    if len(found) == begun:
                        raise
                    print(error, file=sys.stderr)
    return found


def faults(
    system: System, fault: str, kills: int, chance: random.Random
) -> Iterator[tuple[float, float]]:
    """Make so many faults, or as many as the system survives."""
    _, _, make = FAULTS[fault]
    measured = longest_gap if fault == "leave" else recovery
    lines = system.steps()
    for _ in range(kills):
        system.allow()
        pace, last = steady(lines, system.size)
        start = make(system, chance.choice(last), chance)
        system.allow()
        try:
            yield measured(lines, last, start), pace
        except TimeoutError as error:
            print(error, file=sys.stderr)
            yield math.inf, pace
            return
        system.complete()


def steady(lines: Lines, size: int) -> tuple[float, list[dict[str, Any]]]:
    """Wait until all train; return the median seconds of a step, and a line of each worker."""
    times: dict[int, float] = {}
    members: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["world"] != size:
            times, members = {}, {}
            continue
        members[line["pid"]] = line
        times.setdefault(line["step"], line["seen"])
        if len(times) > STEADY_STEPS and len(members) >= size:
            ticks = sorted(times.values())
            newest = max(line["generation"] for line in members.values())
            present = [each for each in members.values() if each["step"] > max(times) - 20]
            if len(present) == size and newest:
                return statistics.median(b - a for a, b in pairwise(ticks)), present
    raise RuntimeError("the lines ended")


def show(title: str, rows: dict[str, list[tuple[float, float]]]) -> None:
    """Print the table."""
    table = Table(title=f"{title}: seconds without a step, less one step")
    for column in ("", "faults", "median s", "95 % s", "max s", "a step ms", "times ours"):
        table.add_column(column, justify="right" if column else "left")
    base = 0.0
    for name, found in rows.items():
        excess = sorted(total - pace for total, pace in found)
        middle = statistics.median(excess)
        base = base or middle
        high = excess[min(len(excess) - 1, int(0.95 * len(excess)))]
        pace = statistics.median(pace for _, pace in found) * 1000
        cells = [told(value) for value in (middle, high, excess[-1])]
        table.add_row(name, str(len(found)), *cells, f"{pace:.1f}", f"{middle / base:.1f}")
    Console(width=100).print(table)


def told(seconds: float) -> str:
    """Seconds for the table."""
    return f"{seconds:.3f}" if seconds < math.inf else f"> {PATIENCE_S:g}"


if __name__ == "__main__":
    main()
