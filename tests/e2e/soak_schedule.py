"""What a soak does to a job: drawn from a seed, so that the same seed draws the same again."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["WEIGHTS", "Fault", "Schedule", "draw"]

WEIGHTS = {
    "kill a worker": 6,
    "kill rank 0": 3,
    "kill two workers": 3,
    "kill all workers of an agent": 1,
    "kill an agent": 2,
    "kill a node": 2,
    "stop a worker": 4,
    "stop an agent": 2,
    "stop a node": 2,
    "terminate an agent": 3,
    "start an agent": 7,
    "kill etcd": 1,
    "pause etcd": 1,
}
"""How often each is drawn."""
LONGEST_S = 5.0
"""What is stopped or down goes on after so long at most: half of the times within a second."""


@dataclass(frozen=True)
class Fault:
    """Do `what` when `after_s` have passed since the fault before; `whom` lies in [0, 1)."""

    after_s: float
    what: str
    whom: float
    workers: int
    """Of an agent that is started."""
    for_s: float
    """How long something stands still or is down."""

    def __str__(self) -> str:
        rest = f"{self.whom:.3f}, {self.workers} workers, for {self.for_s:.2f} s"
        return f"after {self.after_s:.3f} s {self.what} ({rest})"


@dataclass(frozen=True)
class Schedule:
    """What a seed does."""

    first: tuple[int, ...]
    """Workers of each agent that the job begins with."""
    faults: tuple[Fault, ...]
    checkpoints: bool

    def __str__(self) -> str:
        lines = [f"agents of {self.first} workers, checkpoints: {self.checkpoints}"]
        return "\n  ".join([*lines, *map(str, self.faults)])


def draw(seed: int, faults: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)
    first = tuple(rng.randint(1, 3) for _ in range(rng.randint(2, 3)))
    checkpoints = rng.random() < 0.3
    return Schedule(first, tuple(_fault(rng) for _ in range(faults)), checkpoints)


def _fault(rng: random.Random) -> Fault:
    # Half of the faults fall into the recovery from the one before.
    after_s = rng.uniform(0.0, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, 2.0)
    (what,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
    for_s = rng.uniform(0.1, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, LONGEST_S)
    return Fault(after_s, what, rng.random(), rng.randint(1, 2), for_s)
