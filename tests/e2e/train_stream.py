"""A job on a stream, replayed or saving its place, with deaths at exact places."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, IterableDataset
from elastic.tensor import nn, optim

KIND = sys.argv[1]
FAULTS = [argument.split(":") for argument in sys.argv[2:]]
RANK = 0


def at(place, step):
    """Die here, the first time that anybody comes, if the test wants it."""
    for where, when, rank, marker in FAULTS:
        if (where, int(when), int(rank)) == (place, step, RANK):
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)


class Replayed(IterableDataset):
    """300 samples, and noise from the generators that training seeds."""

    def __iter__(self):
        rng = np.random.default_rng(0)
        for _ in range(300):
            x = rng.normal(size=8) + 0.1 * np.random.normal(size=8)
            yield torch.from_numpy(x.astype("float32")), int(x[0] > 0)


class Saving(IterableDataset):
    """300 samples; it goes on from where it was."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        while self.at < 300:
            self.at += 1
            x = np.random.default_rng(self.at).normal(size=8)
            yield torch.from_numpy(x.astype("float32")), int(x[0] > 0)
        self.at = 0

    def state_dict(self):
        """Where it is."""
        return {"at": self.at}

    def load_state_dict(self, state):
        """Go there."""
        self.at = state["at"]


torch.manual_seed(1)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
loader = DataLoader({"replayed": Replayed, "saving": Saving}[KIND](), batch_size=64)
state = elastic.State(model=model, optimizer=optim.Adam(model.parameters()), loader=loader)
loader.seed = 3  # else training draws one, and another run another


def sync(state, world):
    """Know the rank."""
    global RANK
    RANK = world.rank


def train_step(state, batch):
    """One micro-batch."""
    at("train_step", state.step + 1)
    inputs, targets = batch
    return F.cross_entropy(state.model(inputs), targets)


def on_step(state, metrics):
    """A place to die between two steps."""
    at("on_step", state.step)


elastic.train(state, train_step, sync=sync, on_step=on_step, epochs=3)
