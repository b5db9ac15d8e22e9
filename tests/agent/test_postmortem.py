"""One cause of a worker's end, from all that there is to see."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from elastic.agent.postmortem import Postmortem
from elastic.agent.supervisor import Exit
from elastic.control import Failure


class Worker(SimpleNamespace):
    __hash__ = object.__hash__


@pytest.fixture
def worker():
    log = SimpleNamespace(rank=2, tail="its last lines")
    return Worker(log=log, pid=71, exit=Exit(-signal.SIGKILL, 0.0))


def test_a_killed_worker_has_last_lines_and_evidence(worker):
    cause = Postmortem("node-3").cause(worker, "m2", generation=4, step=120)
    assert cause.who == "rank 2 (member m2, pid 71) on node-3"
    assert (cause.how, cause.place, cause.text) == ("killed by SIGKILL", "", "its last lines")
    assert (cause.generation, cause.step) == (4, 120)
    assert "OOM" in cause.hint or "dmesg" in cause.hint


def test_one_that_its_agent_killed_needs_no_hint(worker):
    worker.exit = Exit(-signal.SIGKILL, 0.0, "hung in train_step")
    cause = Postmortem("node-3").cause(worker, "m2", 4, 120)
    assert (cause.how, cause.hint) == ("killed by its agent: hung in train_step", "")


def test_what_it_raised_is_told_here_and_elsewhere(worker):
    dead = Postmortem("node-3")
    text = dead.raised(worker, "m2", Failure("sync", "Traceback\nValueError: x"))
    assert text.splitlines() == [
        "rank 2 (member m2, pid 71) on node-3: ValueError: x",
        "Traceback",
        "ValueError: x",
    ]
    worker.exit = Exit(1, 0.0)
    cause = dead.cause(worker, "m2", 4, 120)
    assert (cause.place, cause.text, cause.hint) == ("sync", "Traceback\nValueError: x", "")
    assert dead.cause(worker, "m2", 4, 120).place == "", "the words are of one death"
    assert dead.where(worker) == "rank 2, pid 71 on node-3"
