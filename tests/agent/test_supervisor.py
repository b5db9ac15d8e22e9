"""Workers are started, heard and missed: real processes, but tiny ones that do not train."""

from __future__ import annotations

import os
import select
import selectors
import signal
import threading

import pytest

from elastic.agent import supervisor as supervisor_module
from elastic.agent.logs import Console, Logs
from elastic.agent.settings import AgentSettings
from elastic.agent.supervisor import Exit, Supervisor, process_state
from elastic.control import Event, Failure, LeaveRequest
from elastic.errors import ProtocolError

TIMEOUT_S = 20

PRELUDE = """
import os, signal, sys
from elastic.control import Event, LeaveRequest
from elastic.telemetry.channel import channel_to_agent
agent = channel_to_agent()
def say(event, **fields): agent.send(Event(event, 0.0, fields))
"""


class Job:
    """A supervisor with its loop; what it reported is in `story`."""

    def __init__(self, directory, console, **settings):
        self.directory = directory
        self.selector = selectors.DefaultSelector()
        self.story = []
        self.settings = AgentSettings(str(directory / "train.py"), **settings)
        self.supervisor = Supervisor(
            self.settings,
            self.selector,
            Logs(console),
            on_message=lambda worker, message: self.story.append(message),
            on_exit=lambda worker: self.story.append(worker.exit),
        )

    def spawn(self, script, local_rank=0):
        (self.directory / "train.py").write_text(PRELUDE + script)
        return self.supervisor.spawn(local_rank)

    def turn(self, until):
        """Run the loop until `until()`."""
        while not until():
            ready = self.selector.select(TIMEOUT_S)
            assert ready, f"nothing happened; so far {self.story}"
            for key, _ in ready:
                key.data()

    def run_to_exit(self, worker):
        self.turn(lambda: worker.exit is not None)
        return worker.exit

    def hear(self, event):
        """Return the fields of the named event, when it comes."""

        def heard():
            return [m for m in self.story if isinstance(m, Event) and m.event == event]

        self.turn(until=heard)
        return heard()[0].fields


@pytest.fixture
def console(tmp_path):
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        console = Console(out.fileno(), err.fileno())
        yield console
        console.close()


@pytest.fixture
def job(tmp_path, console):
    open_before = os.listdir("/proc/self/fd")
    job = Job(tmp_path, console)
    yield job
    job.supervisor.close()
    assert not job.selector.get_map()
    job.selector.close()
    assert len(os.listdir("/proc/self/fd")) == len(open_before)


def gone(pid):
    """Return whether the process ends within the time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], TIMEOUT_S)[0])
    finally:
        os.close(pidfd)


def test_a_worker_speaks_prints_and_exits(job, console, tmp_path):
    worker = job.spawn("say('here', rank=os.environ['LOCAL_RANK'])\nprint('hello')", local_rank=2)
    assert job.supervisor.workers == (worker,)
    exit = job.run_to_exit(worker)
    assert (exit.code, str(exit)) == (0, "exited with 0")
    assert job.story == [Event("here", 0.0, {"rank": "2"}), exit]
    assert job.supervisor.workers == ()
    console.close()
    assert (tmp_path / "out").read_text() == "[local 2] hello\n"


def test_the_last_words_come_before_the_exit(job):
    exit = job.run_to_exit(job.spawn("raise ValueError('x' * 1000)"))
    failure, last = job.story
    assert isinstance(failure, Failure)
    assert last is exit
    assert str(exit) == "exited with 1"


def test_stderr_is_kept_for_the_root_cause(job):
    worker = job.spawn("sys.stderr.write('no newline'); os._exit(3)")
    job.run_to_exit(worker)
    assert worker.log.tail == "no newline"
    assert worker.exit.code == 3


def test_a_killed_worker_is_missed_through_its_pidfd(job):
    worker = job.spawn("say('ready'); signal.pause()")
    job.hear("ready")
    worker.signal(signal.SIGKILL)
    assert str(job.run_to_exit(worker)) == "killed by SIGKILL"
    worker.signal(signal.SIGKILL)  # nobody is there, and nobody else is hit
    worker.kill("late")
    assert worker.state == "X"


def test_what_a_dead_worker_had_started_ends_with_it(job):
    """PROTOCOL P1."""
    script = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
say("ready", child=child.pid)
signal.pause()
"""
    worker = job.spawn(script)
    child = job.hear("ready")["child"]
    worker.signal(signal.SIGKILL)
    job.run_to_exit(worker)
    assert gone(child)


