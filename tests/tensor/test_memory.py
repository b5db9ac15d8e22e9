"""Memory stays flat: a graph is freed by reference counts alone."""

from __future__ import annotations

import subprocess
import sys

TRAINING = """
import gc
import os
import elastic.tensor as torch
from elastic.tensor import nn

gc.disable()
torch.manual_seed(0)
layers = nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout()
model = nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 4))
optimizer = torch.optim.Adam(model.parameters())
x, y = torch.randn(8, 8), torch.randint(0, 4, (8,))


def train(steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    pages = int(open("/proc/self/statm").read().split()[1])
    return len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE")


objects, held = train(1_000)
later_objects, later_held = train(9_000)
print(later_objects - objects, later_held - held)
"""


def test_10_000_steps_without_garbage_collection_keep_memory_flat() -> None:
    out = subprocess.check_output([sys.executable, "-c", TRAINING], text=True)
    objects, held = map(int, out.split())
    assert objects < 50
    assert held < 1 << 20
