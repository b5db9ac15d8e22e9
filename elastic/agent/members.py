"""Which workers of this agent are members, and of which group; when a loss was first seen."""

from __future__ import annotations

import secrets
from typing import Any

from elastic import control
from elastic.agent.supervisor import Worker
from elastic.world import World

__all__ = ["Members", "Signs"]


class Members:
    """The workers of one agent, as the rendezvous knows them."""

    def __init__(self) -> None:
        self.ids: dict[Worker, str] = {}
        self.addresses: dict[Worker, str] = {}
        """Where those that are ready listen."""
        self.group = World(members=())
        """The group that was told last."""
        self.grouped: set[str] = set()
        """Members of this agent in it."""
        self._applied: dict[Worker, int] = {}
        """The step that each worker said last."""
        self._fenced: dict[Worker, int] = {}
        """Stopped workers that count as dead, with the last generation that they were in."""

    def name(self, worker: Worker) -> str:
        """Return the id of a worker that becomes a member, from now on or anew."""
        self.ids[worker] = f"{secrets.token_hex(4)}-{worker.local_rank}"
        return self.ids[worker]

    def forget(self, worker: Worker) -> str:
        """Drop one that has ended; return the id that it had, '' if it was no member."""
        for known in (self.addresses, self._applied, self._fenced):
            known.pop(worker, None)
        return self.ids.pop(worker, "")

    def of(self, ids: tuple[str, ...] | set[str]) -> list[Worker]:
        """Return the workers that bear one of these ids."""
        return [worker for worker, id in self.ids.items() if id in ids]

    def survivors(self, min_workers: int) -> int:
        """Return how many members of this agent train now."""
        enough = self.group.size >= min_workers
        return len(self.grouped & set(self.ids.values())) if enough else 0

    def who(self, worker: Worker) -> dict[str, Any]:
        """Return what events say of a worker."""
        return {
            "worker": self.ids.get(worker, f"local {worker.local_rank}"),
            "pid": worker.pid,
            "local_rank": worker.local_rank,
            "rank": worker.log.rank,
            "world_size": self.group.size,
            "generation": self.group.generation,
        }

    def is_applied(self, worker: Worker, message: control.Committed) -> bool:
        """Whether it tells of a new step: a line may also open the audit, or be said again."""
        opens = message.line is not None and "step" not in message.line
        before = self._applied.get(worker, -1)
        self._applied[worker] = message.step
        return message.step > before and not opens

    # -- fenced workers (S8) -------------------------------------------------------------------

    def may_fence(self, worker: Worker) -> bool:
        """Whether a stopped worker may count as dead: not if all of its group is stopped."""
        running = {id for other, id in self.ids.items() if other.state != "T"}
        others = set(self.group.ids) - set(self.ids.values())
        id = self.ids.get(worker, "")
        return bool(id) and (id not in self.grouped or bool(running & self.grouped or others))

    def fence(self, worker: Worker) -> str:
        """Take the id of a stopped worker away, and return it."""
        self._fenced[worker] = self.group.generation
        return self.ids.pop(worker)

    def is_heard(self, worker: Worker, message: Any) -> bool:
        """Whether a worker speaks as the member that it is now: a fenced one is dead."""
        if worker not in self._fenced:
            return True
        if not isinstance(message, control.Event):
            return isinstance(message, control.Failure)
        if message.fields.get("generation", 0) > self._fenced[worker]:
            del self._fenced[worker]
        return True


class Signs:
    """When the loss was first seen that the next group answers, by the monotonic clock."""

    def __init__(self) -> None:
        self._first = 0.0
        self._waited: dict[str, float] = {}
        """Since when members were waited for that were not heard of."""

    def saw(self, t: float) -> None:
        """Somebody broke or ended."""
        self._first = min(self._first or t, t)

    def waited(self, id: str, since: float) -> None:
        """A member is waited for since then."""
        self._waited.setdefault(id, since)

    def take(self, lost: tuple[str, ...]) -> float:
        """Return when the first sign of these losses was seen, 0 if none was; begin anew."""
        waits = [self._waited[id] for id in lost if id in self._waited]
        first = self._first or min(waits, default=0.0) if lost else 0.0
        self._first, self._waited = 0.0, {}
        return first