def test_a_worker_leads_a_group_of_its_own_and_reads_nothing(job):
    """PROTOCOL P2: Ctrl-C at the terminal reaches the agent alone."""
    worker = job.spawn("say('ready', group=os.getpgrp(), stdin=sys.stdin.read())")
    assert job.hear("ready") == {"group": worker.pid, "stdin": ""}
    job.run_to_exit(worker)


def test_the_agent_can_speak_to_a_worker(job):
    worker = job.spawn("say('heard', reason=next(iter(agent)).reason)")
    worker.channel.send(LeaveRequest("drain"))
    assert job.hear("heard") == {"reason": "drain"}
    job.run_to_exit(worker)


def test_a_worker_that_sends_garbage_is_killed_for_it(job):
    worker = job.spawn("agent._sock.send(b'hello\\n'); signal.pause()")
    exit = job.run_to_exit(worker)
    assert exit.code == -signal.SIGKILL
    assert str(exit).startswith("killed by its agent: the worker sent 'hello', no message")


def test_a_worker_that_hangs_up_and_lives_is_still_watched(job):
    worker = job.spawn("agent.close(); os.close(1); os.close(2); sys.exit(4)")
    assert job.run_to_exit(worker).code == 4


def test_a_killed_stopped_worker_ends(job):
    worker = job.spawn("say('ready'); signal.pause()")
    job.hear("ready")
    assert worker.state in "RS"
    worker.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
    assert worker.state == "T"
    worker.kill("stopped for too long")
    assert str(job.run_to_exit(worker)) == "killed by its agent: stopped for too long"


def test_close_leaves_nobody(job):
    worker = job.spawn("say('ready'); signal.pause()")
    job.hear("ready")
    job.supervisor.close()
    assert str(worker.exit) == "killed by its agent: the agent ends"
    assert gone(worker.pid)


def test_a_module_runs_too(tmp_path, console, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job(tmp_path, console)
    job.supervisor.settings = AgentSettings("train", ("a", "-m"), module=True)
    worker = job.spawn("say('ran', args=sys.argv[1:])")
    assert job.hear("ran") == {"args": ["a", "-m"]}
    job.run_to_exit(worker)
    job.selector.close()


def test_only_the_main_thread_spawns(job):
    """PROTOCOL P1: the parent-death signal follows the creating thread."""
    errors = []

    def spawn():
        with pytest.raises(ProtocolError, match="from the main thread") as caught:
            job.spawn("")
        errors.append(caught)

    thread = threading.Thread(target=spawn)
    thread.start()
    thread.join()
    assert errors


@pytest.mark.parametrize("call", ["Popen", "pidfd_open"])
def test_a_spawn_that_fails_leaves_nothing_behind(job, monkeypatch, call):
    def fail(*args, **kwargs):
        raise OSError(24, "Too many open files")

    module = supervisor_module.subprocess if call == "Popen" else supervisor_module.os
    with monkeypatch.context() as patch:
        patch.setattr(module, call, fail)
        with pytest.raises(OSError, match="Too many open files"):
            job.spawn("signal.pause()")
    assert job.supervisor.workers == ()


def test_exits_in_words():
    assert str(Exit(78, 0.0)) == "exited with 78: the group refused it"
    assert str(Exit(-11, 0.0)) == "killed by SIGSEGV"
    assert str(Exit(-40, 0.0)) == "killed by signal 40"
    assert str(Exit(-9, 0.0, "hung")) == "killed by its agent: hung"
    assert str(Exit(1, 0.0, "hung")) == "exited with 1"  # it was faster


def test_the_state_of_a_process():
    assert process_state(os.getpid()) in "RS"
    assert process_state(2**22 + 1) == "X"
