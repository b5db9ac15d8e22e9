"""Which workers are to be started again, and when (S10)."""

from __future__ import annotations

from elastic.agent.restart import RestartPolicy, Restarts, Verdict, after_exit, after_success

__all__ = ["Respawns"]


class Respawns:
    """What this agent owes to its dead: local ranks to start again, and not before when."""

    def __init__(self, max_restarts: int):
        self._policy = RestartPolicy(max_restarts)
        self._restarts = Restarts()
        self._owed: list[tuple[int, float]] = []
        self._lost_in, self._trained_in = -1, 0
        """In which generations a member of this agent was lost last, and applied a step last."""

    def lost(self, generation: int) -> None:
        """A member of this agent was lost in a generation."""
        self._lost_in = generation

    def trained(self, generation: int, local_rank: int) -> None:
        """A worker has applied a step: its back-off starts anew."""
        self._trained_in = generation
        self._restarts = after_success(self._restarts, local_rank)

    def owe(self, local_rank: int, now: float) -> Verdict:
        """Have a worker started again after a back-off, if the allowance permits."""
        self._restarts, verdict = after_exit(self._restarts, local_rank, self._policy)
        if verdict.delay_s is not None:
            self.grant(local_rank, now + verdict.delay_s)
        return verdict

    def grant(self, local_rank: int, t: float) -> None:
        """Have a worker started again at `t`, whatever the allowance."""
        self._owed.append((local_rank, t))

    def clear(self) -> None:
        """Start nobody again."""
        self._owed = []

    @property
    def local_ranks(self) -> set[int]:
        """Of those that will be started."""
        return {rank for rank, _ in self._owed}

    def alarms(self, survivors: int) -> list[float]:
        """Return when somebody is due next, as long as so many members train."""
        return [t for _, t in self._owed] if self._may_start(survivors) else []

    def take_due(self, now: float, survivors: int) -> list[int]:
        """Return the local ranks to start now; they are owed no more."""
        if not self._may_start(survivors):
            return []
        due = [rank for rank, t in self._owed if t <= now]
        self._owed = [(rank, t) for rank, t in self._owed if t > now]
        return due

    def _may_start(self, survivors: int) -> bool:
        """A starting interpreter takes a core: not before the survivors' first step (S10)."""
        return self._trained_in > self._lost_in or not survivors
