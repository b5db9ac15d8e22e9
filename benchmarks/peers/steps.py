"""What every script of the recovery benchmark tells its killer: a line for each committed step."""

from __future__ import annotations

import json
import os

import numpy as np
from sklearn.datasets import load_digits

BATCH = 64
"""Samples of a step, over all workers."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 64) in float32 and labels (1797,) in int64."""
    x, y = load_digits(return_X_y=True)
    return x.astype("float32") / 16, y


class Teller:
    """Appends the lines; one write each, so lines of several processes do not mix."""

    def __init__(self) -> None:
        self._file = os.open(os.environ["BENCHMARK_STEPS"], os.O_WRONLY | os.O_APPEND)
        self._node = int(os.environ["BENCHMARK_NODE"])

    def committed(self, step: int, rank: int, world: int, generation: int) -> None:
        """Tell that this process has applied `step`, in a group formed as `generation`."""
        fields = {"step": step, "rank": rank, "world": world, "generation": generation}
        line = json.dumps({**fields, "pid": os.getpid(), "node": self._node})
        os.write(self._file, line.encode() + b"\n")
