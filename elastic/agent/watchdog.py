"""Which workers hang, and which stand still (PROTOCOL S8).

What a worker does is judged, not how long a step takes: only one that stays in user code past its
deadline hangs. A stopped process (state T) cannot act; whoever waits for it waits for nothing.
"""

from __future__ import annotations

import re
import signal
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastic.telemetry.activity import Activity

__all__ = ["Actions", "Watchdog", "deadline_s", "where"]

LEAST_S = 30.0
"""By default user code may take so long, however fast it was so far."""
LEAST_IN_HOOK_S = 600.0
"""A hook may do far more now and then: an evaluation, an export."""
TIMES_SLOWEST = 10.0
STOPPED_S = 1.0
DUMP_S = 0.5
"""How long a worker has to write its stacks before it is killed."""
LOOK_S = 1.0
MISSED = 16
"""So many of those that a worker waits for are asked after at a time."""
LONGEST_MISSED_S = 16.0
"""The pauses between two questions about the same wait double, up to this."""
_UNSEEN_S = 5.0
"""If the agent has not looked for so long, it stood still itself: nobody is judged by that time."""
_LIBRARIES = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
_NOT_THE_USERS = (str(Path(__file__).parents[1]), *_LIBRARIES)
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)$')


def deadline_s(activity: Activity, given_s: float | None) -> float | None:
    """Return how long this may take; None: for ever.

    What has never ended once has no deadline unless the user gave one.
    """
    if not activity.in_user_code:
        return None
    if given_s is not None:
        return given_s
    if not activity.slowest_s:
        return None
    least_s = LEAST_S if activity.name in ("train_step", "update") else LEAST_IN_HOOK_S
    return max(least_s, TIMES_SLOWEST * activity.slowest_s)


def where(tail: str) -> str:
    """Return 'file:line in function' of user code from a dump of stacks, '' if there is none."""
    _, _, text = tail.rpartition("Current thread")
    found = [match for line in text.splitlines() if (match := _FRAME.match(line))]
    theirs = [match for match in found if not match["file"].startswith(_NOT_THE_USERS)]
    for match in theirs[:1] or found[:1]:
        return f"{match['file']}:{match['line']} in {match['name']}"
    return ""


@dataclass(frozen=True)
class Actions:
    """What the watchdog may do."""

    at: Callable[[float, Callable[[], None]], None]
    """Do something at a time."""
    fence: Callable[[Any, str], bool]
    """Count a stopped worker as dead, for a reason; False: not now."""
    readmit: Callable[[Any], None]
    """A fenced worker goes on: it returns as a newcomer."""
    missed: Callable[[str, float], None]
    """A member is waited for since then: is it there? A sign of its death there is not."""


class Watchdog:
    """Looks at the workers of this agent, once a second and whenever one stops or goes on."""

    def __init__(self, step_timeout_s: float | None, act: Actions):
        self._given_s, self._act = step_timeout_s, act
        self._stopped: dict[Any, float] = {}
        """Since when a worker has been seen stopped."""
        self._fenced: set[Any] = set()
        self._hung: set[Any] = set()
        self._asked: dict[Any, tuple[float, float]] = {}
        """Since when a worker waits, and when it is asked again about those it waits for."""
        self._awake_since = self._looked_at = 0.0
        self._due = 0.0

    def wake(self) -> None:
        """A worker has stopped or goes on: the next `look` is not a second too late."""
        self._due = 0.0

    def look(self, workers: Iterable[Any], now: float) -> None:
        """Judge all of them, if it is time to."""
        if now < self._due:
            return
        workers, self._due = tuple(workers), now + LOOK_S
        if now - self._looked_at > _UNSEEN_S:
            self._awake_since = now
            self._stopped = dict.fromkeys(self._stopped, now)
        self._looked_at = now
        self._forget({*self._stopped, *self._fenced, *self._hung, *self._asked} - {*workers})
        for worker in workers:
            if worker.state == "T":
                self._stands_still(worker, now)
            else:
                self._goes_on(worker)
                self._check_activity(worker, now)
                self._check_wait(worker, now)

    def _forget(self, gone: set[Any]) -> None:
        self._fenced -= gone
        self._hung -= gone
        for worker in gone:
            self._stopped.pop(worker, None)
            self._asked.pop(worker, None)

    def _stands_still(self, worker: Any, now: float) -> None:
        since = self._stopped.setdefault(worker, now)
        if worker in self._fenced:
            return
        if now < since + STOPPED_S:
            self._act.at(since + STOPPED_S, self.wake)
        elif self._act.fence(worker, f"stopped (process state T) for {STOPPED_S:g} s"):
            self._fenced.add(worker)

    def _goes_on(self, worker: Any) -> None:
        self._stopped.pop(worker, None)
        if worker in self._fenced:
            self._fenced.remove(worker)
            self._act.readmit(worker)

    def _check_activity(self, worker: Any, now: float) -> None:
        activity = worker.activity
        limit_s = deadline_s(activity, self._given_s) if activity else None
        if activity is None or limit_s is None or worker in self._hung:
            return
        took_s = now - max(activity.since, self._awake_since)
        if took_s > limit_s:
            self._hung.add(worker)
            worker.signal(signal.SIGQUIT)  # its stacks go to its log: see bootstrap
            self._act.at(now + DUMP_S, lambda: self._kill(worker, activity, took_s))

    def _check_wait(self, worker: Any, now: float) -> None:
        """Ask after those that are waited for: a host may be gone without a word."""
        activity = worker.activity
        if activity is None or not activity.whom:
            self._asked.pop(worker, None)
            return
        since, due = self._asked.get(worker, (0.0, 0.0))
        if since == activity.since and now < due:
            return
        pause_s = 1.0 if since != activity.since else min(LONGEST_MISSED_S, now - since)
        self._asked[worker] = activity.since, now + pause_s
        for id in activity.whom.split(", ")[:MISSED]:
            self._act.missed(id, activity.since)

    def _kill(self, worker: Any, activity: Activity, took_s: float) -> None:
        place = where(worker.log.tail)
        at = f", at {place}" if place else ""
        cure = "" if self._given_s is not None else "; if that was no hang, raise --step-timeout"
        worker.kill(f"it hung in {activity}{at}, for {took_s:.0f} s{cure}")
