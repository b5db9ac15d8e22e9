"""Connections between workers: in order, each with its own delay, broken by death or by fault."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from elastic.testing.clock import Lane, ManualClock

__all__ = ["Network", "Process"]


class Process(Protocol):
    """What the network knows of a worker."""

    address: str
    alive: bool

    def receive(self, message: Any) -> None:
        """Take a message."""

    def lose(self, address: str, reason: str) -> None:
        """The connection to a peer broke."""

    def part(self, address: str) -> None:
        """A peer said goodbye."""


class Network:
    """All connections. A message to the dead is lost, and its sender is told."""

    def __init__(self, clock: ManualClock, rng: Random, delays_s: tuple[float, float]):
        self._clock, self._rng, self._delays_s = clock, rng, delays_s
        self._lanes: dict[tuple[str, str], Lane] = {}
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
                source.lose(target.address, "broke the connection")

        return notice

    def _send(self, source: Process, target: str, act: Callable[[Process], None]) -> None:
        process = self.processes[target]

        def arrive() -> None:
            if process.alive:
                act(process)
            else:
                self._tell_lost(source, target, "refused a message")

        self._lane(source.address, target).send(arrive)

    def _lane(self, source: str, target: str) -> Lane:
        lane = self._lanes.get((source, target))
        if lane is None:
            lane = self._lanes[source, target] = Lane(self._clock, self._rng, self._delays_s)
        return lane

    def _others(self, process: Process) -> list[str]:
        return [a for a, other in self.processes.items() if other.alive and other is not process]

    def _tell_lost(self, told: Process, address: str, reason: str, after: float = 0.0) -> None:
        t = max(after, self._clock.now) + self._rng.uniform(*self._delays_s)
        self._clock.at(t, lambda: told.lose(address, reason) if told.alive else None)
