"""Run many seeds: whole jobs in virtual time under faults.

python -m elastic.testing.simulation --seeds 0:500
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from elastic.testing.cluster import Failed, Simulation
from elastic.testing.scenario import Scenario, draw_scenario
from elastic.wire import from_json, to_json

__all__ = ["Outcome", "keep", "kept", "main", "run_many", "simulate"]

CHUNK = 10


def simulate(scenario: Scenario | int) -> Simulation:
    """Run a scenario, or that of a seed, and return the simulation. Raises Failed."""
    simulation = Simulation(draw_scenario(scenario) if isinstance(scenario, int) else scenario)
    simulation.run()
    return simulation


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario; `failure` is empty if every promise held."""

    scenario: Scenario
    failure: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    trace: tuple[str, ...] = ()


def examine(scenario: Scenario | int, trace: bool = False) -> Outcome:
    """Run a scenario, or that of a seed, and return what came of it."""
    scenario = draw_scenario(scenario) if isinstance(scenario, int) else scenario
    try:
        simulation = simulate(scenario)
    except Failed as failure:
        return Outcome(scenario, str(failure))
    lines = tuple(simulation.around.trace) if trace else ()
    return Outcome(scenario, seen=_count(simulation), trace=lines)


def run_many(
    scenarios: list[Scenario] | range, jobs: int, trace: bool = False
) -> Iterator[Outcome]:
    """Yield the outcomes, in whatever order so many processes come to them."""
    act = partial(examine, trace=trace)
    if jobs == 1 or len(scenarios) <= CHUNK:
        yield from map(act, scenarios)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(act, scenarios, CHUNK)


def keep(path: Path, outcome: Outcome) -> None:
    """Add the scenario of a failure to a file, with its first line."""
    found = outcome.failure.splitlines()[0]
    line = json.dumps({"found": found, "scenario": to_json(outcome.scenario)})
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def kept(path: Path) -> dict[str, Scenario]:
    """Return the scenarios of a file by what each had found."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["found"]: from_json(Scenario, line["scenario"]) for line in lines}


def main(arguments: list[str] | None = None) -> int:
    """Run many seeds and print what happened in them; 1 if one failed."""
    options = _parser().parse_args(arguments)
    scenarios = list(kept(options.kept).values()) if options.kept else options.seeds
    seen: Counter[str] = Counter()
    failed: list[int] = []
    with _progress(len(scenarios)) as (console, advance):
        for outcome in run_many(scenarios, options.jobs, options.trace):
            advance()
            seen.update(outcome.seen)
            if outcome.trace:
                console.out("\n".join(outcome.trace), highlight=False)
            if outcome.failure:
                text = outcome.failure
                console.out(text if not failed else text.splitlines()[0], highlight=False)
                failed.append(outcome.scenario.seed)
                if options.keep:
                    keep(options.keep, outcome)
    print(", ".join(f"{seen[what]} {what}" for what in seen))
    print(f"failed: {sorted(failed)}" if failed else "all well")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m elastic.testing.simulation",
        description="Whole jobs in virtual time, with faults drawn from seeds.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--seeds", type=_range, default="0:500", help="first:stop, or one (default 0:500)"
    )
    which.add_argument("--kept", type=Path, metavar="FILE", help="run the scenarios of this file")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="add the scenarios that fail to this file"
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=cores, help=f"processes (default {cores})")
    parser.add_argument("--trace", action="store_true", help="print the trace of each")
    return parser


def _range(text: str) -> range:
    first, _, stop = text.partition(":")
    try:
        return range(int(first), int(stop or int(first) + 1))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected first:stop, as 0:500, got {text!r}") from None


@contextmanager
def _progress(total: int) -> Iterator[tuple[Console, partial[None]]]:
    """Yield a console to write above the bar, and what moves the bar by one."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not Console().is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield progress.console, partial(progress.advance, task)


def _count(simulation: Simulation) -> Counter[str]:
    judge = simulation.around.judge
    return Counter(
        {
            "jobs": 1,
            "faults": judge.struck,
            "generations": judge.record.generation if judge.record else 0,
            "leaves computed again": judge.recomputed,
            "members readmitted": judge.readmitted,
        }
    )


if __name__ == "__main__":
    raise SystemExit(main())
