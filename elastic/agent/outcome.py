"""How an agent's part in a job ends: what the job came to, what was asked of it, what failed."""

from __future__ import annotations

from elastic.agent.cli import EXIT_DONE, EXIT_FAILED
from elastic.agent.root_cause import RootCause
from elastic.rendezvous import commands as do

__all__ = ["Outcome"]


class Outcome:
    """All that the exit code of `elastic-run` depends on, but for the audit."""

    def __init__(self) -> None:
        self.over: do.TellOver | None = None
        """What the job came to."""
        self.signal = 0
        """By which this agent was asked to leave."""
        self.failed = False
        """A worker failed that is not started again."""
        self.failed_after = False
        """A worker failed after the job was done: its script does more than train."""
        self.root_cause = RootCause()

    @property
    def is_done(self) -> bool:
        """Whether the job has its result."""
        return self.over is not None and self.over.result is not None

    @property
    def is_ending(self) -> bool:
        """Whether the job is over or this agent leaves."""
        return self.over is not None or bool(self.signal)

    @property
    def failure(self) -> str | None:
        """Why the training failed, as far as this agent knows; None if it did not."""
        if self.is_done or self.signal or not (self.over or self.failed):
            return None
        return (self.over.cause if self.over else "") or str(self.root_cause)

    @property
    def exit_code(self) -> int:
        """What `elastic-run` returns."""
        if self.is_done:
            return EXIT_FAILED if self.failed_after else EXIT_DONE
        if self.signal:
            return 128 + self.signal
        return EXIT_DONE if self.failure is None else EXIT_FAILED
