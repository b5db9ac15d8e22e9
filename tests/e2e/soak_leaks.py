"""Do survivors grow? Memory, descriptors, threads and listening ports of processes that live long.

A process is measured again and again; what it had when it was young is compared with what it has
at the end, for the same size of the group at most: a peer more costs descriptors and threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

__all__ = ["Growth", "Leaks"]

YOUNG_S = 5.0
"""A process is measured from this age on."""
RSS_BYTES = 48 << 20
"""Arenas and buffers of a busy process vary by so much."""
DESCRIPTORS = 16
THREADS = 12
PER_PEER = 8
"""Descriptors, and threads, that a peer more may cost."""


@dataclass(frozen=True)
class Size:
    """What a process holds at one time."""

    rss_bytes: int
    descriptors: int
    threads: int
    listening: int
    peers: int


@dataclass(frozen=True)
class Growth:
    """A process from young to its last measurement."""

    pid: int
    what: str
    first: Size
    last: Size

    @property
    def leaks(self) -> list[str]:
        """What grew beyond what its peers explain."""
        peers = PER_PEER * max(0, self.last.peers - self.first.peers)
        allowed = {
            "rss_bytes": RSS_BYTES,
            "descriptors": DESCRIPTORS + peers,
            "threads": THREADS + peers,
            "listening": 0,
        }
        return [
            f"{self.what} (pid {self.pid}): {name} grew from {before} to {after}"
            for name, most in allowed.items()
            if (after := getattr(self.last, name)) > (before := getattr(self.first, name)) + most
        ]


class Leaks:
    """Measures processes of one job."""

    def __init__(self) -> None:
        self._grown: dict[tuple[int, float], Growth] = {}

    def measure(self, what: str, pid: int, peers: int, now: float) -> None:
        """Measure a process, if it is there and no longer young; `now` is the wall's time."""
        try:
            process = psutil.Process(pid)
            born = process.create_time()
            if now - born < YOUNG_S:
                return
            with process.oneshot():
                size = _size(process, peers)
        except psutil.Error:
            return
        first = self._grown[pid, born].first if (pid, born) in self._grown else size
        self._grown[pid, born] = Growth(pid, what, first, size)

    @property
    def grown(self) -> list[Growth]:
        """All processes that were measured."""
        return list(self._grown.values())


def _size(process: psutil.Process, peers: int) -> Size:
    states = [each.status for each in process.net_connections("tcp")]
    return Size(
        process.memory_info().rss,
        process.num_fds(),
        process.num_threads(),
        states.count(psutil.CONN_LISTEN),
        peers,
    )
