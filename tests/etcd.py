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
from typing import Any

import grpc

from elastic.agent.guardian import etcd_environment, find_etcd
from elastic.rendezvous._etcd_messages import method

START_TIMEOUT_S = 20.0


class EtcdServer:
    """One etcd on a loopback port, with its data in `directory`."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None, host: str = ""):
        self._directory = directory
        self._port = _free_port()
        self._settings = settings or {}
        if host:  # besides loopback
            urls = f"http://127.0.0.1:{self._port},http://{host}:{self._port}"
            self._settings |= {"LISTEN_CLIENT_URLS": urls}
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"127.0.0.1:{self._port}"
        self.far_endpoint = f"{host}:{self._port}"

    def start(self) -> None:
        """Start it, again on the same data after `kill`, and wait until it serves."""
        self.launch()
        self.wait_until_healthy()

    def launch(self) -> None:
        """Start it without waiting."""
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [find_etcd()],
                env=self._environment(),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

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
        self.call("KV", "Compact", revision=revision, physical=True)

    def call(self, service: str, name: str, **fields: Any) -> Any:
        """Return the answer of one call of etcd's own API."""
        rpc = method(service, name)
        with grpc.insecure_channel(self.endpoint) as channel:
            call = channel.unary_unary(
                rpc.path, rpc.request.SerializeToString, rpc.response.FromString
            )
            return call(rpc.request(**fields), timeout=5.0)

    def fill(self) -> None:
        """Write until it has no space left: it then refuses every write (alarm NOSPACE)."""
        with suppress(grpc.RpcError):
            for place in range(1000):
                self.call("KV", "Put", key=b"/ballast/%d" % place, value=bytes(200_000))
        answer = self.call("Maintenance", "Alarm")
        assert answer.alarms, "it raises an alarm"

    def make_room(self) -> None:
        """Do what its manual says against the alarm."""
        answer = self.call("KV", "DeleteRange", key=b"/ballast/", range_end=b"/ballast0")
        self.compact(answer.header.revision)
        self.call("Maintenance", "Defragment")
        for alarm in self.call("Maintenance", "Alarm").alarms:
            fields = {"memberID": alarm.memberID, "alarm": alarm.alarm}
            self.call("Maintenance", "Alarm", action=2, **fields)

    @property
    def is_leader(self) -> bool:
        """Whether the other members of its cluster follow it."""
        status = self.call("Maintenance", "Status")
        return status.leader == status.header.member_id

    def _environment(self) -> dict[str, str]:
        # Without fsync etcd keeps acknowledged writes in its own memory, and `kill` loses them.
        ours = {"UNSAFE_NO_FSYNC": "false"} | self._settings
        named = {f"ETCD_{name}": value for name, value in ours.items()}
        environment = etcd_environment(self._directory, self._port) | named
        environment.pop("ELASTIC_TEST", None)  # it is the test's, not left behind by a job
        return environment

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "this etcd is not running"
        self._process.send_signal(number)

    def wait_until_healthy(self) -> None:
        """Return when it serves."""
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
def etcd_cluster(size: int = 3) -> Iterator[list[EtcdServer]]:
    """Yield the members of a running cluster on loopback; they are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="elastic-test-etcd-"))
    peers = {f"m{i}": f"http://127.0.0.1:{_free_port()}" for i in range(size)}
    servers = []
    for name, url in peers.items():
        (directory / name).mkdir()
        urls = {"LISTEN_PEER_URLS": url, "INITIAL_ADVERTISE_PEER_URLS": url}
        cluster = ",".join(f"{n}={u}" for n, u in peers.items())
        beats = {"HEARTBEAT_INTERVAL": "50", "ELECTION_TIMEOUT": "500"}  # ms
        settings = {"NAME": name, "INITIAL_CLUSTER": cluster, **urls, **beats}
        servers.append(EtcdServer(directory / name, settings))
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_healthy()
        yield servers
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def etcd_server(settings: dict[str, str] | None = None, host: str = "") -> Iterator[EtcdServer]:
    """Yield a running etcd with a fresh directory; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="elastic-test-etcd-"))
    server = EtcdServer(directory, settings, host)
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
