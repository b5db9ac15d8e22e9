"""Digits on Elastic."""

import elastic
import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from benchmarks.peers.steps import BATCH, Teller, digits
from elastic.data import DataLoader, TensorDataset
from elastic.tensor import nn, optim

x, y = digits()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
loader = DataLoader(data, batch_size=BATCH, micro_batches=8, shuffle=True, seed=0)
state = elastic.State(model=model, optimizer=optimizer, loader=loader)
teller = Teller()
here = {}


def sync(state, world):
    here.update(rank=world.rank, world=world.size, generation=world.generation)


def train_step(state, batch):
    return F.cross_entropy(state.model(batch[0]), batch[1])


def update(state):
    state.optimizer.step()
    state.optimizer.zero_grad()
    teller.committed(state.step + 1, **here)


elastic.train(state, train_step, sync=sync, update=update, epochs=1_000_000)
