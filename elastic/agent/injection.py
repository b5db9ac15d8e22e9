"""Carries out on the workers of this agent what `--chaos` has planned.

Faults are made as the world makes them: a signal, a request, a process more. Only what would end
the job or this agent is left out: the last member that holds State, the last worker to leave.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from elastic import control
from elastic.agent.chaos import Fault
from elastic.agent.settings import AgentSettings
from elastic.world import World

__all__ = ["Actions", "Injector"]

LONGEST_STEP_S = 1.0
"""A fault comes at most so late, however long the last step took."""
GROWTH = 2
"""An agent is joined by workers until it has so many times those that it began with."""


@dataclass(frozen=True)
class Actions:
    """What the injector may do."""

    after: Callable[[float, Callable[[], None]], None]
    """Do something when so many seconds have passed."""
    send: Callable[[Any, Any], None]
    """Say something to a worker."""
    spawn: Callable[[int], None]
    """Start a worker with this local rank."""
    taken: Callable[[], set[int]]
    """The local ranks in use."""
    over: Callable[[], bool]
    """Whether the job is over or this agent leaves: a planned fault comes too late."""
    tell: Callable[[dict[str, Any]], None]
    """A fault was made."""


@dataclass(frozen=True)
class _Strike:
    """A fault, the worker that it is meant for, and the group as it was planned for."""

    fault: Fault
    id: str
    worker: Any
    group: tuple[str, ...]
    ours: Mapping[str, Any]


class Injector:
    """Faults of one agent; without a plan it makes none."""

    def __init__(self, settings: AgentSettings, act: Actions):
        self._plan, self._settings, self._act = settings.chaos, settings, act
        self._step, self._last_t = 0, 0.0
        self._going: dict[Any, str] = {}
        """Workers that were killed or asked to leave, and which of it."""
        self._made: Counter[str] = Counter()

    def committed(self, step: int, now: float, group: World, ours: Mapping[str, Any]) -> None:
        """A step is committed: plan what follows it. `ours` are our workers by member id."""
        if self._plan is None or step <= self._step or not group.ids:
            return
        took_s = min(now - self._last_t, LONGEST_STEP_S) if self._last_t else 0.0
        self._step, self._last_t = step, now
        fault = self._plan.after(step)
        if fault is None:
            return
        id = group.ids[fault.rank(len(group.ids))]
        if id in ours:
            strike = _Strike(fault, id, ours[id], group.ids, dict(ours))
            self._act.after(fault.when * took_s, lambda: self._make(strike))

    def took(self, worker: Any) -> str:
        """Return which fault ended this worker: 'kill', 'leave', or '' if it was none of ours."""
        return self._going.pop(worker, "")

    def __str__(self) -> str:
        made = ", ".join(f"{count} {kind}" for kind, count in sorted(self._made.items()))
        return f"chaos {self._plan.seed} made {made or 'no fault'}" if self._plan else ""

    def _make(self, strike: _Strike) -> None:
        worker, kind = strike.worker, strike.fault.kind
        if (
            self._act.over()
            or worker.exit is not None
            or worker in self._going
            or not self._may(strike)
        ):
            return
        account = self._account(strike)
        getattr(self, f"_{kind}")(strike)
        self._made[kind] += 1
        self._act.tell(account)

    def _may(self, strike: _Strike) -> bool:
        """Whether the job, and this agent, outlive it."""
        kind, going = strike.fault.kind, len(self._going)
        left = len(strike.group) - going - 1
        if kind == "kill":
            return left > 0
        if kind == "leave":
            here = sum(id in strike.ours for id in strike.group) - going - 1
            return here > 0 and left >= self._settings.min_workers
        return kind != "join" or len(self._act.taken()) < GROWTH * self._settings.nproc

    def _account(self, strike: _Strike) -> dict[str, Any]:
        assert self._plan is not None
        fault, worker = strike.fault, strike.worker
        account: dict[str, Any] = {"seed": self._plan.seed, "step": fault.step, "fault": fault.kind}
        if fault.kind != "join":
            account |= {"rank": strike.group.index(strike.id), "pid": worker.pid}
        if fault.kind in ("stop", "partition"):
            account["duration_s"] = round(fault.duration_s, 3)
        return account

    # -- the faults ----------------------------------------------------------------------------

    def _kill(self, strike: _Strike) -> None:
        assert self._plan is not None
        self._going[strike.worker] = "kill"
        strike.worker.kill(f"chaos {self._plan.seed}, after step {strike.fault.step}")

    def _stop(self, strike: _Strike) -> None:
        worker = strike.worker
        worker.signal(signal.SIGSTOP)
        self._act.after(strike.fault.duration_s, lambda: worker.signal(signal.SIGCONT))

    def _join(self, strike: _Strike) -> None:
        taken = self._act.taken()
        self._act.spawn(next(rank for rank in count() if rank not in taken))

    def _partition(self, strike: _Strike) -> None:
        self._act.send(strike.worker, control.CutOff(strike.fault.duration_s))

    def _leave(self, strike: _Strike) -> None:
        self._going[strike.worker] = "leave"
        self._act.send(strike.worker, control.LeaveRequest("chaos", (strike.id,)))
