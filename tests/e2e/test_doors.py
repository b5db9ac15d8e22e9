"""Strangers at every listening port while a job trains: counted refusals, and nothing else.

PROTOCOL P3, P4. The doors are found as an attacker finds them, from the sockets that listen, so a
door that somebody adds is attacked too.
"""

from __future__ import annotations

import random
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from elastic.collectives.admission import (
    HELLO,
    MAX_HELLO_BYTES,
    PROOF,
    SUBSCRIBE,
    VERSION,
    VOCABULARY,
    Hello,
    Prover,
)
from tests.e2e.job import PATIENCE_S, Agent, Jobs

pytestmark = pytest.mark.e2e

TOKEN = "a token that nobody could guess, of 48 letters.."
AT_ONCE = 200
"""Connections that are held open together; ten times as many are made in all."""
MEMORY_BYTES = 64 << 20
"""What a process may have grown by: reports and thread stacks, not what strangers sent."""

# -- the doors -----------------------------------------------------------------------------------


def processes(agent: Agent) -> list[psutil.Process]:
    """The agent and all that it has started."""
    root = psutil.Process(agent.process.pid)
    return [root, *root.children(recursive=True)]


def is_etcd(process: psutil.Process) -> bool:
    """The store has a door of etcd's own."""
    return process.name() == "etcd"


def doors(agent: Agent) -> dict[psutil.Process, list[tuple[str, int]]]:
    """Every address that a process of the job listens on, of any kind that a network reaches."""
    found = {}
    for process in processes(agent):
        listening = [
            connection.laddr
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        ]
        found[process] = [(as_ipv4(address.ip), address.port) for address in listening]
    return found


def as_ipv4(ip: str) -> str:
    """gRPC listens on sockets of IPv6 for addresses of both kinds."""
    return ip.removeprefix("::ffff:")


def connect(door: tuple[str, int]) -> socket.socket:
    """A stranger's connection."""
    return socket.create_connection(door, timeout=10)


def until_hung_up(line: socket.socket) -> None:
    """Read what comes until the door is closed, or nothing more comes for a while."""
    line.settimeout(1)
    with suppress(OSError):
        while line.recv(65536):
            pass


# -- what strangers say to any port --------------------------------------------------------------


def tls_hello() -> bytes:
    """The first words of a TLS client."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def http2_frame(kind: int, flags: int, stream: int, payload: bytes, length: int = -1) -> bytes:
    """A frame, which may lie about its length."""
    size = len(payload) if length < 0 else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def words(rng: random.Random) -> Iterator[bytes]:
    """What is sent over one connection each."""
    settings = HTTP2 + http2_frame(4, 0, 0, b"")
    for size in (1, 9, 100, 5000, 1 << 20):
        yield rng.randbytes(size)
        yield settings + rng.randbytes(size)
    yield b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 9999
    yield tls_hello()
    yield HTTP2[:10]
    yield settings + http2_frame(1, 4, 1, rng.randbytes(200))  # headers that no one can decode
    yield settings + http2_frame(0, 0, 1, b"x", length=(1 << 24) - 1)  # and the rest never comes
    yield settings + http2_frame(9, 0, 1, b"x" * 1000) * 50  # headers without end
    yield b'{"nonce": "x", "member": "m", "proof": "%s"}\n' % (b"0" * 64)
    yield b'{"nonce": "x", "member": "m", "proof": "\\ud800"}\n'
    yield b'{"nonce":' + b"[" * 4000 + b"\n"
    yield b'{"nonce": 1' + b"0" * 4000 + b"}\n"
    yield b"[1]\n" + b"x" * 10_000
    yield b"a line without end" * 1000
    yield b"a line without end" * 1000


def talk(door: tuple[str, int], rng: random.Random) -> None:
    """Say everything, over one connection after the other, and hang up as strangers do."""
    for place, said in enumerate(words(rng)):
        with suppress(OSError), connect(door) as line:
            line.sendall(said)
            if place % 4 == 3:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                continue  # a reset
            line.shutdown(socket.SHUT_WR)
            until_hung_up(line)


def crowd(door: tuple[str, int]) -> None:
    """Connect again and again, and hold as many lines as may be, saying nothing."""
    for _ in range(3):
        with ExitStack() as lines:
            for _ in range(AT_ONCE):
                with suppress(OSError):
                    lines.enter_context(connect(door))


# -- what strangers say to a worker --------------------------------------------------------------


def call(
    door: tuple[str, int], hello: bytes, proof: str, method: str = SUBSCRIBE
) -> grpc.StatusCode:
    """Open a stream with a hello, and return how that ends."""
    with grpc.insecure_channel("{}:{}".format(*door)) as channel:
        metadata = ((HELLO, hello), (PROOF, proof))
        stream = channel.unary_stream(method)(b"x" * 100, metadata=metadata, timeout=30)
        try:
            for _ in stream:
                pass
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def hellos(member: dict[str, Any]) -> dict[str, tuple[bytes, str, str]]:
    """Hellos to a member of the group by what is wrong with them: bytes, proof, the verdict."""

    def said(version: int = VERSION, generation: int = member["generation"], nonce: str = "n"):
        return VOCABULARY.encode(
            Hello(version, "standalone", "stranger", member["worker"], generation, nonce)
        )

    another, none = Prover("another"), Prover(None)

    def ours(data: bytes) -> str:
        return Prover(TOKEN).hello(SUBSCRIBE, data)

    return {
        "wrong token": (said(), another.hello(SUBSCRIBE, said()), "UNAUTHENTICATED"),
        "no token": (said(), none.hello(SUBSCRIBE, said()), "UNAUTHENTICATED"),
        "no proof": (said(), "", "UNAUTHENTICATED"),
        "proof of another hello": (said(), ours(said(nonce="m")), "UNAUTHENTICATED"),
        "no hello": (b"", ours(b""), "INVALID_ARGUMENT"),
        "truncated": (said()[:-5], ours(said()[:-5]), "INVALID_ARGUMENT"),
        "wrong version": (
            said(VERSION - 1),
            ours(said(VERSION - 1)),
            "INVALID_ARGUMENT",
        ),
        "stale generation": (
            said(generation=0),
            ours(said(generation=0)),
            "FAILED_PRECONDITION",
        ),
        "oversized": (b"x" * (3 * MAX_HELLO_BYTES), "", "RESOURCE_EXHAUSTED"),
    }


# -- the test ------------------------------------------------------------------------------------


def footprint(agent: Agent) -> dict[int, tuple[int, int]]:
    """Memory in bytes, and descriptors, of each process but etcd's, by process id."""
    return {
        process.pid: (process.memory_info().rss, process.num_fds())
        for process in processes(agent)
        if not is_etcd(process)
    }


