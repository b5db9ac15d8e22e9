"""Where a worker's time and bytes go: its leaves, its collectives, whom it waits for. Pure.

A few additions a step; every few seconds the loop takes what has come together and tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from elastic.telemetry.stragglers import Pace

__all__ = ["Account", "Collective", "Timing", "kind_of"]


def kind_of(tag: str) -> str:
    """Return the collective that a round belongs to: its tag without the step's number.

    Example:
        >>> kind_of("step 12"), kind_of("step 12, slices"), kind_of("barrier")
        ('reduce', 'reduce, slices', 'barrier')
    """
    if not tag.startswith("step "):
        return tag
    _, comma, rest = tag.partition(",")
    return "reduce" + comma + rest


@dataclass
class Collective:
    """What one kind of collective cost this worker."""

    rounds: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    """From the call to its return."""
    waited_s: float = 0.0
    """Of these, from the call until the last message had come."""


@dataclass(frozen=True)
class Timing:
    """One worker's time over `steps` steps. All durations are seconds, summed over them."""

    steps: int
    seconds: float
    compute_s: float
    reduce_s: float
    update_s: float
    collectives: dict[str, Collective]
    paces: tuple[Pace, ...]
    """One for each rank."""


@dataclass
class Account:
    """What has come together since the last `take`. For one thread: the one that trains."""

    _since: float = 0.0
    _steps: int = 0
    _compute_s: float = 0.0
    _reduce_s: float = 0.0
    _update_s: float = 0.0
    _collectives: dict[str, Collective] = field(default_factory=dict)
    _late_s: dict[int, float] = field(default_factory=dict)
    _leaves_s: dict[int, float] = field(default_factory=dict)
    _leaves: dict[int, int] = field(default_factory=dict)

    def round(
        self,
        tag: str,
        sent_bytes: int,
        received_bytes: int,
        began: float,
        ended: float,
        arrivals: Mapping[int, float],
    ) -> None:
        """Note a round: when it was called, when it returned, when each rank's message came."""
        last_t = max(arrivals.values(), default=began)
        kind = kind_of(tag)
        cost = self._collectives.get(kind)
        if cost is None:
            cost = self._collectives[kind] = Collective()
        cost.rounds += 1
        cost.sent_bytes += sent_bytes
        cost.received_bytes += received_bytes
        cost.seconds += ended - began
        if last_t > began:
            cost.waited_s += last_t - began
            self._blame(began, arrivals)

    def _blame(self, began: float, arrivals: Mapping[int, float]) -> None:
        """Note how much sooner all would be here, had the last been like the last but one."""
        slowest = max(arrivals, key=arrivals.__getitem__)
        late_s = arrivals[slowest] - max([began, *sorted(arrivals.values())[-2:-1]])
        self._late_s[slowest] = self._late_s.get(slowest, 0.0) + late_s

    def reduced(
        self, seconds: float, compute_s: float, leaves: Mapping[int, tuple[int, float]]
    ) -> None:
        """Note a step's reduction, and what each rank says of its leaves: how many, seconds."""
        self._reduce_s += seconds
        self._compute_s += compute_s
        for rank, (count, leaf_s) in leaves.items():
            self._leaves[rank] = self._leaves.get(rank, 0) + count
            self._leaves_s[rank] = self._leaves_s.get(rank, 0.0) + leaf_s

    def applied(self, seconds: float) -> None:
        """Note a step's update: the step is over."""
        self._update_s += seconds
        self._steps += 1

    def is_due(self, now: float, every_s: float) -> bool:
        """Whether a window of `every_s` is over."""
        return now - self._since >= every_s

    def take(self, now: float) -> Timing:
        """Return the window that ends now, and begin the next."""
        ranks = sorted(self._leaves.keys() | self._late_s.keys())
        paces = tuple(
            Pace(
                rank,
                self._late_s.get(rank, 0.0),
                self._leaves.get(rank, 0),
                self._leaves_s.get(rank, 0.0),
            )
            for rank in ranks
        )
        timing = Timing(
            self._steps,
            now - (self._since or now),  # the first begins with the first `take`
            self._compute_s,
            self._reduce_s,
            self._update_s,
            self._collectives,
            paces,
        )
        self.__init__(now)  # type: ignore[misc]
        return timing
