"""A job with all that could betray the promise of equal bits, and faults at exact places.

BatchNorm and dropout in the model, an optimizer with state, an update that clips by the norm, a
ragged last batch, hooks that write State and use collectives.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.checkpoint.storage import CheckpointDir
from elastic.collectives.outbox import Outbox
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim
from elastic.tensor.nn.utils import clip_grad_norm_

options = argparse.ArgumentParser()
options.add_argument("--epochs", type=int, default=12)
options.add_argument("--samples", type=int, default=300)
options.add_argument("--hidden", type=int, default=32)
options.add_argument("--checkpoint-dir")
options.add_argument("--checkpoint-every", type=int)
options.add_argument("--optimizer", default="adam")
options.add_argument("--hold", action="append", default=[], metavar="STEP:FILE")
options.add_argument("--die", action="append", default=[], metavar="PLACE:STEP:RANK:MARKER")
options.add_argument("--hang", action="append", default=[], metavar="PLACE:STEP:RANK:MARKER")
options.add_argument("--fail", help="where to raise: import, sync, train_step, update, on_epoch")
options.add_argument("--fail-at", type=int, default=5)
options.add_argument("--nonfinite", default="warn")
options.add_argument("--poison-at", type=int, help="the step whose loss becomes nan")
options.add_argument("--write-in-step", action="store_true")
options.add_argument("--unsavable", action="store_true")
options.add_argument("--pace", type=float, default=0.0, help="seconds to dwell in each place")
options.add_argument("--slow", help="RANK:SECONDS that each of its leaves takes longer")
options.add_argument("--pace-until", default="", help="a file: once it is there, dwell no more")
options.add_argument("--trace", type=Path, help="a folder: what each process computed")
args = options.parse_args()

RANK = 0


def at(place, step):
    """Do to this process whatever the test wants here."""
    if not os.path.exists(args.pace_until):
        time.sleep(args.pace)
    for each in args.hold:
        when, _, path = each.partition(":")
        while place == "train_step" and step == int(when) and not os.path.exists(path):
            time.sleep(0.002)
    for each in args.die:
        where, when, rank, marker = each.split(":")
        if (where, int(when), int(rank)) == (place, step, RANK):
            if first_here(marker):
                os.kill(os.getpid(), signal.SIGKILL)
    for each in args.hang:
        where, when, rank, marker = each.split(":")
        if (where, int(when), int(rank)) == (place, step, RANK) and first_here(marker):
            hang()
    if args.fail == place and (step >= args.fail_at or place == "sync"):
        raise RuntimeError(f"a bug of the user's in {place}")


def first_here(marker):
    """Whether nobody came here before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def hang():
    """Be stuck in code of the user's."""
    threading.Event().wait()


def fault_point(owner, name, place, step_of):
    """Let the test do something just after a method of ours was called."""
    original = getattr(owner, name)

    def called(self, *arguments):
        done = original(self, *arguments)
        at(place, step_of(*arguments))
        return done

    setattr(owner, name, called)


at("import", args.fail_at)
rng = np.random.default_rng(0)
x = torch.from_numpy(rng.normal(size=(args.samples, 20)).astype("float32"))
y = torch.from_numpy((rng.normal(size=args.samples) > 0).astype("int64"))

torch.manual_seed(1)
model = nn.Sequential(
    nn.Linear(20, args.hidden),
    nn.BatchNorm1d(args.hidden),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(args.hidden, 2),
)
optimizer = {
    "adam": lambda: optim.Adam(model.parameters(), lr=0.01),
    "sgd": lambda: optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True),
}[args.optimizer]()
# 300 samples in batches of 64 leave 44 for the last: 6 leaves instead of 8, one of them of 4.
data = TensorDataset(x, y, torch.arange(args.samples))
loader = DataLoader(data, batch_size=64, micro_batches=8, shuffle=True, seed=3)
parts = {"best": 0.0, "history": []}
if args.unsavable:
    parts["handle"] = open(os.devnull)  # noqa: SIM115
state = elastic.State(model=model, optimizer=optimizer, loader=loader, **parts)


def sync(state, world):
    """Check the ground that hooks stand on."""
    global RANK
    RANK = world.rank
    at("sync", state.step)
    total = world.allreduce(np.ones(3, np.float32))
    assert total.tolist() == [world.size] * 3


def train_step(state, batch):
    """One micro-batch."""
    inputs, targets, indices = batch
    if args.trace:
        with (args.trace / str(os.getpid())).open("a") as file:
            file.write(f"{state.step + 1} {int(indices[0])}\n")
    at("train_step", state.step + 1)
    if args.slow and int(args.slow.split(":")[0]) == RANK:
        time.sleep(float(args.slow.split(":")[1]))
    if args.write_in_step:
        state.best = 1.0
    logits = state.model(inputs)
    loss = F.cross_entropy(logits, targets)
    if args.poison_at == state.step + 1:
        loss = loss * float("nan")
    hits = (logits.argmax(1) == targets).float().mean()
    return {"loss": loss, "metrics": {"accuracy": hits}}


def update(state):
    """Clip by the norm, step."""
    at("update", state.step + 1)
    clip_grad_norm_(state.model.parameters(), 0.5)
    state.optimizer.step()
    state.optimizer.zero_grad()


def accuracy(state, batch):
    """One batch of an evaluation."""
    inputs, targets = batch
    return {"accuracy": (state.model(inputs).argmax(1) == targets).float().mean()}


held_out = DataLoader(TensorDataset(x[:100], y[:100]), batch_size=16)


def on_step(state, metrics):
    """A place to die between two steps."""
    at("on_step", state.step)


def on_epoch(state, world):
    """Evaluate together; write State."""
    at("on_epoch", state.step)
    found = elastic.evaluate(state, accuracy, held_out)["accuracy"]
    at("evaluated", state.step)
    state.best = max(state.best, found)
    state.history = [*state.history, found]


if any(die.startswith("sent:") for die in args.die):  # a message of a reduction is on its way
    fault_point(Outbox, "put", "sent", lambda message: state.step + 1)
if any(die.startswith("save:") for die in args.die):  # a checkpoint is written, but not published
    fault_point(CheckpointDir, "_fill", "save", lambda temp, manifest, *rest: manifest.step)

result = elastic.train(
    state,
    train_step,
    sync=sync,
    update=update,
    on_step=on_step,
    on_epoch=on_epoch,
    epochs=args.epochs,
    checkpoint_dir=args.checkpoint_dir,
    checkpoint_every=args.checkpoint_every,
    nonfinite=args.nonfinite,
)
assert len(state.history) == args.epochs, state.history
print(f"finished rank {result.world.rank} pid {os.getpid()} {result.digest}")
