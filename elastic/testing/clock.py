"""Time that only moves when told to: what is due is run in order, and nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

__all__ = ["Lane", "ManualClock"]

Act = Callable[[], None]


class ManualClock:
    """A clock in virtual time. Units: seconds.

    Example:
        >>> clock = ManualClock()
        >>> clock.after(2.0, lambda: print("two seconds later"))
        >>> clock.advance(5.0)
        two seconds later
        >>> clock.now
        5.0
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Act]] = []
        self._order = count()

    def at(self, t: float, act: Act) -> None:
        """Run `act` at time t, or next if t is past; what is due at one time runs in order."""
        heapq.heappush(self._due, (max(t, self.now), next(self._order), act))

    def after(self, delay_s: float, act: Act) -> None:
        """Run `act` so much later."""
        self.at(self.now + delay_s, act)

    def next(self, until_s: float) -> bool:
        """Run the next thing that is due by then; return whether there was one."""
        if not self._due or self._due[0][0] > until_s:
            return False
        self.now, _, act = heapq.heappop(self._due)
        act()
        return True

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and run all that falls due."""
        until = self.now + seconds
        while self.next(until):
            pass
        self.now = until


class Lane:
    """First in, first out, each after a delay of chance: a connection, a pipe, a watch."""

    def __init__(
        self,
        clock: ManualClock,
        rng: Random,
        delays_s: tuple[float, float],
        shut_until: Callable[[], float] = lambda: 0.0,
    ):
        self._clock, self._rng, self.delays_s = clock, rng, delays_s
        self._shut_until = shut_until
        """What arrives before this time waits for it: nobody listens, or nothing gets through."""
        self.last = 0.0
        """When the last of what was sent arrives."""
        self.cut_at = float("inf")
        """What has not arrived by then never does."""

    def send(self, act: Act) -> None:
        """Run `act` when it arrives."""
        self.last = max(self.last, self._clock.now + self._rng.uniform(*self.delays_s))
        self._clock.at(self.last, lambda: self._arrive(act))

    def hold(self, seconds: float) -> None:
        """Nothing more arrives for so long."""
        self.last = max(self.last, self._clock.now) + seconds

    def cut(self) -> None:
        """Break: of what is under way, only the first few arrive."""
        self.cut_at = self._rng.uniform(self._clock.now, max(self._clock.now, self.last))

    def _arrive(self, act: Act) -> None:
        shut_until = self._shut_until()
        if self._clock.now > self.cut_at:
            return
        if self._clock.now < shut_until:
            self.last = max(self.last, shut_until)
            self._clock.at(shut_until, lambda: self._arrive(act))
        else:
            act()