def check(found: dict[psutil.Process, list[tuple[str, int]]]) -> None:
    """One door for each worker, one of the agent, and etcd's; all on loopback, as was asked."""
    expected = {"elastic.agent.bootstrap": 1, "elastic.agent.guardian": 0, "elastic.agent": 1}
    for process, addresses in found.items():
        assert all(ip == "127.0.0.1" for ip, _ in addresses)
        if not is_etcd(process):
            module = process.cmdline()[process.cmdline().index("-m") + 1]
            assert len(addresses) == expected[module], module


def holding(jobs: Jobs, folder: Path, *args: str) -> tuple[Agent, Callable[[], None]]:
    """A job of two workers that stands at step 5 until the function that comes back is called."""
    agent = jobs.start(
        "--nproc-per-node=2", args=(f"--hold=5:{folder}/go", *args), env={"ELASTIC_TOKEN": TOKEN}
    )
    agent.wait_for_step(4)
    return agent, (folder / "go").touch


def test_strangers_at_every_door(
    jobs: Jobs, tmp_path: Path, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    """P3, P4: no more doors than are known, and nothing but counted refusals at them; the job ends
    with the undisturbed bits."""
    agent, go = holding(jobs, tmp_path, "--pace=0.004", "--epochs=30")
    before = footprint(agent)
    found = doors(agent)
    check(found)
    open_doors = {process: here for process, here in found.items() if not is_etcd(process)}
    synced = [event for event in agent.all("sync") if event["generation"] >= 1]
    go()  # what is said from here on is said while it trains
    with ThreadPoolExecutor(8) as strangers:
        everywhere = [door for here in open_doors.values() for door in here]
        tasks = [strangers.submit(talk, door, random.Random(9)) for door in everywhere]
        for member in synced:
            (door,) = next(a for p, a in open_doors.items() if p.pid == member["pid"])
            for what, (hello, proof, code) in hellos(member).items():
                assert call(door, hello, proof).name == code, what
            assert call(door, b"", "", method="/elastic.Collectives/Else").name == "UNIMPLEMENTED"
        for task in tasks:
            task.result(PATIENCE_S)
        list(strangers.map(crowd, everywhere, timeout=PATIENCE_S))
    during = footprint(agent)
    assert agent.process.poll() is None, "the strangers were to be done while it trains"
    assert agent.wait() == 0, agent.output
    judge(agent, undisturbed("--epochs=30"), before, during)


def judge(
    agent: Agent,
    undisturbed: dict[str, Any],
    before: dict[int, tuple[int, int]],
    during: dict[int, tuple[int, int]],
) -> None:
    """Nothing changed but the counters."""
    report = agent.report
    assert report["digest"] == undisturbed["digest"]
    assert report["audit"] == "ok"
    assert report["world_sizes"] == [2]
    assert during.keys() == before.keys(), "a process was lost or restarted"
    for pid, (memory_bytes, files) in during.items():
        assert memory_bytes < before[pid][0] + MEMORY_BYTES
        assert files < before[pid][1] + AT_ONCE
    assert "Traceback" not in agent.output
    refused = report["refused"]
    assert refused["collectives: no proof of the job's token"] >= 2 * 4
    assert refused["collectives: another version or job"] == 2
    assert refused["collectives: a generation that is over"] == 2
    assert refused["ping: no proof of the job's token"] >= 1
    assert refused["ping: said too much"] >= 1
    assert refused["ping: too many at once"] >= 1
    assert {event["door"] for event in agent.all("refused")} == {"collectives", "ping"}
