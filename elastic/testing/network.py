"""Connections between workers: in order, each with its own delay, broken by death or by fault.

Between two hosts, or a host and the store, the network may be *dark* in one direction or in both:
nothing that is sent gets through before it ends. A connection that is silent for too long breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any, Protocol

from elastic.testing.clock import Lane, ManualClock

__all__ = ["STORE", "Network", "Process", "host_of"]

STORE = "store"
"""The host of the store."""
SILENCE_S = (1.0, 4.0)
"""After so long a silent connection is taken for broken (keepalive)."""


def host_of(address: str) -> str:
    """Return the host of an address."""
    return address.partition(".")[0]


class Process(Protocol):
    """What the network knows of a worker."""

    address: str
    alive: bool
    asleep: Any
    """None unless the process is stopped."""

    def receive(self, message: Any) -> None:
        """Take a message."""

    def lose(self, address: str, reason: str) -> None:
        """The connection to a peer broke."""

    def part(self, address: str) -> None:
        """A peer said goodbye."""

    def awake(self, act: Callable[[], None]) -> None:
        """Do this now, or as soon as the process runs again."""


class Network:
    """All connections. A message to the dead is lost, and its sender is told."""

    def __init__(self, clock: ManualClock, rng: Random, delays_s: tuple[float, float]):
        self._clock, self._rng, self._delays_s = clock, rng, delays_s
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._dark: dict[tuple[str, str], float] = {}
        self.processes: dict[str, Process] = {}

    def send(self, source: Process, target: str, message: Any) -> None:
        """Send; what one process sends to another arrives in order, or not at all."""
        self._send(source, target, lambda process: process.receive(message))

    def goodbye(self, source: Process) -> None:
        """Say after all else to everybody that this process goes of its own will."""
        for other in self._others(source):
            self._send(source, other, lambda process: process.part(source.address))

    def connect(self, source: Process, target: str) -> None:
        """Find out whether the target is there."""
        process = self.processes[target]
        if self.is_dark(host_of(source.address), host_of(target)):
            self._break_if_silent(source, process)
            return
        if not process.alive:
            self._tell_lost(source, target, "refused the connection")

    def died(self, dead: Process) -> None:
        """Break all connections of a process that was killed."""
        for other in self._others(dead):
            lane = self._lanes.pop((dead.address, other), None)
            if lane is not None:
                lane.cut()
            after = lane.cut_at if lane is not None else self._clock.now
            self._tell_lost(self.processes[other], dead.address, "broke the connection", after)

    def darken(self, source: str, target: str, seconds: float) -> None:
        """For so long nothing gets through from one host to the other."""
        self._dark[source, target] = max(self.dark_until(source, target), self._clock.now + seconds)
        living = [process for process in self.processes.values() if process.alive]
        for one, other in product(living, living):
            if (host_of(one.address), host_of(other.address)) == (source, target):
                self._break_if_silent(one, other)

    def dark_until(self, source: str, target: str) -> float:
        """Return when something gets through again from one host to another; 0: it always did."""
        return self._dark.get((source, target), 0.0)

    def is_dark(self, one: str, other: str) -> bool:
        """Whether a question from one host to the other gets no answer now."""
        return self._clock.now < max(self.dark_until(one, other), self.dark_until(other, one))

    def stopped(self, process: Process) -> None:
        """A process no longer answers: whoever notices takes the connection for broken."""
        for other in self._others(process):
            self._break_if_silent(self.processes[other], process)

    def _break_if_silent(self, one: Process, other: Process) -> None:
        def look() -> None:
            if not other.alive:
                self._tell_lost(one, other.address, "does not answer")
            elif one.alive and self._is_silent(one, other):
                self.broke(one, other)

        self._clock.after(self._rng.uniform(*SILENCE_S), look)

    def _is_silent(self, one: Process, other: Process) -> bool:
        return other.asleep is not None or self.is_dark(
            host_of(one.address), host_of(other.address)
        )

    def broke(self, one: Process, other: Process) -> None:
        """Break the connection between two that live: both notice, and connect anew."""
        for source, target in ((one, other), (other, one)):
            lane = self._lane(source.address, target.address)
            lane.cut()
            self._clock.after(self._rng.uniform(0, 0.01), self._noticer(source, target, lane))

    def _noticer(self, source: Process, target: Process, lane: Lane) -> Callable[[], None]:
        def notice() -> None:
            if self._lanes.get((source.address, target.address)) is lane:
                del self._lanes[source.address, target.address]
            if source.alive:
                source.awake(lambda: source.lose(target.address, "broke the connection"))

        return notice

    def _send(self, source: Process, target: str, act: Callable[[Process], None]) -> None:
        process = self.processes[target]

        def arrive() -> None:
            if process.alive:
                process.awake(lambda: act(process))
            else:
                self._tell_lost(source, target, "refused a message")

        self._lane(source.address, target).send(arrive)

    def _lane(self, source: str, target: str) -> Lane:
        lane = self._lanes.get((source, target))
        if lane is None:
            hosts = host_of(source), host_of(target)
            lane = Lane(self._clock, self._rng, self._delays_s, lambda: self.dark_until(*hosts))
            self._lanes[source, target] = lane
        return lane

    def _others(self, process: Process) -> list[str]:
        return [a for a, other in self.processes.items() if other.alive and other is not process]

    def _tell_lost(self, told: Process, address: str, reason: str, after: float = 0.0) -> None:
        dark = self.is_dark(host_of(address), host_of(told.address))
        delays_s = SILENCE_S if dark else self._delays_s
        t = max(after, self._clock.now) + self._rng.uniform(*delays_s)

        def tell() -> None:
            if told.alive:
                told.awake(lambda: told.lose(address, reason))

        self._clock.at(t, tell)
