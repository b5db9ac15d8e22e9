"""The store fails in every way that it can; training does not (PROTOCOL M8, M9)."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import Jobs
from tests.e2e.test_same_bits import ended_well
from tests.etcd import EtcdServer, etcd_cluster, etcd_server

pytestmark = pytest.mark.e2e

Undisturbed = Callable[..., dict[str, Any]]


def start_and_wait(jobs: Jobs, store: str, tmp_path: Path, more: tuple[str, ...] = ()) -> Any:
    """Return an agent of three whose job holds at step 40, and their processes by rank."""
    hold = f"--hold=40:{tmp_path}/go"
    agent = jobs.start("--nproc-per-node=3", *more, args=(hold,), store=store)
    pids = agent.group(3)
    agent.wait_for_step(10)
    return agent, pids


def test_a_loss_while_the_store_is_down(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M8: only the change waits; when the store is back it is made, and nobody needs a restart."""
    agent, pids = start_and_wait(jobs, etcd.endpoint, tmp_path)
    etcd.kill()
    agent.wait_for_step(39)
    os.kill(pids[1], signal.SIGKILL)
    (tmp_path / "go").touch()
    agent.wait_for_output("the store does not")
    etcd.start()
    assert agent.group(2) == {0: pids[0], 1: pids[2]}
    ended_well(agent, undisturbed())


@pytest.mark.soak
def test_down_for_half_a_minute(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M8: no step is lost; every lease has run out, and the keys are written again."""
    agent, _ = start_and_wait(jobs, etcd.endpoint, tmp_path, ("--step-timeout=600",))
    etcd.kill()
    agent.wait_for_step(39)
    time.sleep(30)
    etcd.start()
    second = jobs.start(
        "--nproc-per-node=1", args=(f"--hold=40:{tmp_path}/go",), store=etcd.endpoint
    )
    agent.wait_until(lambda: members(etcd) == 4, "the keys of all, and a newcomer's")
    (tmp_path / "go").touch()
    for each in (agent, second):
        ended_well(each, undisturbed())
    assert agent.report["world_sizes"] == [3, 4]
    assert not agent.all("abort")


def members(etcd: EtcdServer) -> int:
    """How many members' keys there are."""
    answer = etcd.call("KV", "Range", key=b"/", range_end=b"0", keys_only=True)
    return sum(b"/members/" in each.key for each in answer.kvs)


def test_the_store_is_wiped(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M8: the record is created again at memory + 1, and the keys; then changes work as ever."""
    agent, pids = start_and_wait(jobs, etcd.endpoint, tmp_path)
    etcd.kill()
    etcd.wipe()
    etcd.start()
    agent.wait_for(
        lambda e: e["event"] == "rendezvous" and e["cause"] == "the store had lost the record",
        "the record's return",
    )
    agent.wait_for_step(39)
    os.kill(pids[1], signal.SIGKILL)
    (tmp_path / "go").touch()
    agent.group(2)
    ended_well(agent, undisturbed())


def test_the_store_has_no_space(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """M8: it reads and refuses to write; the agent says so, and goes on when there is room."""
    with etcd_server({"QUOTA_BACKEND_BYTES": "1500000"}) as etcd:
        agent, pids = start_and_wait(jobs, etcd.endpoint, tmp_path)
        etcd.fill()
        agent.wait_for_step(39)
        os.kill(pids[1], signal.SIGKILL)
        (tmp_path / "go").touch()
        agent.wait_for_output("database space exceeded")
        etcd.make_room()
        assert agent.group(2) == {0: pids[0], 1: pids[2]}
        ended_well(agent, undisturbed())


def test_the_leader_of_three_dies(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """M8: the others elect a new one; a loss at that moment waits for it, and no longer."""
    with etcd_cluster() as members:
        store = ",".join(member.endpoint for member in members)
        agent, pids = start_and_wait(jobs, store, tmp_path)
        next(member for member in members if member.is_leader).kill()
        agent.wait_for_step(39)
        os.kill(pids[0], signal.SIGKILL)
        (tmp_path / "go").touch()
        assert agent.group(2) == {0: pids[1], 1: pids[2]}
        ended_well(agent, undisturbed())


@pytest.mark.soak
def test_a_slow_store(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M8: 0.2 s each way; leases live, and a loss costs what the store takes."""
    with slow_way_to(etcd.endpoint, 0.2) as endpoint:
        agent, pids = start_and_wait(jobs, endpoint, tmp_path)
        agent.wait_for_step(39)
        os.kill(pids[2], signal.SIGKILL)
        (tmp_path / "go").touch()
        assert agent.group(2) == {0: pids[0], 1: pids[1]}
        ended_well(agent, undisturbed())


@contextmanager
def slow_way_to(endpoint: str, delay_s: float) -> Iterator[str]:
    """Yield an endpoint behind which everything is passed on so much later, both ways."""
    server = socket.create_server(("127.0.0.1", 0))
    host, _, port = endpoint.rpartition(":")
    ended = threading.Event()
    threads = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection((host, int(port)))
                thread = threading.Thread(target=_relay, args=(near, far, delay_s, ended))
                thread.start()
                threads.append(thread)

    thread = threading.Thread(target=serve)
    thread.start()
    threads.append(thread)
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for thread in threads:
            thread.join(10)


def _relay(near: socket.socket, far: socket.socket, delay_s: float, ended: threading.Event) -> None:
    """Pass on what either says, each piece `delay_s` after it came."""
    late: list[tuple[float, socket.socket, bytes]] = []
    other = {near: far, far: near}
    with near, far, suppress(OSError):
        while not ended.is_set():
            wait_s = max(0.0, late[0][0] - time.monotonic()) if late else 0.1
            for sock in select.select([near, far], [], [], min(wait_s, 0.1))[0]:
                piece = sock.recv(65536)
                if not piece:
                    return
                late.append((time.monotonic() + delay_s, other[sock], piece))
            while late and late[0][0] <= time.monotonic():
                _, sock, piece = late.pop(0)
                sock.sendall(piece)
