"""A job of two phases a step, with carries, merged buffers and random numbers.

Arguments are faults at exact places, PLACE:STEP:RANK:MARKER: the worker dies there, the first time
that anybody comes; at the place `flip` a bit of its parameters flips instead.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import numpy as np

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

FAULTS = [argument.split(":") for argument in sys.argv[1:]]
RANK = 0


def at(place, step):
    """Do to this process whatever the test wants here, once."""
    for where, when, rank, marker in FAULTS:
        if (where, int(when), int(rank)) == (place, step, RANK):
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            if place == "flip":
                flip(critic[1].weight)
            else:
                os.kill(os.getpid(), signal.SIGKILL)


def flip(parameter):
    """Flip a bit in memory, as a fault of the hardware does: no lock and no version sees it."""
    address = parameter.detach().numpy().ctypes.data
    ctypes.c_uint8.from_address(address + 1).value ^= 1 << 4


rng = np.random.default_rng(0)
x = torch.from_numpy(rng.normal(size=(300, 6)).astype("float32"))
torch.manual_seed(1)


class Watching(nn.Module):
    """Buffers that each micro-batch changes in its own way."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(6))
        self.register_buffer("histogram", torch.zeros(5))
        self.register_buffer("newest", torch.zeros(6))

    def forward(self, batch):
        """Note what is there."""
        with torch.no_grad():
            self.centre.lerp_(batch.mean(0), 0.1)
            self.histogram += torch.histc(batch, 5, -2, 2)
            self.newest.copy_(batch[-1])
        return batch


critic = nn.Sequential(
    Watching(), nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)
)
maker = nn.GRUCell(4, 6)
loader = DataLoader(TensorDataset(x), batch_size=64, micro_batches=8, shuffle=True, seed=3)
state = elastic.State(
    critic=critic,
    maker=maker,
    critics=optim.Adam(critic.parameters(), lr=0.01),
    makers=optim.Adam(maker.parameters(), lr=0.01),
    loader=loader,
)
for name, how in {"centre": "mean", "histogram": "sum", "newest": "last"}.items():
    state.merge(f"critic.0.{name}", how)


def sync(state, world):
    """Know the rank."""
    global RANK
    RANK = world.rank


def made(state, n):
    """Return n samples, going on from those of the step before."""
    before = state.carry if state.carry is not None and len(state.carry) == n else None
    return state.maker(torch.randn(n, 4), before)


def step_critic(state, batch):
    """One micro-batch of the first phase."""
    at("critic", state.step + 1)
    at("flip", state.step + 1)
    fake = made(state, len(batch[0])).detach()
    real, false = state.critic(batch[0]), state.critic(fake)
    return {"loss": (F.softplus(-real) + F.softplus(false)).mean(), "carry": fake}


def step_maker(state, batch):
    """One micro-batch of the second phase."""
    at("maker", state.step + 1)
    fake = made(state, len(batch[0]))
    return {"loss": F.softplus(-state.critic(fake)).mean(), "carry": fake}


def update(name):
    """Step one optimizer."""

    def update(state):
        at(f"update-{name}", state.step + 1)
        getattr(state, name).step()

    return update


elastic.train(
    state,
    [(step_critic, update("critics")), (step_maker, update("makers"))],
    sync=sync,
    epochs=4,
    drift_every=1,
    on_drift=os.environ.get("ON_DRIFT", "error"),
)
