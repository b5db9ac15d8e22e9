"""Elastic, torchrun and torchft as the recovery benchmark sees them: nodes to start and to kill.

A node is a launcher with its workers, on this host. Whatever the system, each worker appends a
line for every step that it has committed (`peers/steps.py`), and the killer reads these.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.hosts import Network, network  # noqa: E402 the repository is no package
from tests.etcd import EtcdServer, etcd_server  # noqa: E402

PEERS = Path(__file__).parent / "peers"
POLL_S = 0.0005
"""How often the lines are looked at: the resolution of every time measured."""
PATIENCE_S = 60.0
"""After so long without what is waited for, a system is told not to have recovered."""


class System:
    """Nodes that train together; ended, with all that they started, on leaving the context."""

    name = ""
    script = ""
    timeout_s = 1800.0
    """Of a collective, where the system has one: PyTorch's default."""
    environment: dict[str, str] = {}  # noqa: RUF012 nobody writes into it

    def __init__(self, nodes: int, workers: int):
        self.nodes, self.workers = nodes, workers
        self._launchers: dict[int, subprocess.Popen[bytes]] = {}
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._offset = 0
        self._stack = ExitStack()

    @property
    def size(self) -> int:
        """How many workers there are when nobody is missing."""
        return self.nodes * self.workers

    def __enter__(self) -> System:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.lines = self.folder / "steps"
        self.lines.touch()
        self._stack.callback(self._end)
        self.prepare()
        for node in range(self.nodes):
            self.start(node)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def prepare(self) -> None:
        """Start what the nodes meet at."""

    def command(self, node: int) -> list[str]:
        """What launches a node."""
        raise NotImplementedError

    def start(self, node: int) -> None:
        """Launch a node, also again after it was killed."""
        settings = {"BENCHMARK_STEPS": str(self.lines), "BENCHMARK_NODE": str(node)}
        settings |= {"BENCHMARK_TIMEOUT": str(self.timeout_s), "PYTHONPATH": str(ROOT)}
        settings |= {"OMP_NUM_THREADS": "1", **self.environment}
        with (self.folder / f"output-{node}").open("ab") as out:
            self._launchers[node] = subprocess.Popen(
                self.command(node),
                env=os.environ | settings,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, node: int) -> float:
        """SIGKILL a node, launcher and workers at once; return the time just before."""
        launcher = self._launchers.pop(node)
        every = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(True)]
        pids = [process.pid for process in every if "etcd" not in process.name()]
        start = time.monotonic()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        launcher.wait()
        return start

    def leave(self, node: int) -> float:
        """Ask a node to leave, as a drained host does (SIGTERM); return the time just before."""
        launcher = self._launchers.pop(node)
        self._leaving.append(launcher)
        start = time.monotonic()
        launcher.send_signal(signal.SIGTERM)
        return start

    def complete(self) -> None:
        """Launch the nodes that are missing."""
        for node in range(self.nodes):
            if node not in self._launchers:
                self.start(node)

    def tend(self) -> None:
        """Replace workers that have ended, where no launcher does that."""

    def allow(self) -> None:
        """Begin to count the time that the system has."""
        self._deadline = time.monotonic() + PATIENCE_S

    def steps(self) -> Iterator[dict[str, Any]]:
        """Yield lines as they are written, each with `seen`, this process's monotonic clock."""
        while time.monotonic() < self._deadline:
            with self.lines.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                yield json.loads(line) | {"seen": time.monotonic()}
            self.tend()
            time.sleep(POLL_S)
        raise TimeoutError(f"{self.name}: not within {PATIENCE_S:g} s:\n{self.output()}")

    def output(self) -> str:
        """The end of what the nodes have printed."""
        return "\n".join(p.read_text()[-1500:] for p in sorted(self.folder.glob("output-*")))

    def _end(self) -> None:
        for node in list(self._launchers):
            with suppress(psutil.NoSuchProcess):
                self.kill(node)
        for launcher in self._leaving:
            launcher.wait()


class Ours(System):
    """Elastic, as it comes."""

    name = "Elastic"
    etcd: EtcdServer

    def prepare(self) -> None:
        """Start an etcd."""
        self.etcd = self._stack.enter_context(etcd_server())

    def command(self, node: int) -> list[str]:
        """An agent."""
        flags = [f"--nproc-per-node={self.workers}", "--max-restarts=1000", "--rdzv-id=job"]
        flags += [f"--rdzv-endpoint={self.etcd.endpoint}", f"--events={self.events(node)}"]
        return [sys.executable, "-m", "elastic.agent", *flags, str(PEERS / "digits_ours.py")]

    def events(self, node: int) -> Path:
        """Where a node writes its events."""
        return self.folder / f"events-{node}"


