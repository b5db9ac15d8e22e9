"""Why a worker ended, in one cause: its last words, its exit, the kernel's counters."""

from __future__ import annotations

from elastic.agent.oom import OomWatch
from elastic.agent.root_cause import Cause, hint, last_line, who
from elastic.agent.supervisor import Worker
from elastic.control import Failure

__all__ = ["Postmortem"]


class Postmortem:
    """Looks at the dead of one host."""

    def __init__(self, host: str):
        self._host = host
        self._oom = OomWatch()
        self._raised: dict[Worker, Failure] = {}
        """What workers that are about to end have said of why."""

    def raised(self, worker: Worker, id: str, failure: Failure) -> str:
        """Note what a worker's code raised; return it with who it was, for the other hosts."""
        self._raised[worker] = failure
        headline = f"{self._who(worker, id)}: {last_line(failure.traceback)}"
        return f"{headline}\n{failure.traceback}"

    def where(self, worker: Worker) -> str:
        """Return which process it was, beside its member id."""
        return f"rank {worker.log.rank}, pid {worker.pid} on {self._host}"

    def cause(self, worker: Worker, id: str, generation: int, step: int) -> Cause:
        """Return why a worker has ended; nothing was done about it yet."""
        assert worker.exit is not None
        raised = self._raised.pop(worker, None)
        oom_kills = self._oom.look()
        ours = worker.exit.killed_because
        return Cause(
            self._who(worker, id),
            str(worker.exit),
            generation,
            step,
            raised.place if raised else "",
            raised.traceback if raised else worker.log.tail,
            "" if ours else hint(worker.exit.how, oom_kills, self._oom.is_readable),
        )

    def _who(self, worker: Worker, id: str) -> str:
        return who(worker.log.rank, id, worker.pid, self._host)
