"""What an agent writes down of a run: events, the audit and its verdict, the report, progress.

A service to the run: a full disk stops none of it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from elastic import audit
from elastic.agent.board import Board
from elastic.agent.progress import Progress
from elastic.agent.report import RunReport, recovery_in
from elastic.agent.settings import AgentSettings
from elastic.clock import wall
from elastic.control import Committed, Event, Group
from elastic.telemetry.events import EventLog

__all__ = ["Evidence"]


class Evidence:
    """Everything that outlives a run. `say` is for the user's eyes."""

    def __init__(
        self, settings: AgentSettings, say: Callable[[str], None], *, tells_steps: bool = True
    ):
        self._settings, self._say = settings, say
        self._events = EventLog(settings.events, say)
        self._audit = AuditFile(settings.audit, say)
        self._report = RunReport()
        self._progress = Progress(say, tells_steps=tells_steps)
        self.host = socket.gethostname()
        self.board = Board(settings.job, self.host)
        self._generation = self._world_size = 0
        self.step = 0
        """The last that was committed."""

    def event(self, name: str, **fields: Any) -> None:
        """Write an event: who, where and when; one that is no worker's has no rank."""
        group = {"world_size": self._world_size, "generation": self._generation}
        fields = {"worker": None, "rank": None, **group, **fields}
        self._events.emit(name, **fields)
        self.board.event(name, wall(), fields)

    def injected(self, fault: dict[str, Any]) -> None:
        """This agent made a fault (`--chaos`)."""
        self.event("chaos", **fault)
        self._report.injected(fault)
        told = ", ".join(f"{name} {value}" for name, value in fault.items() if name != "fault")
        self._say(f"chaos: {fault['fault']} ({told})")

    def grouped(self, group: Group) -> None:
        """A generation was formed."""
        if group.generation > self._generation:
            self._generation, self._world_size = group.generation, len(group.members)
            self._report.grouped(len(group.members))
            self._progress.grouped(group)
            self.board.grouped(group)

    def observe(self, message: Any, **who: Any) -> None:
        """Take what a worker (`who`) said, if it is evidence of anything."""
        self._report.observe(message)
        if isinstance(message, Committed):
            self._committed(message, who)
        elif isinstance(message, Event):
            self.event(message.event, **who | message.fields)
            self._progress.told(message)
            recovery = recovery_in(message)
            if recovery is not None:
                self._progress.recovered(recovery)
                self.board.recovered(recovery)

    def _committed(self, message: Committed, who: dict[str, Any]) -> None:
        if message.line is not None:
            self._audit.append(message.line)
        self.board.committed(message, who["local_rank"])
        if message.step > self.step:
            self.step = message.step
            self._progress.committed(message)
            self.event("step", **who | message.metrics, step=message.step)

    def finish(self, result: dict[str, Any] | None) -> str:
        """Write the report; return the verdict of the audit, '' if there was nothing to verify."""
        verdict = self._audit.verdict()
        if verdict:
            self._report.audited(verdict)
        if result is not None:
            self._report.finished(result)
        if self._settings.report is not None:
            try:
                self._report.write(self._settings.report)
            except OSError as error:
                self._say(f"the report could not be written: {error}")
        self._events.close()
        self._audit.close()
        return verdict


class AuditFile:
    """The lines of evidence, verified as they come; kept in a file if there is a path."""

    def __init__(self, path: Path | None, say: Callable[[str], None]):
        self._path, self._say = path, say
        self._file: IO[str] | None = None
        self._verifier = audit.Verifier()
        self._any = False
        if path is not None:
            self._file = path.open("a", encoding="utf-8")
            if _is_torn(path):
                self._file.write("\n")

    def append(self, line: dict[str, Any]) -> None:
        """Take a line."""
        text = json.dumps(line, separators=(",", ":")) + "\n"
        self._any = True
        self._verifier.feed(text)
        if self._file is not None:
            try:
                self._file.write(text)
                self._file.flush()
            except OSError as error:
                self._say(f"the audit is no longer written: {error}")
                with suppress(OSError):  # what it still holds fits no more than before
                    self.close()

    def verdict(self) -> str:
        """Return what the lines prove: 'ok', what is wrong, or nothing if there are none.

        A file is read again from its beginning, with what earlier agents left in it.
        """
        if self._path is not None:
            try:
                return audit.verify(self._path).verdict
            except OSError as error:
                self._say(f"the audit cannot be read again: {error}")
        return self._verifier.verdict() if self._any else ""

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _is_torn(path: Path) -> bool:
    """Whether a crash left half a line at the end, to which the next must not be glued."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() == 0:
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"
