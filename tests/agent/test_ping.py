"""Verdicts on suspected members, and what strangers learn of an agent: nothing. PROTOCOL M6, P3."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from elastic.agent import ping
from elastic.agent.ping import PingServer, Verdict, probe

TOKEN = "the job's secret"
SOON_S = 0.1
"""For who waits for nothing to come."""
AMPLE_S = 10
"""For who waits for something: a busy machine must not fail a test."""


def answer(member):
    if member == "m1":
        return {"alive": True, "state": "R", "activity": "user code in step 7"}
    return {"alive": False, "reason": f"no member {member} here"}


@pytest.fixture
def agent():
    server = PingServer("127.0.0.1", TOKEN, answer)
    yield server
    server.close()


@contextmanager
def listening(reply=None):
    """A port that accepts; `reply(connection)` serves each one, None leaves them waiting."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            if reply:
                with connection:
                    reply(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in kept:
            connection.close()


@pytest.fixture
def worker():
    """The address of a worker that accepts connections and never says a word."""
    with listening() as address:
        yield address


@pytest.fixture
def curt():
    """The address of a worker that hangs up on whoever comes: silent, but at once."""
    with listening(lambda connection: None) as address:
        yield address


@pytest.fixture
def nobody():
    """An address that refuses: nothing listens there any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


class TestVerdicts:
    def test_a_refused_connection_is_proof(self, agent, nobody):
        """PROTOCOL M6: nobody is asked."""
        verdict = probe(nobody, agent.address, "m1", TOKEN, AMPLE_S)
        assert verdict == Verdict(True, f"{nobody} refuses the connection")

    def test_a_starving_worker_lives_if_its_agent_says_so(self, agent, worker):
        """PROTOCOL M6: a Python thread can starve for a second."""
        reason = "its agent says it is alive: process state R, user code in step 7"
        assert probe(worker, agent.address, "m1", TOKEN, AMPLE_S) == Verdict(False, reason)

    def test_an_agent_buries_its_own(self, agent, worker):
        reason = "its agent says it is dead: no member m9 here"
        assert probe(worker, agent.address, "m9", TOKEN, AMPLE_S) == Verdict(True, reason)

    def test_a_worker_whose_agent_is_gone_answers_for_itself(self, worker, nobody):
        """Any HTTP/2 server sends its settings first, or upon ours."""

        def http2(connection):
            assert connection.recv(100) == ping._HTTP2_HELLO
            connection.sendall(bytes(9))

        with listening(lambda c: http2(c) if c.recv(1, socket.MSG_PEEK) else None) as speaking:
            verdict = probe(speaking, nobody, "m1", TOKEN, AMPLE_S)
        assert not verdict.dead
        assert verdict.reason == (
            f"its agent {nobody} is silent ([Errno 111] Connection refused), "
            f"but the worker itself answers at {speaking}"
        )

    def test_both_silent_is_dead(self, worker):
        with listening() as silent:
            verdict = probe(worker, silent, "m1", TOKEN, SOON_S)
        assert verdict.dead
        assert verdict.reason == (
            f"its agent {silent} is silent (timed out), and so is the worker at {worker} for 0.1 s"
        )

    def test_a_worker_that_hangs_up_is_silent(self, curt, nobody):
        assert probe(curt, nobody, "m1", TOKEN, AMPLE_S).dead

    @pytest.mark.parametrize("address", ["", "host", "127.0.0.1:", "127.0.0.1:99999", ":x"])
    def test_an_address_that_is_none_proves_nothing_by_itself(self, agent, curt, address):
        assert not probe(address, agent.address, "m1", TOKEN, AMPLE_S).dead
        verdict = probe(curt, address, "m1", TOKEN, AMPLE_S)
        assert verdict.dead
        assert "is no host:port" in verdict.reason

    def test_a_real_grpc_server_answers_for_itself(self, nobody):
        """The worker's server is gRPC: its first frame comes from C, whatever Python does."""
        script = (
            "import grpc, sys\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "server = grpc.server(ThreadPoolExecutor(1))\n"
            "print(server.add_insecure_port('127.0.0.1:0'), flush=True)\n"
            "server.start()\n"
            "print('started', flush=True)\n"
            "sys.stdin.read()\n"
        )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
            port = process.stdout.readline().strip()
            process.stdout.readline()
            verdict = probe(f"127.0.0.1:{port}", nobody, "m1", TOKEN, AMPLE_S)
            process.stdin.close()
        assert not verdict.dead, verdict


def says(*bodies):
    """An agent that says these lines, whatever it is asked."""

    def reply(connection):
        for body in bodies:
            connection.sendall(body if isinstance(body, bytes) else json.dumps(body).encode())
            connection.sendall(b"\n")
            connection.recv(4096)

    return reply


ALIVE = {"alive": True}


@pytest.mark.parametrize(
    ("impostor", "why"),
    [
        (says({"nonce": "n"}, {"answer": ALIVE}), "cannot prove that it is of this job"),
        (says({"nonce": "n"}, {"answer": ALIVE, "proof": "é"}), "cannot prove"),
        (says({"nonce": "n"}, {"proof": 5}), "cannot prove"),
        (says({"nonce": 5}, [1]), "spoke no JSON object"),
        (says(b"SSH-2.0"), "spoke no JSON"),
        (says(b"\xff" * 10), "spoke no JSON"),
        (says(b"[" * 4000), "spoke no JSON"),
        (says(b"x" * 5000), "said too much"),
        (lambda connection: None, "hung up"),
    ],
)
def test_an_impostor_is_as_good_as_silent(curt, impostor, why):
    """PROTOCOL P3: an agent proves that it is of this job; else it cannot keep a dead one alive."""
    with listening(impostor) as address:
        verdict = probe(curt, address, "m1", TOKEN, AMPLE_S)
    assert verdict.dead
    assert why in verdict.reason


def test_an_agent_of_another_job_is_as_good_as_silent(agent, curt):
    verdict = probe(curt, agent.address, "m1", "another secret", AMPLE_S)
    assert verdict.dead
    assert "hung up" in verdict.reason


class Stranger:
    """Somebody who talks to an agent's port by hand."""

    def __init__(self, agent):
        host, _, port = agent.address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=AMPLE_S)
        self.file = self.sock.makefile("rb")
        self.nonce = json.loads(self.file.readline())["nonce"]

    def say(self, line):
        """Return what the agent answers."""
        with self.sock, self.file:
            self.sock.sendall(
                line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            )
            try:
                return self.file.read()
            except ConnectionResetError:
                return b""


