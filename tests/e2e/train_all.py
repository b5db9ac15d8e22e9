"""A job with all that could betray the promise of equal bits.

BatchNorm and dropout in the model, an optimizer with state, an update that clips by the norm, a
ragged last batch, hooks that write State and use collectives.
"""

import argparse
import os

import numpy as np

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim
from elastic.tensor.nn.utils import clip_grad_norm_

options = argparse.ArgumentParser()
options.add_argument("--epochs", type=int, default=6)
options.add_argument("--samples", type=int, default=300)
options.add_argument("--checkpoint-dir")
options.add_argument("--checkpoint-every", type=int)
options.add_argument("--optimizer", default="adam")
options.add_argument("--pause", type=float, default=0.0, help="seconds of sleep in a micro-batch")
options.add_argument("--fail", help="where to raise: import, sync, train_step, update, on_epoch")
options.add_argument("--fail-at", type=int, default=5)
options.add_argument("--nonfinite", default="warn")
options.add_argument("--poison-at", type=int, help="the step whose loss becomes nan")
options.add_argument("--write-in-step", action="store_true")
args = options.parse_args()


def fail_if(place, step=0):
    """Raise where the test wants it."""
    if args.fail == place and step >= (args.fail_at if place != "sync" else 0):
        raise RuntimeError(f"a bug of the user's in {place}")


fail_if("import", args.fail_at)
rng = np.random.default_rng(0)
x = torch.from_numpy(rng.normal(size=(args.samples, 20)).astype("float32"))
y = torch.from_numpy((rng.normal(size=args.samples) > 0).astype("int64"))

torch.manual_seed(1)
model = nn.Sequential(
    nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 2)
)
kinds = {
    "adam": lambda: optim.Adam(model.parameters(), lr=0.01),
    "sgd": lambda: optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True),
}
optimizer = kinds[args.optimizer]()
# 300 samples in batches of 64 leave 44 for the last: 6 leaves instead of 8, one of them of 4.
loader = DataLoader(TensorDataset(x, y), batch_size=64, micro_batches=8, shuffle=True, seed=3)
state = elastic.State(model=model, optimizer=optimizer, loader=loader, best=0.0, history=[])


def sync(state, world):
    """Check the ground that hooks stand on."""
    fail_if("sync")
    total = world.allreduce(np.ones(3, np.float32))
    assert total.tolist() == [world.size] * 3


def train_step(state, batch):
    """One micro-batch."""
    fail_if("train_step", state.step)
    if args.pause:
        import time

        time.sleep(args.pause)
    if args.write_in_step:
        state.best = 1.0
    inputs, targets = batch
    logits = state.model(inputs)
    loss = F.cross_entropy(logits, targets)
    if args.poison_at == state.step + 1:
        loss = loss * float("nan")
    hits = (logits.argmax(1) == targets).float().mean()
    return {"loss": loss, "metrics": {"accuracy": hits}}


def update(state):
    """Clip by the norm, step."""
    fail_if("update", state.step)
    clip_grad_norm_(state.model.parameters(), 0.5)
    state.optimizer.step()
    state.optimizer.zero_grad()


def accuracy(state, batch):
    """One batch of an evaluation."""
    inputs, targets = batch
    return {"accuracy": (state.model(inputs).argmax(1) == targets).float().mean()}


held_out = DataLoader(TensorDataset(x[:100], y[:100]), batch_size=16)


def on_epoch(state, world):
    """Evaluate together; write State."""
    fail_if("on_epoch", state.step)
    found = elastic.evaluate(state, accuracy, held_out)["accuracy"]
    state.best = max(state.best, found)
    state.history = [*state.history, found]


result = elastic.train(
    state,
    train_step,
    sync=sync,
    update=update,
    on_epoch=on_epoch,
    epochs=args.epochs,
    checkpoint_dir=args.checkpoint_dir,
    checkpoint_every=args.checkpoint_every,
    nonfinite=args.nonfinite,
)
print(f"pid {os.getpid()} {result.digest} {result.state_digest} {len(state.history)}")
