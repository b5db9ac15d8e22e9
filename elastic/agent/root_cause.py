"""Why a run failed, told once: the first failure that was not made good. Pure.

What comes after the first one is usually its consequence, so it is no cause; and a failure after
whose recovery the group has trained on is no cause of what happens later.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

__all__ = ["Cause", "RootCause", "hint", "last_line", "who"]

_HINTS = {
    "SIGSEGV": "native code crashed: its stack is among the worker's last lines",
    "SIGABRT": "native code gave up: why is among the worker's last lines",
    "SIGBUS": "memory behind a file was missing: is /dev/shm or a disk full?",
    "SIGILL": "an instruction that this processor lacks: a library built for another",
    "SIGFPE": "native code divided by zero",
    "SIGTERM": "somebody ended the worker; signal its elastic-run instead, which leaves cleanly",
    "SIGXCPU": "a limit of processor time (ulimit -t)",
}
_LAST_LINES = 20


def who(rank: int | None, id: str, pid: int, host: str) -> str:
    """Return a worker's name for people, unique over all hosts."""
    name = "a worker in no group" if rank is None else f"rank {rank}"
    return f"{name} (member {id or 'none'}, pid {pid}) on {host}"


def hint(how: str, oom_kills: int, oom_is_readable: bool) -> str:
    """Return what is likely behind a worker's end (`Exit.how`), or nothing.

    `oom_kills`: how many processes the kernel has killed for memory since the last look.
    """
    if how != signal.SIGKILL.name:
        return _HINTS.get(how, "")
    if oom_kills:
        return (
            "out of memory: the kernel's OOM killer struck at that time (dmesg names its victim); "
            "give more memory, fewer workers a host, or smaller micro-batches"
        )
    if oom_is_readable:
        return "from outside: the kernel's OOM killer counts no kill at that time"
    return "out of memory? dmesg would tell"


@dataclass(frozen=True)
class Cause:
    """One failure of one worker."""

    who: str
    how: str
    """'killed by SIGKILL', 'exited with 1', …"""
    generation: int
    step: int
    place: str = ""
    """Where the user's code raised, if it did."""
    text: str = ""
    """Its traceback; else the last lines of its stderr."""
    hint: str = ""
    done: str = ""
    """What was done about it."""

    @property
    def headline(self) -> str:
        """In one line: who, and what happened."""
        what = self.how
        if self.place:
            what = f"{last_line(self.text)}, at {self.place}"
        return f"{self.who}: {what}" + (f" ({self.hint})" if self.hint else "")

    def __str__(self) -> str:
        head = [self.headline, f"  in generation {self.generation}, after step {self.step}"]
        head += [f"  done about it: {self.done}"] if self.done else []
        lines = self.text.rstrip().splitlines()
        kept = lines if self.place else lines[-_LAST_LINES:]
        title = [] if self.place or not kept else ["  the last lines of its stderr:"]
        return "\n".join([*head, *title, *(f"    {line}" for line in kept)])

    def fields(self) -> dict[str, Any]:
        """Return it for an event."""
        return {name: value for name, value in vars(self).items() if value != ""}


def last_line(text: str) -> str:
    """Return the last line that is not empty: of a traceback, the exception."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


class RootCause:
    """The first failure since all was well."""

    def __init__(self) -> None:
        self._first: Cause | None = None

    def failed(self, cause: Cause) -> None:
        """A worker failed: the cause, unless there is one."""
        self._first = self._first or cause

    def trained(self, generation: int) -> None:
        """A step was applied: failures of earlier generations are made good."""
        if self._first is not None and generation > self._first.generation:
            self._first = None

    def __str__(self) -> str:
        return str(self._first or "")
