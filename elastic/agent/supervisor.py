"""The worker processes of this agent: started, listened to, and missed the moment they end.

Everything here runs in the agent's main thread, under its selector: what is registered there
carries as `data` a function without arguments, to be called when the descriptor is readable. An
exit is seen through a pidfd, so nothing polls and no signal handler is needed.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from elastic.agent.environment import worker_environment
from elastic.agent.logs import LineReader, Logs, WorkerLog
from elastic.agent.settings import AgentSettings
from elastic.clock import monotonic
from elastic.control import EXIT_REFUSED
from elastic.errors import ProtocolError
from elastic.telemetry.activity import Activity, ActivityPage
from elastic.telemetry.channel import Channel, channel_pair

__all__ = ["Exit", "Supervisor", "Worker", "process_state"]

_KILL_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Exit:
    """How a worker ended. `code` is negative for a signal; `t` is on CLOCK_MONOTONIC."""

    code: int
    t: float
    killed_because: str = ""
    """Why its own agent killed it, if it did."""

    @property
    def how(self) -> str:
        """In a word: a signal's name, or 'code 1'."""
        return _signal_name(-self.code) if self.code < 0 else f"code {self.code}"

    def __str__(self) -> str:
        if self.killed_because and self.code == -signal.SIGKILL:
            return f"killed by its agent: {self.killed_because}"
        if self.code == EXIT_REFUSED:
            return f"exited with {self.code}: the group refused it"
        if self.code >= 0:
            return f"exited with {self.code}"
        return f"killed by {_signal_name(-self.code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