@pytest.mark.parametrize(
    "line",
    [
        {"nonce": "a", "member": "m1", "proof": "0" * 64},
        {"nonce": "a", "member": "m1"},
        {"nonce": "a", "member": "m1", "proof": "é"},
        {},
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b"x" * 5000,
    ],
)
def test_a_stranger_learns_nothing(agent, worker, line):
    """PROTOCOL P3, P4: without the token there is no answer, and a flood is cut."""
    assert Stranger(agent).say(line) == b""
    assert not probe(worker, agent.address, "m1", TOKEN, AMPLE_S).dead  # and it serves on


def test_a_question_cannot_be_asked_twice(agent):
    """A recorded proof is worth nothing: the agent's nonce is new each time."""
    first = Stranger(agent)
    asked = {
        "nonce": "a",
        "member": "m1",
        "proof": ping._proof(TOKEN, "ask", first.nonce, "a", "m1"),
    }
    assert json.loads(first.say(asked))["answer"]["alive"] is True
    assert Stranger(agent).say(asked) == b""


def test_a_slow_asker_is_hung_up_on(agent, monkeypatch):
    monkeypatch.setattr(ping, "_SERVE_TIMEOUT_S", SOON_S)
    assert Stranger(agent).say(b"") == b""


def test_too_many_askers_at_once_are_hung_up_on(agent, curt):
    for _ in range(ping._MAX_ASKERS):
        agent._askers.acquire()
    assert probe(curt, agent.address, "m1", TOKEN, AMPLE_S).dead
    for _ in range(ping._MAX_ASKERS):
        agent._askers.release()
    assert not probe(curt, agent.address, "m1", TOKEN, AMPLE_S).dead


def test_many_may_ask_together(agent, worker):
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(
            pool.map(lambda _: probe(worker, agent.address, "m1", TOKEN, AMPLE_S), range(32))
        )
    assert not any(verdict.dead for verdict in verdicts)


def test_a_long_answer_is_cut(worker):
    server = PingServer("127.0.0.1", TOKEN, lambda member: {"alive": True, "activity": "x" * 9000})
    verdict = probe(worker, server.address, "m1", TOKEN, AMPLE_S)
    server.close()
    assert not verdict.dead
    assert len(verdict.reason) < 1000


def test_ipv6(worker):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = PingServer("::1", TOKEN, answer)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    assert server.address.startswith("[::1]:")
    assert not probe(worker, server.address, "m1", TOKEN, AMPLE_S).dead
    server.close()


def test_a_closed_agent_refuses(worker):
    server = PingServer("127.0.0.1", TOKEN, answer)
    server.close()
    assert not server._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        ping._ask(server.address, "m1", TOKEN, AMPLE_S)
