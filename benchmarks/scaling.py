"""Samples per second of a train_step that sleeps, with 1, 2 and 4 workers.

    python benchmarks/scaling.py

A sleep takes no processor, so this shows what the protocol and the collectives cost, on any number
of cores: ideal is as many times the speed as there are workers.
"""

from __future__ import annotations

import statistics
import sys
from itertools import pairwise
from pathlib import Path

from jobs import running
from rich.console import Console
from rich.table import Table

WORKERS = (1, 2, 4)
STEPS = 60
SLEEP_S = 0.01
BATCH = 64


def job() -> None:
    """The script that the workers run: 8 micro-batches a step, each sleeping."""
    import time

    import elastic
    import elastic.tensor as torch
    from elastic.data import DataLoader, TensorDataset
    from elastic.tensor import nn, optim

    torch.manual_seed(0)
    model = nn.Linear(16, 1)
    data = TensorDataset(torch.randn(64 * BATCH, 16), torch.randn(64 * BATCH, 1))
    loader = DataLoader(data, batch_size=BATCH, micro_batches=8, seed=0)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    state = elastic.State(model=model, optimizer=optimizer, loader=loader)

    def train_step(state: elastic.State, batch: list[torch.Tensor]) -> torch.Tensor:
        time.sleep(SLEEP_S)
        return ((state.model(batch[0]) - batch[1]) ** 2).mean()

    elastic.train(state, train_step, steps=STEPS)


def samples_per_s(workers: int) -> float:
    """Return the rate of a run, by the median step."""
    with running(workers, Path(__file__), "job") as run:
        times = [e["seen"] for e in run.events() if e["event"] == "step"]
    return BATCH / statistics.median(b - a for a, b in pairwise(times))


def main() -> None:
    """Run all, print the table."""
    table = Table(title=f"a train_step that sleeps {SLEEP_S * 1000:g} ms, 8 micro-batches a step")
    for column in ("workers", "samples/s", "speed-up", "of ideal"):
        table.add_column(column, justify="right")
    alone = 0.0
    for workers in WORKERS:
        rate = samples_per_s(workers)
        alone = alone or rate
        speedup = rate / alone
        table.add_row(str(workers), f"{rate:.0f}", f"{speedup:.2f}", f"{speedup / workers:.0%}")
    Console().print(table)


if __name__ == "__main__":
    job() if sys.argv[1:] == ["job"] else main()
