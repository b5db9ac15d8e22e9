"""A job with enough State to be lent to newcomers while it trains (PROTOCOL S9)."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=100)
options.add_argument("--hold", metavar="STEP:FILE", default="0:")
options.add_argument("--hold-load", type=Path, help="wait for this file when State is loaded")
options.add_argument("--pace", type=float, default=0.02, help="seconds to dwell in a leaf")
options.add_argument("--hook", choices=["", "reads", "writes"], default="")
args = options.parse_args()


class Witness:
    """A part of State that is loaded slowly."""

    def state_dict(self):
        """Nothing, but State asks."""
        return {"of": "nothing"}

    def load_state_dict(self, state):
        """Say that State is being loaded, and wait."""
        if args.hold_load is not None:
            print("loading", flush=True)
            wait_for(args.hold_load)


def wait_for(path):
    """Stand still until somebody makes this file."""
    while not os.path.exists(path):
        time.sleep(0.002)


rng = np.random.default_rng(0)
x = torch.from_numpy(rng.normal(size=(256, 256)).astype("float32"))
y = torch.from_numpy((rng.normal(size=256) > 0).astype("int64"))
torch.manual_seed(1)
model = nn.Sequential(
    nn.Linear(256, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.3), nn.Linear(512, 512)
)
optimizer = optim.Adam(model.parameters(), lr=0.001)
loader = DataLoader(TensorDataset(x, y), batch_size=32, micro_batches=4, shuffle=True, seed=3)
state = elastic.State(model=model, optimizer=optimizer, loader=loader, witness=Witness(), best=9e9)
at_step, _, until = args.hold.partition(":")


def train_step(state, batch):
    """One micro-batch."""
    time.sleep(args.pace)
    if state.step + 1 == int(at_step):
        wait_for(until)
    inputs, targets = batch
    return F.cross_entropy(state.model(inputs), targets)


def on_step(state, metrics):
    """Look at State, and perhaps write to it: an average of weights is of this kind."""
    if args.hook == "writes":
        state.best = min(state.best, metrics["loss"])
        with torch.no_grad():
            state.model[0].weight.mul_(0.999)


elastic.train(state, train_step, on_step=on_step if args.hook else None, steps=args.steps)
