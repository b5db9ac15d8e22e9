"""Digits on torchft: each worker is a replica group, and recovers from another one's memory."""

import os
from datetime import timedelta

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.distributed import TCPStore
from torchft import DistributedDataParallel, Manager, Optimizer, ProcessGroupGloo

from benchmarks.peers.steps import BATCH, Teller, digits

x, y = (torch.from_numpy(each) for each in digits())
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
plain = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
timeout = timedelta(seconds=float(os.environ["BENCHMARK_TIMEOUT"]))
store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def load(parts):
    model.load_state_dict(parts["model"])
    plain.load_state_dict(parts["optimizer"])


manager = Manager(
    ProcessGroupGloo(timeout=timeout),
    load,
    lambda: {"model": model.state_dict(), "optimizer": plain.state_dict()},
    min_replica_size=1,
    timeout=timeout,
    rank=0,
    world_size=1,
    store_addr="127.0.0.1",
    store_port=store.port,
    replica_id=f"digits_{os.environ['BENCHMARK_NODE']}",
)
ddp = DistributedDataParallel(manager, model)
optimizer = Optimizer(manager, plain)
teller = Teller()
while True:
    optimizer.zero_grad()  # also asks the lighthouse who takes part
    torch.manual_seed(manager.current_step())
    mine = torch.randperm(len(x))[: BATCH // 4]
    F.cross_entropy(ddp(x[mine]), y[mine]).backward()
    before = manager.current_step()
    optimizer.step()
    if manager.current_step() > before:
        world, rank = manager.num_participants(), manager.participating_rank() or 0
        teller.committed(manager.current_step(), rank, world, manager._quorum_id)
