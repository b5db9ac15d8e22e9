"""What the benchmarks share: starting a job, following its events, ending it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLL_S = 0.0005
"""How often the event file is looked at: the resolution of every time measured."""


@dataclass
class Job:
    """A running `elastic-run` and its event file."""

    process: subprocess.Popen[bytes]
    path: Path
    pids: dict[int, int] = field(default_factory=dict)
    """The process of each rank of the newest generation."""
    generation: int = 0
    _offset: int = 0

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as they are written, each with `seen`, this process's monotonic clock."""
        while True:
            for line in self._new_lines():
                event = json.loads(line) | {"seen": time.monotonic()}
                self._note(event)
                yield event
            if self.process.poll() is not None:
                return
            time.sleep(POLL_S)

    def _new_lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:  # an agent tries whether it can make the file, then makes it
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def _note(self, event: dict[str, Any]) -> None:
        if event["event"] == "sync":
            if event["generation"] > self.generation:
                self.generation, self.pids = event["generation"], {}
            self.pids[event["rank"]] = event["pid"]


@contextmanager
def running(workers: int, script: Path, *args: str, flags: tuple[str, ...] = ()) -> Iterator[Job]:
    """Run `script` on so many workers of one agent with an etcd of its own."""
    with tempfile.TemporaryDirectory() as folder:
        events, output = Path(folder) / "events", Path(folder) / "output"
        command = [sys.executable, "-m", "elastic.agent", "--standalone"]
        command += [f"--nproc-per-node={workers}", f"--events={events}", *flags]
        with output.open("wb") as out:
            process = subprocess.Popen(
                [*command, str(script), *args], stdout=out, stderr=subprocess.STDOUT
            )
        try:
            yield Job(process, events)
        except BaseException:
            print(output.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            process.wait()
