"""The bootstrap runs a script as python would, and tells the agent where it failed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from elastic.control import ENV_AGENT_PID, ENV_CONTROL_FD, EXIT_REFUSED, Failure
from elastic.telemetry.channel import channel_pair

BOOTSTRAP = [sys.executable, "-u", "-m", "elastic.agent.bootstrap"]


def run(*args: str, cwd: Path, agent_pid: int | None = None):
    """Return the finished process and what it told its agent."""
    agent, sock = channel_pair()
    env = {
        **os.environ,
        ENV_AGENT_PID: str(agent_pid or os.getpid()),
        ENV_CONTROL_FD: str(sock.fileno()),
    }
    done = subprocess.run(
        [*BOOTSTRAP, *args],
        env=env,
        cwd=cwd,
        pass_fds=[sock.fileno()],
        capture_output=True,
        text=True,
    )
    sock.close()
    told = agent.receive()
    agent.close()
    return done, told


@pytest.fixture
def script(tmp_path):
    def write(text: str, name: str = "train.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    return write


LOOK = """
import sys
import zipfile
main = sys.modules["__main__"]
print([__name__, __file__, sys.argv, sys.path[0], main.__dict__ is globals(),
       getattr(__spec__, "name", None) and "a spec"])
"""


@pytest.mark.parametrize(
    "how", [["train.py", "-m", "--x"], ["sub/train.py"], ["-m", "train", "a"], ["link.py"]]
)
def test_a_script_sees_what_python_shows_it(script, tmp_path, how):
    script(LOOK)
    script(LOOK, "sub/train.py")
    (tmp_path / "link.py").symlink_to("sub/train.py")
    done, told = run(*how, cwd=tmp_path)
    plain = subprocess.run([sys.executable, *how], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == plain.stdout
    assert "__main__" in done.stdout
    assert (done.returncode, done.stderr, told) == (0, "", [])


def test_a_folder_with_a_main_runs(script, tmp_path):
    script("import sys, beside; print(beside.x)", "app/__main__.py")
    script("x = 5", "app/beside.py")
    done, _ = run("app", cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("5\n", 0)


def test_an_exception_is_printed_without_our_frames_and_told(script, tmp_path):
    """PROTOCOL S7: the traceback goes to the agent, which writes it under its place."""
    name = script("def f():\n    raise KeyError('weights')\nf()\n")
    done, (failure,) = run(name, cwd=tmp_path)
    assert done.returncode == 1
    assert isinstance(failure, Failure)
    assert failure.place == "import or after elastic.train"
    assert failure.traceback == done.stderr
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "runpy" not in done.stderr
    assert "bootstrap" not in done.stderr
    assert done.stderr.splitlines()[-1] == "KeyError: 'weights'"


def test_the_place_is_the_one_the_training_room_noted(script, tmp_path):
    name = script("error = ValueError('x')\nerror.elastic_place = 'sync'\nraise error\n")
    _, (failure,) = run(name, cwd=tmp_path)
    assert failure.place == "sync"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
    ],
)
def test_a_script_that_cannot_start_is_told_too(script, tmp_path, text, last):
    done, (failure,) = run(script(text), cwd=tmp_path)
    assert done.returncode == 1
    assert failure.traceback.splitlines()[-1] == last
    assert "bootstrap" not in done.stderr


def test_a_module_that_is_missing_is_told(tmp_path):
    done, (failure,) = run("-m", "no_such_thing", cwd=tmp_path)
    assert done.returncode == 1
    assert "No module named no_such_thing" in failure.traceback


@pytest.mark.parametrize(("code", "returncode"), [("0", 0), ("7", 7), ("None", 0), ("'why'", 1)])
def test_sys_exit_is_no_exception(script, tmp_path, code, returncode):
    done, told = run(script(f"import sys; sys.exit({code})"), cwd=tmp_path)
    assert (done.returncode, told) == (returncode, [])


def test_a_refused_worker_exits_with_its_own_code_and_one_line(script, tmp_path):
    text = "from elastic import RefusedError\nraise RefusedError('rank 0 has numpy 2, we have 1')"
    done, told = run(script(text), cwd=tmp_path)
    assert done.returncode == EXIT_REFUSED
    assert done.stderr == "refused: rank 0 has numpy 2, we have 1\n"
    assert told == []


def test_an_agent_that_is_gone_does_not_hide_the_exception(script, tmp_path):
    agent, sock = channel_pair()
    agent.close()
    env = {
        **os.environ,
        ENV_AGENT_PID: str(os.getpid()),
        ENV_CONTROL_FD: str(sock.fileno()),
    }
    done = subprocess.run(
        [*BOOTSTRAP, script("1/0")],
        env=env,
        cwd=tmp_path,
        pass_fds=[sock.fileno()],
        capture_output=True,
        text=True,
    )
    sock.close()
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_worker_whose_parent_is_another_process_ends_at_once(script, tmp_path):
    """PROTOCOL P1: getppid is checked after the parent-death signal is set."""
    done, _ = run(script("print('ran')"), cwd=tmp_path, agent_pid=1)
    assert (done.returncode, done.stdout) == (-9, "")


PARENT = """
import os, subprocess, sys
os.environ["ELASTIC_AGENT_PID"] = str(os.getpid())
worker = subprocess.Popen([sys.executable, "-m", "elastic.agent.bootstrap", sys.argv[1]],
                          stdout=subprocess.PIPE)
