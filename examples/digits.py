"""Handwritten digits, learnt by workers that may come and go.

    python examples/digits.py                                         a world of one
    elastic-run --standalone --nproc-per-node 4 examples/digits.py    four workers, own etcd

An argument gives the number of epochs (20).
"""

import sys

from sklearn.datasets import load_digits

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

EPOCHS = int(sys.argv[1]) if sys.argv[1:] else 20

x, y = load_digits(return_X_y=True)
x, y = torch.from_numpy(x.astype("float32") / 16), torch.from_numpy(y)
held = torch.arange(len(y)) % 6 == 0  # one digit in six is held out
held_out = DataLoader(TensorDataset(x[held], y[held]), batch_size=100)
training = TensorDataset(x[~held], y[~held])

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loader = DataLoader(training, batch_size=64, micro_batches=8, shuffle=True, seed=0)
state = elastic.State(model=model, optimizer=optimizer, loader=loader)  # all that must survive


def train_step(state, batch):  # one micro-batch; returns its loss
    inputs, targets = batch
    return F.cross_entropy(state.model(inputs), targets)


def sync(state, world):  # after every change of membership
    print(f"rank {world.rank} of {world.size}, generation {world.generation}, step {state.step}")


def accuracy(state, batch):  # one batch of an evaluation; returns its metrics
    inputs, targets = batch
    return {"accuracy": (state.model(inputs).argmax(1) == targets).float().mean()}


def on_epoch(state, world):  # after each epoch; the workers share the evaluation
    if state.epoch == EPOCHS:
        found = elastic.evaluate(state, accuracy, held_out)["accuracy"]
        if world.rank == 0:
            print(f"accuracy on held-out digits: {found:.2%}")


result = elastic.train(state, train_step, sync=sync, on_epoch=on_epoch, epochs=EPOCHS)
if result.world.rank == 0:
    print(f"{result.steps} steps, loss {result.metrics['loss']:.4f}, {result.digest}")
