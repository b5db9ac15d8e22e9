"""Handwritten digits: train a small network on workers that may come and go.

python examples/digits.py                                         a world of one
elastic-run --standalone --nproc-per-node 4 examples/digits.py    four workers, own etcd
"""

import argparse

from sklearn.datasets import load_digits

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("--epochs", type=int, default=20)
options.add_argument("--checkpoint-dir")
args = options.parse_args()

digits = load_digits()
x = torch.from_numpy((digits.data / 16).astype("float32"))
y = torch.from_numpy(digits.target)
held = torch.arange(len(y)) % 6 == 0  # one digit in six is held out
held_out = DataLoader(TensorDataset(x[held], y[held]), batch_size=100)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loader = DataLoader(
    TensorDataset(x[~held], y[~held]), batch_size=64, micro_batches=8, shuffle=True, seed=0
)
state = elastic.State(model=model, optimizer=optimizer, loader=loader)


def sync(state, world):
    """Called after every change of membership."""
    print(f"rank {world.rank} of {world.size}, generation {world.generation}, step {state.step}")


def train_step(state, batch):
    """One micro-batch: returns its loss."""
    inputs, targets = batch
    return F.cross_entropy(state.model(inputs), targets)


def accuracy(state, batch):
    """One batch of an evaluation: returns its metrics."""
    inputs, targets = batch
    return {"accuracy": (state.model(inputs).argmax(1) == targets).float().mean()}


def on_epoch(state, world):
    """Called after each epoch: the workers share the evaluation of the last one."""
    if state.epoch == args.epochs:
        result = elastic.evaluate(state, accuracy, held_out)
        if world.rank == 0:
            print(f"accuracy on held-out digits: {result['accuracy']:.2%}")


result = elastic.train(
    state,
    train_step,
    sync=sync,
    on_epoch=on_epoch,
    epochs=args.epochs,
    checkpoint_dir=args.checkpoint_dir,
)
if result.world.rank == 0:
    print(f"{result.steps} steps, loss {result.metrics['loss']:.4f}, {result.digest}")