class OursOnHosts(Ours):
    """Elastic, every node on a host of its own: network namespaces, which need root."""

    net: Network

    def prepare(self) -> None:
        """Start an etcd that all hosts reach."""
        self.net = self._stack.enter_context(network())
        self.etcd = self._stack.enter_context(etcd_server(host=self.net.address))
        while len(self.net.hosts) < self.nodes:
            self.net.host()
        self.environment = {"ELASTIC_TOKEN": secrets.token_hex(16)}

    def command(self, node: int) -> list[str]:
        """An agent within its host."""
        host = self.net.hosts[node]
        *flags, script = super().command(node)
        flags[-2] = f"--rdzv-endpoint={self.etcd.far_endpoint}"
        return [*host.within, *flags, f"--bind={host.address}", script]

    def vanish(self, node: int) -> float:
        """Let a node be unreachable without a word; return the time just before."""
        start = time.monotonic()
        self.net.hosts[node].vanish()
        return start

    def complete(self) -> None:
        """Let all be reached again: who was away comes back by itself."""
        for host in self.net.hosts:
            host.heal()


class Torchrun(System):
    """torchrun with its defaults."""

    name = "torchrun"
    conf = ""
    flags: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Choose the port of the first node's store."""
        self._port = free_port()

    def command(self, node: int) -> list[str]:
        """An agent; the first holds the store that they meet at."""
        flags = [f"--nproc-per-node={self.workers}", "--max-restarts=1000", *self.flags]
        if self.nodes == 1:
            flags.append("--standalone")
        else:
            flags += [f"--nnodes=1:{self.nodes}", "--rdzv-backend=c10d", "--rdzv-id=job"]
            flags += [f"--rdzv-endpoint=127.0.0.1:{self._port}"]
            flags += [f"--rdzv-conf=is_host={int(node == 0)}{self.conf}"]
        script = str(PEERS / "digits_torchrun.py")
        return [sys.executable, "-m", "torch.distributed.run", *flags, script]


class TorchrunBest(Torchrun):
    """torchrun with the settings that recover fastest."""

    name = "torchrun, best settings"
    timeout_s = 30.0
    conf = ",last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=2"
    flags = ("--monitor-interval=0.05",)
    # Else the workers of a restart may read the addresses of the dead from the store they share.
    environment: dict[str, str] = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # noqa: RUF012


class Torchft(System):
    """torchft with its defaults; a node is a replica group of one worker."""

    name = "torchft"
    timeout_s = 60.0
    heartbeat_ms = 5000
    tick_ms = 100

    def __init__(self, nodes: int, workers: int):
        super().__init__(nodes * workers, 1)

    def prepare(self) -> None:
        """Start a lighthouse."""
        self._port = free_port()
        flags = [f"--bind=127.0.0.1:{self._port}", "--min_replicas=1", "--join_timeout_ms=1000"]
        flags += [f"--heartbeat_timeout_ms={self.heartbeat_ms}", f"--quorum_tick_ms={self.tick_ms}"]
        program = Path(sys.executable).with_name("torchft_lighthouse")
        out = self._stack.enter_context((self.folder / "output-lighthouse").open("wb"))
        lighthouse = subprocess.Popen([program, *flags], stdout=out, stderr=subprocess.STDOUT)
        self._stack.callback(lighthouse.wait)
        self._stack.callback(lighthouse.kill)
        os.environ["TORCHFT_LIGHTHOUSE"] = f"http://127.0.0.1:{self._port}"

    def command(self, node: int) -> list[str]:
        """A worker."""
        return [sys.executable, str(PEERS / "digits_torchft.py")]

    def complete(self) -> None:
        """Launch the nodes that are missing."""
        for node in range(self.nodes):
            if node not in self._launchers:
                self.start(node)

    def tend(self) -> None:
        """Launch the replica groups again that have ended."""
        for node, launcher in self._launchers.items():
            if launcher.poll() is not None:
                self.start(node)


class TorchftBest(Torchft):
    """torchft with the settings that recover fastest."""

    name = "torchft, best settings"
    heartbeat_ms = 1000
    tick_ms = 20
    timeout_s = 2.0


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
