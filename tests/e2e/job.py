"""Real jobs for the tests: `elastic-run` with a script, its events followed, its faults made.

Nothing here sleeps for a guess: a test waits for an event that a process writes, or for its exit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

HERE = Path(__file__).parent
TOKEN = "a secret of this test"
PATIENCE_S = 90.0


@dataclass(eq=False)
class Agent:
    """One running `elastic-run` and the evidence that it writes."""

    process: subprocess.Popen[bytes]
    folder: Path
    seen: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0

    def poll_events(self) -> list[dict[str, Any]]:
        """Return the events that are new since the last call."""
        try:
            with (self.folder / "events").open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:  # an agent tries whether it can make the file, then makes it
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = [json.loads(line) for line in whole.splitlines()]
        self.seen += new
        return new

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all events of a kind so far."""
        self.poll_events()
        return [event for event in self.seen if event["event"] == kind]

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Return the first event that is wanted, of all so far and to come."""
        for event in self.seen:
            if wanted(event):
                return event
        with _deadline(what):
            while True:
                ended = self.process.poll() is not None
                for event in self.poll_events():
                    if wanted(event):
                        return event
                if ended:
                    raise AssertionError(f"the job ended without {what}:\n{self.output}")
                _pause()

    def wait_for_step(self, step: int) -> dict[str, Any]:
        """Return when a step at or after this one is committed."""
        return self.wait_for(
            lambda e: e["event"] == "step" and e["step"] >= step, f"a step from {step} on"
        )

    def wait_for_output(self, text: str) -> None:
        """Wait until the agent or a worker has printed this."""
        with _deadline(f"{text!r} in the output"):
            while text not in self.output:
                if self.process.poll() is not None and text not in self.output:
                    raise AssertionError(f"the job ended without {text!r}:\n{self.output}")
                _pause()

    def wait_for_ready(self, count: int) -> None:
        """Return when so many of its workers have become ready."""
        self.wait_until(
            lambda: len({event["pid"] for event in self.all("ready")}) >= count,
            f"{count} workers that are ready",
        )

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Return when something holds that is looked up elsewhere than in events."""
        with _deadline(what):
            while not holds():
                _pause()

    def group(self, size: int, here: int | None = None, after: int = 0) -> dict[int, int]:
        """Wait until a generation of `size`, newer than `after`, is level.

        Return the process id of each rank that this agent has (`here` of them, or all).
        """
        pids: dict[int, dict[int, int]] = {}

        def level(event: dict[str, Any]) -> bool:
            if event["event"] != "sync" or event["world_size"] != size:
                return False
            ranks = pids.setdefault(event["generation"], {})
            ranks[event["rank"]] = event["pid"]
            return event["generation"] > after and len(ranks) == (here or size)

        return pids[self.wait_for(level, f"a group of {size}")["generation"]]

    def wait(self) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the job did not end:\n{self.output}") from None

    @property
    def output(self) -> str:
        """What it printed so far."""
        return (self.folder / "output").read_text()

    @property
    def report(self) -> dict[str, Any]:
        """The report; the agent has ended."""
        return json.loads((self.folder / "report").read_text())

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The lines of evidence."""
        lines = (self.folder / "audit").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def _deadline(what: str) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")

    before = signal.signal(signal.SIGALRM, late)
    began, (left_s, _) = monotonic(), signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        # the whole test's own deadline goes on: without it what hangs later would hang for ever
        left_s = max(0.001, left_s - (monotonic() - began)) if left_s else 0.0
        signal.setitimer(signal.ITIMER_REAL, left_s)


def _pause() -> None:
    """Let the watched processes have the processor; files have no event to wait for."""
    os.sched_yield()
    signal.sigtimedwait([], 0.005)


class Jobs:
    """Starts agents, and ends and cleans up whatever a test leaves."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.agents: list[Agent] = []
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._others = {process.pid for process in _ours()}
        self._before = leftovers(self._temporary)

    def start(
        self,
        *flags: str,
        script: str = "train_all.py",
        args: tuple[str, ...] = (),
        store: str | None = None,
        env: dict[str, str] | None = None,
        within: tuple[str, ...] = (),
    ) -> Agent:
        """Start an agent; without a `store` endpoint it brings its own.

        `within` is a command that runs another: on another host, with another clock.
        """
        folder = self.folder / f"agent-{len(self.agents)}"
        folder.mkdir()
        where = ["--standalone"] if store is None else ["--rdzv-endpoint", store, "--rdzv-id", "j"]
        files = [f"--{name}={folder / name}" for name in ("report", "events", "audit")]
        command = [*within, sys.executable, "-m", "elastic.agent", *where, *files, *flags]
        command += [str(HERE / script), *args]
        environment = os.environ | {
            "TMPDIR": str(self._temporary),
            "ELASTIC_TOKEN": TOKEN,
        }
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment | (env or {})
            )
        agent = Agent(process, folder)
        self.agents.append(agent)
        return agent

    def close(self) -> None:
        """End what still runs; say if anything of ours is left."""
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    agent.process.wait(40)
                agent.process.kill()
                agent.process.wait()
        gone = psutil.wait_procs(
            [process for process in _ours() if process.pid not in self._others], timeout=10
        )
        assert not gone[1], f"processes are left: {[p.cmdline() for p in gone[1]]}"
        assert leftovers(self._temporary) == self._before


def _ours() -> list[psutil.Process]:
    """All processes of our jobs: children, and whoever was orphaned to the init process."""
    words = ("elastic.agent", "etcd")
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(word in line for word in words) and process.pid != os.getpid():
            if (process.info["environ"] or {}).get("ELASTIC_TEST") == os.environ["ELASTIC_TEST"]:
                found.append(process)
    return found


def leftovers(temporary: Path) -> dict[str, list[str]]:
    """Return what a job may leave: temporary files, shared memory."""
    shared = [name for name in os.listdir("/dev/shm") if "elastic" in name]
    return {"files": sorted(map(str, temporary.rglob("*"))), "shared memory": sorted(shared)}
