"""Faults that a job makes to itself (`--chaos SEED`): a pure planner, from a seed and a step.

What happens after a step is a function of the seed and the step alone: every agent of the job
computes the same plan, and the one whose worker is meant carries it out (`injection.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

from elastic.errors import ConfigError

__all__ = ["DEFAULT_RATES", "FORM", "Chaos", "Fault", "read"]

DEFAULT_RATES = {"kill": 0.02, "stop": 0.01, "join": 0.01, "leave": 0.01, "partition": 0.01}
"""How likely each kind is after a step, if none is given."""
LONGEST_S = 2.0
"""A worker stands still or is cut off for up to so long: some lose their place, some do not."""
FORM = "SEED" + "".join(f"[,{kind}=RATE]" for kind in DEFAULT_RATES)


@dataclass(frozen=True)
class Fault:
    """What is done after `step` is committed. `whom` and `when` lie in [0, 1)."""

    step: int
    kind: str
    whom: float
    when: float
    """At which part of the next step, if that takes as long as the one before."""
    duration_s: float
    """Of a stop or a partition."""

    def rank(self, world_size: int) -> int:
        """Return whom it is meant for, among the ranks that there are then."""
        return int(self.whom * world_size)


@dataclass(frozen=True)
class Chaos:
    """A seed, and how likely each kind of fault is after a step: at most one a step."""

    seed: int
    rates: dict[str, float] = field(default_factory=lambda: dict(DEFAULT_RATES))

    def after(self, step: int) -> Fault | None:
        """Return the fault that follows this step, if one does."""
        # a text seeds by its digest, the same in every process and version of Python
        rng = Random(f"{self.seed} {step}")
        chance = rng.random()
        whom, when, duration_s = rng.random(), rng.random(), rng.uniform(0.0, LONGEST_S)
        for kind in DEFAULT_RATES:
            chance -= self.rates.get(kind, 0.0)
            if chance < 0:
                return Fault(step, kind, whom, when, duration_s)
        return None


def read(text: str) -> Chaos:
    """Return what `SEED[,kind=RATE…]` asks for; kinds that it leaves out do not happen.

    Raises:
        ConfigError: it cannot be read; the message says why.
    """
    seed, *pairs = text.split(",")
    if not re.fullmatch(r"[0-9]{1,18}", seed):
        raise ConfigError(f"expects {FORM} with a whole number as seed, got {text!r}")
    if not pairs:
        return Chaos(int(seed))
    rates: dict[str, float] = {}
    for pair in pairs:
        kind, _, rate = pair.partition("=")
        if kind not in DEFAULT_RATES or kind in rates:
            what = "twice" if kind in rates else "which is no fault"
            raise ConfigError(f"expects {FORM}, got {kind!r}, {what}")
        rates[kind] = _rate(kind, rate)
    if sum(rates.values()) > 1:
        total = f"{sum(rates.values()):g}"
        raise ConfigError(f"expects rates with a sum of at most 1, got {total}: one fault a step")
    return Chaos(int(seed), rates)


def _rate(kind: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:  # nan is neither
        raise ConfigError(f"expects for kind {kind} the share of steps, from 0 to 1, got {text!r}")
    return rate
