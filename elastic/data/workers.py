"""Worker processes: each fetches the batches that it is asked for, in order, until nobody asks.

A worker is one process at the end of a channel. Its answers come in the order of its tasks. It ends
when the other end is closed, so also when the loader's process was killed.
"""

from __future__ import annotations

import os
import pickle
import random
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from time import monotonic
from typing import Any

import numpy as np
import threadpoolctl

import elastic.tensor as torch
from elastic.data.channel import Channel, share_through
from elastic.data.fetching import Fetching

__all__ = ["Crew", "Ended", "Failure", "Worker", "WorkerInfo", "get_worker_info", "receive"]

_PATIENCE_S = 5.0  # how long workers may take over their last batches before they are terminated


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself: its number, of how many, its seed, its dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Return what this worker process is, or None outside of one."""
    return _info


@dataclass(frozen=True)
class Job:
    """What a worker is started with."""

    fetching: Fetching
    base_seed: int
    number: int
    of: int
    init_fn: Callable[[int], Any] | None


# -- what goes over the channel: a task is any value but these, an answer any value but those ------


@dataclass(frozen=True)
class _Restart:
    """The task of starting a new pass; it is its own answer."""


@dataclass(frozen=True)
class Ended:
    """The answer that the dataset, a stream, has no more."""


@dataclass(frozen=True)
class Failure:
    """The answer that an exception was raised, with its traceback as text."""

    kind: type[BaseException]
    name: str
    text: str
    where: str

    def throw(self) -> None:
        """Raise an exception of that kind, or RuntimeError if it cannot be made of a text."""
        text: Any = f"Caught {self.name} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            text = _Plain(text)
        elif getattr(self.kind, "message", None):
            raise self.kind(message=text)  # type: ignore[call-arg]
        try:
            error = self.kind(text)
        except Exception:  # noqa: BLE001  # a class of the user's, with arguments of its own
            raise RuntimeError(text) from None
        raise error


class _Plain(str):
    """A text that KeyError shows as it is."""

    def __repr__(self) -> str:
        return str(self)


# -- in the worker's process -----------------------------------------------------------------------


def work(end: socket.socket, job: Job) -> None:
    """Be a worker until the loader has no more tasks."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the handler of a process that was forked
    ending = threading.Event()
    threading.Thread(target=_die_with_the_loader, args=(end, ending), daemon=True).start()
    channel = Channel(end)
    share_through(channel)
    with suppress(KeyboardInterrupt, EOFError, ConnectionError):  # Ctrl-C: the loader's to report
        _answer(channel, job)
    ending.set()


def _die_with_the_loader(end: socket.socket, ending: threading.Event) -> None:
    """End a worker that is in the midst of a sample when the loader's process is gone."""
    poll = select.poll()
    poll.register(end, 0)  # hang-ups only
    poll.poll()
    if not ending.is_set():
        os._exit(1)


def _answer(channel: Channel, job: Job) -> None:
    where = f"in DataLoader worker process {job.number}"
    fetch, failed = _prepared(job, where)
    while True:
        task = channel.receive()
        answer: Any
        if isinstance(task, _Restart):
            fetch, answer = job.fetching.begin(), task
        elif failed is not None:
            answer, failed = failed, None
        else:
            answer = _fetched(fetch, task, job.fetching.is_stream, where)
        try:
            channel.send(answer)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  # a batch that cannot be sent is a failed one
            channel.send(_failure(error, where))
        del task, answer


def _prepared(job: Job, where: str) -> tuple[Callable[[Any], Any], Failure | None]:
    """Return the fetching function, and what went wrong in making it."""
    global _info
    threadpoolctl.threadpool_limits(1)
    seed = job.base_seed + job.number
    random.seed(seed)
    torch.manual_seed(seed)
    words = [job.number, job.base_seed & 0xFFFFFFFF, job.base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))
    _info = WorkerInfo(job.number, job.of, seed, job.fetching.dataset)
    try:
        if job.init_fn is not None:
            job.init_fn(job.number)
        return job.fetching.begin(), None
    except Exception as error:  # noqa: BLE001  # told with the first batch
        return _nothing, _failure(error, where)


def _nothing(task: Any) -> Any:
    raise StopIteration


def _fetched(fetch: Callable[[Any], Any], task: Any, is_stream: bool, where: str) -> Any:
    try:
        return fetch(task)
    except Exception as error:  # noqa: BLE001  # raised again in the loader's process
        return Ended() if is_stream and isinstance(error, StopIteration) else _failure(error, where)


