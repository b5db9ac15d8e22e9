"""What the loop costs beyond a bare `train_step`, `backward`, allreduce and `optimizer.step`.

    python benchmarks/overhead.py [--workers 2] [--steps 200]

Both are measured in the same processes of one job: the bare steps inside the first `sync`, where
the group's own `allreduce` may be used, then the steps of `elastic.train`. The calls that the store
serves during these steps are counted by the store itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from systems import ROOT, Ours

MODELS = {
    "digits (26 k parameters)": ("linear", 128),
    "wide (2.7 M parameters)": ("linear", 1600),
    "convolutions (0.1 M parameters)": ("convolution", 64),
}
MICRO_BATCHES, BATCH = 8, 64


def layers_of(kind: str, width: int) -> list[Any]:
    """The layers of a model for digits, 8 x 8 pixels."""
    from elastic.tensor import nn

    if kind == "linear":
        hidden = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        return [*hidden, nn.Linear(width, 10)]
    image = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
    deep = [each for _ in range(3) for each in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
    return [*image, *deep, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def job(kind: str, width: int, steps: int) -> None:
    """The script that the workers run."""
    import numpy as np

    import elastic
    import elastic.tensor as torch
    import elastic.tensor.nn.functional as F
    from benchmarks.peers.steps import digits
    from elastic.data import DataLoader, TensorDataset
    from elastic.tensor import nn, optim

    x, y = (torch.from_numpy(each) for each in digits())
    torch.manual_seed(0)
    model = nn.Sequential(*layers_of(kind, width))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch_size=BATCH, micro_batches=MICRO_BATCHES, shuffle=True, seed=0)
    state = elastic.State(model=model, optimizer=optimizer, loader=loader)
    times: dict[str, list[float]] = {"bare": [], "loop": []}

    def train_step(state: Any, batch: Any) -> Any:
        return F.cross_entropy(state.model(batch[0]), batch[1])

    def bare_step(world: Any) -> None:
        share = BATCH // MICRO_BATCHES
        for _ in range(MICRO_BATCHES // world.size):
            chosen = np.random.randint(0, len(x), share)
            train_step(state, (x[chosen], y[chosen])).backward()
        flat = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
        total, at = world.allreduce(flat), 0
        for p in model.parameters():
            p.grad = torch.from_numpy(total[at : at + p.numel()].reshape(p.shape))
            at += p.numel()
        optimizer.step()
        optimizer.zero_grad()

    def sync(state: Any, world: Any) -> None:
        if world.size < int(sys.argv[2]) or times["bare"]:
            return
        for _ in range(steps):
            bare_step(world)
            times["bare"].append(time.perf_counter())

    def update(state: Any) -> None:
        state.optimizer.step()
        state.optimizer.zero_grad()
        times["loop"].append(time.perf_counter())

    result = elastic.train(state, train_step, sync=sync, update=update, steps=steps)
    if result.world.rank == 0:
        found = {k: statistics.median(b - a for a, b in pairwise(v)) for k, v in times.items()}
        print("measured " + json.dumps(found), flush=True)


class Measured(Ours):
    """A job whose script is this file."""

    arguments: tuple[str, ...] = ()

    def command(self, node: int) -> list[str]:
        """An agent."""
        return [*super().command(node)[:-1], f"--min-workers={self.workers}", *self.arguments]


def measure(model: tuple[str, int], workers: int, steps: int) -> tuple[dict[str, float], int]:
    """Seconds of a bare step and of the loop's, and the store's calls while these ran."""
    with Measured(0, workers) as system:
        system.nodes = 1
        system.arguments = (__file__, "job", str(workers), *map(str, model), str(steps))
        system.start(0)
        events = system.events(0)
        wait_for(lambda: steps_told(events) > 0)
        before = served(system.etcd.endpoint)
        output = system.folder / "output-0"
        wait_for(lambda: steps_told(events) >= steps - 5)
        calls = served(system.etcd.endpoint) - before
        wait_for(lambda: "measured" in output.read_text())
        line = next(line for line in output.read_text().splitlines() if "measured" in line)
        return json.loads(line.partition("measured ")[2]), calls


def steps_told(events: Path) -> int:
    """The last step that the agent has told of."""
    lines = events.read_text().splitlines()[:-1] if events.exists() else []
    told = [json.loads(line) for line in lines]
    return max((each["step"] for each in told if each["event"] == "step"), default=0)


def wait_for(condition: Any) -> None:
    """Return once it holds."""
    end = time.monotonic() + 180
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the job makes no progress")
        time.sleep(0.005)


def served(endpoint: str) -> int:
    """How many calls that are no lease's keep-alive the store has served."""
    with urllib.request.urlopen(f"http://{endpoint}/metrics") as answer:
        text = answer.read().decode()
    calls = [line for line in text.splitlines() if line.startswith("grpc_server_msg_received")]
    return sum(int(float(line.split()[-1])) for line in calls if "LeaseKeepAlive" not in line)


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, help="workers of one host (2)")
    parser.add_argument("--steps", type=int, default=200, help="steps of either kind (200)")
    args = parser.parse_args()
    table = Table(title=f"a step on {args.workers} workers, {MICRO_BATCHES} micro-batches")
    for column in ("model", "bare ms", "loop ms", "more ms", "more", "store calls"):
        table.add_column(column, justify="right" if column != "model" else "left")
    for name, model in MODELS.items():
        found, calls = measure(model, args.workers, args.steps)
        bare, loop = found["bare"] * 1000, found["loop"] * 1000
        cells = (f"{bare:.2f}", f"{loop:.2f}", f"{loop - bare:.2f}", f"{loop / bare - 1:.1%}")
        table.add_row(name, *cells, str(calls))
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        sys.path.insert(0, str(ROOT))
        job(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
