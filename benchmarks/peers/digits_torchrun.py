"""Digits on PyTorch's DDP under torchrun: every restart goes on from the last snapshot."""

import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel

from benchmarks.peers.steps import BATCH, Teller, digits

STARTED_MS = int(time.monotonic() * 1000)
SNAPSHOT, SNAPSHOT_STEPS = os.environ["BENCHMARK_STEPS"] + ".snapshot", 25

dist.init_process_group("gloo", timeout=timedelta(seconds=float(os.environ["BENCHMARK_TIMEOUT"])))
rank, world = dist.get_rank(), dist.get_world_size()
x, y = (torch.from_numpy(each) for each in digits())
torch.manual_seed(0)
model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)))
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
step = 0
if os.path.exists(SNAPSHOT):
    found = torch.load(SNAPSHOT)
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    step = found["step"]
teller = Teller()
while True:
    torch.manual_seed(step)
    mine = torch.randperm(len(x))[:BATCH][rank::world]
    optimizer.zero_grad()
    F.cross_entropy(model(x[mine]), y[mine]).backward()
    optimizer.step()
    step += 1
    teller.committed(step, rank, world, STARTED_MS)
    if rank == 0 and step % SNAPSHOT_STEPS == 0:
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        new = f"{SNAPSHOT}.{os.getpid()}"  # after a fault there may be two of rank 0 for a while
        torch.save(parts, new)
        os.replace(new, SNAPSHOT)