def _failure(error: Exception, where: str) -> Failure:
    kind: type[Exception] = type(error)
    text, name = "".join(traceback.format_exception(error)), kind.__name__
    try:
        pickle.dumps(kind)
    except Exception:  # noqa: BLE001  # a class that the loader's process cannot name
        kind = RuntimeError
    return Failure(kind, name, text, where)


# -- in the loader's process -----------------------------------------------------------------------


class Worker:
    """A worker process, and what it owes."""

    def __init__(self, context: BaseContext, job: Job):
        self.number = job.number
        self.owes = 0
        """Answers that it has not given yet."""
        self.active = True
        """Whether it can be given tasks: its stream has not ended."""
        self.channel, end = Channel.pair()
        self.process = context.Process(target=work, args=(end, job), daemon=True)  # type: ignore[attr-defined]
        try:
            self.process.start()
        except (TypeError, AttributeError, pickle.PicklingError):
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. "
                "This might be because the worker Process arguments are not picklable. "
                "Python 3.14+ changed the multiprocessing start method in non-Mac POSIX platforms "
                "to 'forkserver', which requires the worker Process arguments to be picklable. "
                "You can also try multiprocessing.set_start_method('fork').",
                stacklevel=5,
            )
            self.channel.close()
            raise
        finally:
            end.close()

    def ask(self, task: Any) -> None:
        """Give it a task."""
        self.channel.send_later(task)
        self.owes += 1

    def restart(self) -> None:
        """Begin a new pass once it has done what it was asked for."""
        self.channel.send_later(_Restart())

    def await_restart(self) -> None:
        """Drop what it owes of the last pass."""
        while not isinstance(receive([self])[1], _Restart):
            continue
        self.owes, self.active = 0, True

    def take(self) -> Any:
        """Return its next answer. Raises BlockingIOError when there is none yet."""
        try:
            answer = self.channel.receive(wait=False)
        except EOFError:
            raise self.death()  # noqa: B904  # its cause is set
        self.owes -= 1
        self.channel.flush()
        return answer

    def death(self) -> RuntimeError:
        """Return the error that it has died, caused by the one that says how."""
        self.process.join(1)
        pid, code = self.process.pid, self.process.exitcode or 0
        if code < 0:
            how = f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(-code)}. "
        else:
            how = (
                f"DataLoader worker (pid {pid}) exited unexpectedly with exit code {code}. "
                "Details are lost due to multiprocessing. "
                "Rerunning with num_workers=0 may give better error trace."
            )
        error = RuntimeError(f"DataLoader worker (pid(s) {pid}) exited unexpectedly")
        error.__cause__ = RuntimeError(how)
        return error

    def end(self, deadline: float) -> None:
        """Wait until it has finished the batch that it is at; after the deadline, terminate it."""
        with suppress(EOFError):
            while wait([self.channel.fileno()], max(0, deadline - monotonic())):
                self.channel.receive()
        self.process.join(max(0, deadline - monotonic()))
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()
        self.channel.close()


class Crew:
    """The worker processes of a pass, or of a loader that is trained on."""

    def __init__(self, loader: Any, fetching: Any, base_seed: int):
        self._owner = os.getpid()
        self.workers: list[Worker] = []
        context = loader.worker_context()
        for i in range(loader.num_workers):
            job = Job(fetching, base_seed, i, loader.num_workers, loader.worker_init_fn)
            self.workers.append(Worker(context, job))

    def close(self) -> None:
        """End the workers: each finishes what it is at, and is terminated if it takes long."""
        workers, self.workers[:] = list(self.workers), []
        deadline = monotonic() + _PATIENCE_S
        for worker in workers:
            worker.channel.finish()
        for worker in workers:
            worker.end(deadline)

    def __del__(self) -> None:
        # A forked process has a copy of this, whose workers are not its own.
        if not sys.is_finalizing() and os.getpid() == self._owner:
            self.close()


def receive(workers: list[Worker], timeout_s: float | None = None) -> tuple[Worker, Any]:
    """Return the next answer of any of the workers, and whose it is.

    Raises:
        RuntimeError: one of them has died.
        TimeoutError: none has answered in time.
    """
    ready: list[Any] = []
    while True:
        for worker in workers:
            with suppress(BlockingIOError):
                return worker, worker.take()
            if worker.process.sentinel in ready:  # dead, and some child of its holds the channel
                raise worker.death()
        watched = [each for w in workers for each in (w.channel.fileno(), w.process.sentinel)]
        ready = wait(watched, timeout_s)
        if not ready:
            raise TimeoutError