print(worker.stdout.readline().decode(), flush=True)
os.kill(os.getpid(), 9)
"""
FORKS = """
import os, signal
child = os.fork()
if child == 0:
    signal.pause()
print(child, os.getpid(), flush=True)
signal.pause()
"""


def test_a_killed_agent_takes_its_workers_and_their_forks_along(script, tmp_path):
    """PROTOCOL P1."""
    parent, forks = script(PARENT, "parent.py"), script(FORKS)
    done = subprocess.run(
        [sys.executable, parent, forks], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == -9
    for pid in map(int, done.stdout.split()):
        assert ended(pid), pid


ORPHANS = """
import os
def orphan():
    parent = os.getppid()
    os.kill(parent, 9)
    while os.getppid() == parent:
        os.sched_yield()
os.register_at_fork(after_in_child=orphan)
"""


def test_a_fork_whose_worker_died_before_it_was_tied_ends(script, tmp_path, monkeypatch):
    """PROTOCOL P1: hooks run in their order, so one that came before kills the worker in time."""
    script(ORPHANS, "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    name = script("import os\nprint('ran', flush=True) if os.fork() == 0 else os.wait()")
    done, _ = run(name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (-9, "")


def ended(pid: int, timeout_s: float = 5) -> bool:
    """Return whether the process is gone, or ends within the time; it may be nobody's child."""

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


def test_the_bootstrap_is_light(script, tmp_path):
    name = script(
        "import sys; print([m for m in ('numpy', 'grpc', 'argparse') if m in sys.modules])"
    )
    done, _ = run(name, cwd=tmp_path)
    assert done.stdout == "[]\n"


def test_the_scripts_own_future_imports_are_the_only_ones(script, tmp_path):
    done, (failure,) = run(script("def f(x: undefined): ..."), cwd=tmp_path)
    assert done.returncode == 1
    assert "NameError" in failure.traceback


def test_at_exit_the_script_is_still_the_main_module(script, tmp_path):
    text = "import atexit, sys\natexit.register(lambda: print(sys.modules['__main__'].x))\nx = 5"
    done, _ = run(script(text), cwd=tmp_path)
    assert done.stdout == "5\n"


def test_a_zip_with_a_main_runs(tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "print('zipped')")
    done, _ = run("app.zip", cwd=tmp_path)
    assert done.stdout == "zipped\n"