@dataclass(eq=False)
class Worker:
    """One worker process, from its start to its end."""

    local_rank: int
    channel: Channel
    page: ActivityPage
    log: WorkerLog
    process: subprocess.Popen[bytes]
    pidfd: int
    started_at: float
    exit: Exit | None = None
    killed_because: str = ""
    pipes: dict[LineReader, Callable[[bytes], None]] = field(init=False)

    def __post_init__(self) -> None:
        out, err = self.process.stdout, self.process.stderr
        assert out is not None
        assert err is not None
        self.pipes = {
            LineReader(out.fileno()): self.log.out,
            LineReader(err.fileno()): self.log.err,
        }

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self.process.pid

    @property
    def state(self) -> str:
        """Its state as /proc has it: R, S, D, T (stopped), Z, or X for gone."""
        return "X" if self.exit else process_state(self.pid)

    @property
    def activity(self) -> Activity | None:
        """What it says that it does; None if that cannot be read now."""
        return None if self.exit else self.page.read()

    def signal(self, number: int) -> None:
        """Send a signal to the worker, and never to another process that got its number."""
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def kill(self, reason: str) -> None:
        """End the worker and its process group at once; `reason` becomes part of its exit."""
        if self.exit is None and not self.killed_because:
            self.killed_because = reason
            self.kill_group()

    def kill_group(self) -> None:
        """Send SIGKILL to the process group; right only until the worker is reaped."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def process_state(pid: int) -> str:
    """Return the state letter of a process from /proc, X if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]  # its name may hold anything
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class Supervisor:
    """Starts workers and reports what they say and how they end.

    `on_message(worker, message)` comes for everything that a worker said, the last words of a
    dead one included, always before `on_exit(worker)`.
    """

    def __init__(
        self,
        settings: AgentSettings,
        selector: selectors.BaseSelector,
        logs: Logs,
        on_message: Callable[[Worker, Any], None],
        on_exit: Callable[[Worker], None],
    ):
        self.settings = settings
        self._selector = selector
        self._logs = logs
        self._on_message = on_message
        self._on_exit = on_exit
        self._workers: dict[int, Worker] = {}

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The living workers, by local rank."""
        return tuple(self._workers[rank] for rank in sorted(self._workers))

    def spawn(self, local_rank: int) -> Worker:
        """Return a new worker process.

        Raises:
            OSError: the system has no process, memory or descriptor left for it.
        """
        if threading.current_thread() is not threading.main_thread():
            # its parent-death signal would come when this thread ends (P1)
            raise ProtocolError("the supervisor spawns from the main thread, got another")
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as handed_over:
            channel, theirs = channel_pair()
            handed_over.enter_context(theirs)
            undo.callback(channel.close)
            page, fd = ActivityPage.create()
            handed_over.callback(os.close, fd)
            undo.callback(page.close)
            process = self._start(local_rank, theirs.fileno(), fd)
            undo.callback(_abandon, process)
            pidfd = os.pidfd_open(process.pid)
            undo.pop_all()
        log = self._logs.open(local_rank, process.pid)
        worker = Worker(local_rank, channel, page, log, process, pidfd, monotonic())
        self._workers[local_rank] = worker
        self._listen(worker)
        return worker

    def close(self) -> None:
        """Kill whoever is left, and wait a few seconds until they are gone."""
        for worker in self.workers:
            worker.kill("the agent ends")
        for worker in self.workers:
            # one in an uninterruptible wait for a disk dies when that ends; we do not wait for it
            if _ends(worker.pidfd, _KILL_TIMEOUT_S):
                self._bury(worker)

    def _start(self, local_rank: int, control_fd: int, activity_fd: int) -> subprocess.Popen[bytes]:
        asked = self.settings
        place = {"local_rank": local_rank, "agent_pid": os.getpid()}
        place |= {"control_fd": control_fd, "activity_fd": activity_fd}
        bootstrap = [sys.executable, "-u", "-m", "elastic.agent.bootstrap"]
        script = ["-m", asked.script] if asked.module else [asked.script]
        return subprocess.Popen(
            [*bootstrap, *script, *asked.script_args],
            env=worker_environment(os.environ, asked, **place),
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[control_fd, activity_fd],
            process_group=0,
        )

    def _listen(self, worker: Worker) -> None:
        self._register(worker.pidfd, partial(self._ended, worker))
        self._register(worker.channel, partial(self._hear, worker))
        for reader, relay in worker.pipes.items():
            self._register(reader, partial(self._relay, reader, relay))

    def _register(self, source: Any, action: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, action)

    def _hear(self, worker: Worker) -> None:
        if worker.channel.closed:  # one turn of the selector may hold both its words and its end
            return
        try:
            messages = worker.channel.receive()
        except ValueError as error:
            messages = []
            worker.kill(str(error))
            worker.channel.closed = True
        if worker.channel.closed:
            self._selector.unregister(worker.channel)
        for message in messages:
            self._on_message(worker, message)

    def _relay(self, reader: LineReader, relay: Callable[[bytes], None]) -> None:
        if reader.closed:
            return
        for line in reader.lines():
            relay(line)
        if reader.closed:
            self._selector.unregister(reader)

    def _ended(self, worker: Worker) -> None:
        if worker.exit is None:
            self._bury(worker)
            self._on_exit(worker)

    def _bury(self, worker: Worker) -> None:
        """Take the last words of a worker that has ended, reap it, and let go of all it had."""
        t = monotonic()
        worker.kill_group()  # what it had started; before the reaping, while the number is its own
        self._hear(worker)
        self._last_lines(worker)
        worker.exit = Exit(worker.process.wait(), t, worker.killed_because)
        del self._workers[worker.local_rank]
        self._forget(worker)

    def _last_lines(self, worker: Worker) -> None:
        for reader, relay in worker.pipes.items():
            if not reader.closed:
                self._selector.unregister(reader)
                for line in reader.last_lines():
                    relay(line)

    def _forget(self, worker: Worker) -> None:
        if not worker.channel.closed:
            self._selector.unregister(worker.channel)
        self._selector.unregister(worker.pidfd)
        worker.channel.close()
        worker.page.close()
        os.close(worker.pidfd)
        _close_pipes(worker.process)
        self._logs.close(worker.pid)


def _ends(pidfd: int, timeout_s: float) -> bool:
    poller = select.poll()  # select() knows no descriptor above 1023
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))


def _abandon(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
