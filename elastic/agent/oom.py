"""Did the kernel kill for memory? Its counters, of this cgroup (v2) and of the host."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["OomWatch"]


class OomWatch:
    """Counts the kills of the kernel's OOM killer since the last look.

    The counter of our cgroup is preferred, for a host may be many people's.
    """

    def __init__(self, root: Path = Path("/")):
        self._file = _counter(root)
        self._seen = self._read() or 0

    @property
    def is_readable(self) -> bool:
        """Whether this system has a counter that we may read."""
        return self._read() is not None

    def look(self) -> int:
        """Return how many there were since the last look."""
        before, self._seen = self._seen, self._read() or self._seen
        return max(0, self._seen - before)

    def _read(self) -> int | None:
        try:
            found = re.search(r"^oom_kill (\d+)$", self._file.read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) if found else None


def _counter(root: Path) -> Path:
    try:
        entries = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        entries = []
    for entry in entries:
        if entry.startswith("0::"):
            events = root / "sys/fs/cgroup" / entry[3:].lstrip("/") / "memory.events"
            if events.is_file():
                return events
    return root / "proc/vmstat"
