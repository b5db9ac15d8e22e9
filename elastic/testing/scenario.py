"""What a simulation is of: a job, a cluster and faults; given, or drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from elastic.testing.faults import Fault, draw_faults
from elastic.testing.store import Troubles
from elastic.testing.surroundings import Shape
from elastic.testing.toy import ToyJob

__all__ = ["Scenario", "draw_scenario"]

CLUSTERS = ((1, 1), (1, 3), (2, 2), (3, 1), (3, 2), (5, 1))
"""(hosts, workers a host)"""


@dataclass(frozen=True)
class Scenario:
    """One simulation: its seed, its job, its cluster and what goes wrong."""

    seed: int
    job: ToyJob
    shape: Shape
    faults: tuple[Fault, ...] = ()


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    rng = Random(seed)
    shape = _draw_shape(rng)
    return Scenario(seed, _draw_job(rng, seed), shape, draw_faults(rng, shape))


def _draw_shape(rng: Random) -> Shape:
    hosts, each = rng.choice(CLUSTERS)
    least = rng.choice((1, 1, 1, 2, min(3, hosts * each)))
    return Shape(
        hosts,
        each,
        min_workers=min(least, hosts * each),
        max_workers=rng.choice((None, None, None, max(least, hosts * each))),
        leaf_s=rng.choice(((0.01, 0.06), (0.001, 0.2))),
        message_s=rng.choice(((0.0005, 0.01), (0.001, 0.1))),
        troubles=Troubles(repeats=rng.choice((0.0, 0.2)), silences=rng.choice((0.0, 0.0, 0.1))),
        clock_rates=rng.choice(((1.0,), (1.0, 0.8, 1.25))),
    )


def _draw_job(rng: Random, seed: int) -> ToyJob:
    return ToyJob(
        seed,
        steps=rng.choice((rng.randint(4, 12), rng.randint(4, 12), rng.randint(12, 40))),
        leaves=rng.choice((1, 4, 6, 8)),
        hooks=rng.random() < 0.5,
        checkpoint_every=rng.choice((0, 0, 1, 3)),
        hooks_write=seed % 4 != 2,
        warms=seed % 2 == 0,
        stop_before=rng.choice((0, 0, 0, 4)),
    )
