"""A real etcd for tests: started, frozen, killed and started again on the same port and data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc

from elastic.agent.guardian import etcd_environment, find_etcd
from elastic.rendezvous._etcd_messages import method

START_TIMEOUT_S = 20.0


class EtcdServer:
    """One etcd on a loopback port, with its data in `directory`."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, again on the same data after `kill`, and wait until it serves."""
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [find_etcd()],
                env=self._environment(),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_healthy()

    def pause(self) -> None:
        """Freeze it: it accepts connections (the kernel does) and says nothing."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        os.waitpid(self._process.pid, os.WUNTRACED)  # until its last thread stands still

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would, keeping its data."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def wipe(self) -> None:
        """Remove the data of a killed etcd: the next start is an empty store."""
        shutil.rmtree(self._directory / "data")

    def stop(self) -> None:
        """End it if it runs, in whatever state."""
        if self._process is not None:
            self.kill()

    def compact(self, revision: int) -> None:
        """Let it forget the changes up to and including `revision`."""
        compact = method("KV", "Compact")
        with grpc.insecure_channel(self.endpoint) as channel:
            call = channel.unary_unary(
                compact.path, compact.request.SerializeToString, compact.response.FromString
            )
            call(compact.request(revision=revision, physical=True), timeout=5.0)

    def _environment(self) -> dict[str, str]:
        # Without fsync etcd keeps acknowledged writes in its own memory, and `kill` loses them.
        return etcd_environment(self._directory, self._port) | {"ETCD_UNSAFE_NO_FSYNC": "false"}

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "this etcd is not running"
        self._process.send_signal(number)

    def _wait_until_healthy(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not self._is_healthy():
            log = self._directory / "log"
            assert self._process is not None
            assert self._process.poll() is None, f"etcd ended at once:\n{log.read_text()}"
            assert time.monotonic() < end, f"etcd does not serve:\n{log.read_text()}"
            time.sleep(0.01)

    def _is_healthy(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0) as line:
            line.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            with line.makefile("rb") as answer:
                return b'"health":"true"' in answer.read(4096)
        return False


@contextmanager
def etcd_server() -> Iterator[EtcdServer]:
    """Yield a running etcd with a fresh directory; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="elastic-test-etcd-"))
    server = EtcdServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
