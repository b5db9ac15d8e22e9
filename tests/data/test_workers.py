"""Worker processes: what they are told, what they tell, and that they end."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from multiprocessing.connection import wait

import numpy as np
import psutil
import pytest
import threadpoolctl

import elastic.tensor as torch
from elastic.data import DataLoader, Dataset, get_worker_info
from elastic.data.workers import Failure

PATIENCE_S = 60


class Calls(Dataset):
    """Sample i is what function i returns, called in the worker process."""

    def __init__(self, *functions):
        self.functions = functions

    def __getitem__(self, index):
        return self.functions[index]()

    def __len__(self):
        return len(self.functions)


def from_worker(*functions, **options):
    """What functions return that are called in one worker process."""
    loader = DataLoader(Calls(*functions), None, num_workers=1, collate_fn=tell, **options)
    return list(loader)


def tell(value):
    return value


def draws():
    return [random.random(), np.random.rand(), torch.rand(1).item()]


def test_a_worker_knows_itself():
    def info():
        told = get_worker_info()
        return told.id, told.num_workers, told.seed, type(told.dataset).__name__

    torch.manual_seed(0)
    ((number, of, seed, dataset),) = from_worker(info)
    torch.manual_seed(0)
    assert seed == torch.empty((), dtype=torch.int64).random_().item()
    assert (number, of, dataset) == (0, 1, "Calls")
    assert get_worker_info() is None


def test_a_workers_streams_are_pytorchs():
    """The values that PyTorch 2.13 draws after torch.manual_seed(0), in its worker 0."""
    torch.manual_seed(0)
    golden = [0.21315340548154382, 0.8371640508861415, 0.7821398973464966]
    assert from_worker(draws) == [pytest.approx(golden, abs=1e-7)]


def test_a_worker_computes_with_one_thread():
    (threads,) = from_worker(lambda: [p["num_threads"] for p in threadpoolctl.threadpool_info()])
    assert set(threads) == {1}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_start_in_every_way(method):
    loader = DataLoader(range(6), 2, num_workers=2, multiprocessing_context=method)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


def test_what_cannot_be_sent_to_a_worker_is_warned_of():
    loader = DataLoader(Calls(lambda: 1), num_workers=1, multiprocessing_context="spawn")
    told = pytest.warns(UserWarning, match="Got pickle error when attempting to start a worker")
    with told, pytest.raises((AttributeError, TypeError)):
        iter(loader)


# -- exceptions ----------------------------------------------------------------------------------


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def failing(error):
    raise error


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("why"), ValueError), (KeyError("why"), KeyError), (Odd(1, 2), RuntimeError)],
    ids=["ValueError", "KeyError", "with arguments of its own"],
)
def test_an_exception_is_raised_again_with_its_traceback(error, kind):
    with pytest.raises(kind) as caught:
        from_worker(lambda: failing(error))
    text = str(caught.value)
    name = type(error).__name__
    assert text.startswith(f"Caught {name} in DataLoader worker process 0.\nOriginal Traceback (")
    assert "raise error\n" in text
    assert not isinstance(caught.value, Odd)


def test_an_exception_with_a_message_is_made_of_it():
    class Told(Exception):
        message = "class"

        def __init__(self, *, message):
            super().__init__(message)

    with pytest.raises(Told, match=r"Caught Told in x\.\nOriginal text"):
        Failure(Told, "Told", "text", "in x").throw()


def test_an_exception_that_has_no_name_elsewhere_is_a_runtime_error():
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match="Caught Local in DataLoader worker process 0"):
        from_worker(lambda: failing(Local("here")))


def test_after_an_exception_the_pass_goes_on():
    batches = iter(DataLoader(Calls(lambda: 1, lambda: 1 // 0, lambda: 3), None, num_workers=1))
    assert next(batches) == 1
    with pytest.raises(ZeroDivisionError):
        next(batches)
    assert list(batches) == [3]


def test_a_batch_that_cannot_be_sent_is_an_exception():
    with pytest.raises((AttributeError, TypeError), match="in DataLoader worker process 0"):
        from_worker(lambda: lambda: 1)


def test_a_worker_that_cannot_begin_says_so_with_its_first_batch():
    with pytest.raises(ZeroDivisionError, match="in DataLoader worker process 0"):
        from_worker(draws, worker_init_fn=lambda number: number // 0)


# -- the end -------------------------------------------------------------------------------------


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (kill_oneself, r"DataLoader worker \(pid \d+\) is killed by signal: Killed. $"),
        (
            lambda: sys.exit(3),
            r"DataLoader worker \(pid \d+\) exited unexpectedly with exit code 3",
        ),
    ],
    ids=["killed", "exited"],
)
def test_a_worker_that_dies_is_an_error_for_good(end, how):
    batches = iter(DataLoader(Calls(lambda: 1, end, lambda: 3), None, num_workers=1))
    assert next(batches) == 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"pid\(s\) \d+\) exited unexpectedly$") as caught:
            next(batches)
    assert re.match(how, str(caught.value.__cause__))


def test_waiting_has_an_end_where_one_is_wanted():
    here, there = os.pipe()
    loader = DataLoader(Calls(lambda: os.read(here, 1)), None, num_workers=1, timeout=0.05)
    batches = iter(loader)
    (worker,) = batches._workers
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.05 seconds$"):
        next(batches)
    os.write(there, b"x")
    batches.close()
    assert not worker.process.is_alive()


def test_a_pass_that_is_left_early_ends_its_workers():
    batches = iter(DataLoader(range(100), num_workers=2, prefetch_factor=20))
    next(batches)
    processes = [worker.process for worker in batches._workers]
    del batches
    assert [process.exitcode for process in processes] == [0, 0]


SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from elastic.data import DataLoader, Dataset
class Endless(Dataset):
    def __len__(self):
        return 9
    def __getitem__(self, index):
        os.write(1, f"{os.getpid()}\\n".encode())
        while index > 3:
            pass
        return index
loader = DataLoader(Endless(), num_workers=2, persistent_workers=True)
for batch in loader:
    pass
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_loader(how):
    """Also those in the midst of a sample, and when nobody can tell them."""
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as loader:
        pids = [int(loader.stdout.readline()) for _ in range(6)]
        workers = [psutil.Process(pid) for pid in set(pids)]
        assert len(workers) == 2
        loader.send_signal(how)
        try:
            assert loader.wait(PATIENCE_S) != 0
        finally:
            loader.kill()
    _, alive = psutil.wait_procs(workers, PATIENCE_S)
    assert not alive


def test_a_forked_process_does_not_hold_the_ends_of_its_parent():
    """Else workers of one loader would outlive it for as long as those of another run."""
    first = iter(DataLoader(range(9), num_workers=1))
    second = iter(DataLoader(range(9), num_workers=1))
    worker = first._workers[0].process
    first._workers.pop().channel.close()
    assert wait([worker.sentinel], PATIENCE_S)
    assert next(second).tolist() == [0]
    second.close()
