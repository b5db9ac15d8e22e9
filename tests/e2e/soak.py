"""A soak: random faults against real jobs. Whatever happens, each must end with the same bits.

    python tests/e2e/soak.py                      200 faults over several seeds, about ten minutes
    python tests/e2e/soak.py --minutes 30         as long as that
    python tests/e2e/soak.py --seed 7 --faults 25 one seed again

A seed draws how many agents and workers there are and what is done to them, when. The same seed
draws the same schedule; where exactly it strikes is the machine's to decide, so a failing seed may
need some repetitions. After a failure all that is known of it is kept in `soak-logs/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("ELASTIC_TEST", str(os.getpid()))

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.e2e.job import Jobs
from tests.e2e.soak_run import EPOCHS, LIMIT_S, Run
from tests.e2e.soak_schedule import draw
from tests.etcd import etcd_server

FAULTS_A_SEED = 25
FAULTS_A_MINUTE = 20
LOGS = Path(__file__).parents[2] / "soak-logs"


@dataclass
class Tally:
    """What all seeds together did."""

    faults: int = 0
    passed: int = 0
    failed: list[int] = field(default_factory=list)
    goodputs: list[float] = field(default_factory=list)
    growths: list[int] = field(default_factory=list)
    """Of the memory of each process that lived long, in bytes."""

    def __str__(self) -> str:
        lines = [f"{self.faults} faults in {self.passed + len(self.failed)} jobs"]
        if self.goodputs:
            least, median = min(self.goodputs), statistics.median(self.goodputs)
            lines.append(f"goodput: median {median:.1%}, least {least:.1%}")
        if self.growths:
            median, most = statistics.median(self.growths) / 2**20, max(self.growths) / 2**20
            lines.append(f"memory grew by {median:.1f} MiB (median), {most:.1f} MiB (most)")
        if self.failed:
            again = [f"python tests/e2e/soak.py --seed {seed}" for seed in self.failed]
            lines.append("FAILED; once more with\n  " + "\n  ".join(again) + f"\nlogs: {LOGS}")
        else:
            lines.append("digests equal, audits ok, nothing leaked, nothing left behind")
        return "\n".join(lines)


def soak(seed: int, faults: int, reference: dict[str, Any], tally: Tally, bar: Progress) -> None:
    """Run a seed and note how it went."""
    folder, began = Path(tempfile.mkdtemp(prefix="elastic-soak-")), time.monotonic()
    jobs = Jobs(folder)
    with etcd_server() as etcd:
        run = Run(jobs, etcd, draw(seed, faults), lambda: bar.advance(bar.task_ids[0]))
        error = _trouble(run, reference)
        if error:
            run.abandon()
    error = _unclean(jobs) or error
    tally.faults += len(run.done)
    took = f"{len(run.done)} faults in {time.monotonic() - began:.0f} s"
    if error:
        _keep(seed, run, f"seed {seed} FAILED: {type(error).__name__}: {error}")
        tally.failed.append(seed)
        bar.print(f"seed {seed} FAILED after {took}: {error}", markup=False)
    else:
        tally.passed += 1
        tally.goodputs.append(run.goodput)
        grown = [each.last.rss_bytes - each.first.rss_bytes for each in run.leaks.grown]
        tally.growths += grown
        bar.print(f"seed {seed} passed: {took}, goodput {run.goodput:.1%}", markup=False)
    shutil.rmtree(folder, ignore_errors=True)


def _trouble(run: Run, reference: dict[str, Any]) -> Exception | None:
    try:
        run.play()
        run.check(reference)
    except Exception as error:  # noqa: BLE001  # whatever it was, the next seed is run
        return error
    return None


def _unclean(jobs: Jobs) -> Exception | None:
    try:
        jobs.close()
    except AssertionError as error:  # something is left behind
        return error
    return None


def _keep(seed: int, run: Run, title: str) -> None:
    """Put all that is known of a failed run into a folder of the logs."""
    folder = LOGS / f"seed-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run.jobs.folder, folder, ignore=shutil.ignore_patterns("tmp"))
    lines = [title, "", str(run.schedule), "", "-- done, on CLOCK_MONOTONIC", *run.done]
    for at, agent in enumerate(run.jobs.agents):
        lines += [f"-- agent {at}, pid {agent.process.pid}, exit {agent.process.poll()}"]
        agent.poll_events()
    lines += ["-- events of all agents"]
    events = [(event["t"], at, event) for at, a in enumerate(run.jobs.agents) for event in a.seen]
    for t, at, event in sorted(events, key=lambda each: each[:2]):
        rest = {name: value for name, value in event.items() if name not in ("t", "event")}
        lines.append(f"{t:.3f} agent {at} {event['event']} {rest}")
    (folder / "story").write_text("\n".join(lines) + "\n")


def undisturbed() -> dict[str, Any]:
    """Return the report of a run on one worker that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="elastic-soak-") as folder:
        jobs = Jobs(Path(folder))
        agent = jobs.start("--nproc-per-node=1", args=EPOCHS)
        assert agent.process.wait(LIMIT_S) == 0, agent.output
        report = agent.report
        jobs.close()
    return report


def progress() -> Progress:
    """Return the bar of a soak, which counts faults."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TimeElapsedColumn())


def main() -> None:
    """Soak as the command line asks; exit 1 if any seed failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="about so long (10)")
    parser.add_argument("--first-seed", type=int, default=0, help="begin with this one (0)")
    parser.add_argument("--seed", type=int, help="only this one, again")
    parser.add_argument("--faults", type=int, default=FAULTS_A_SEED, help="of each seed (25)")
    asked = parser.parse_args()
    wanted = 1 if asked.seed is not None else round(asked.minutes * FAULTS_A_MINUTE)
    tally, seed = Tally(), asked.first_seed if asked.seed is None else asked.seed
    reference = undisturbed()
    with progress() as bar:
        bar.add_task("faults", total=max(wanted, asked.faults))
        while tally.faults < wanted or not (tally.passed or tally.failed):
            soak(seed, asked.faults, reference, tally, bar)
            seed += 1
    print(tally)
    sys.exit(bool(tally.failed))


if __name__ == "__main__":
    main()
