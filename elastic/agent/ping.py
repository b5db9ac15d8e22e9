"""May this member be dead? Its agent answers for it (PROTOCOL M6).

A connection that broke, a timeout and a lost lease are only suspicions: a Python thread can starve
for a second. `probe` turns one into a verdict within a second; `PingServer` is the agent's side.

On the wire: one JSON line each, over TCP, bytes in hex. Each side proves that it knows the job's
token by an HMAC of what the other chose: the token never travels, and a stranger achieves nothing,
whether he asks or answers in an agent's place.

    agent   {"nonce": N}
    asker   {"nonce": M, "member": id, "proof": HMAC(token, "ask", N, M, id)}
    agent   {"answer": {...}, "proof": HMAC(token, "answer", M, answer)}

A newcomer's agent greets in the same way (PROTOCOL M7): it asks with the address where it listens
itself ("callback", part of the proof), and the other answers whether it reached that.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from elastic.clock import monotonic
from elastic.telemetry.refusals import Refusals

__all__ = ["STATUS", "Answer", "PingServer", "Verdict", "ask_status", "greet", "probe"]

STATUS = "*"
"""Asked for in place of a member: how the agent's run stands."""
MAX_LINE_BYTES = 4096
_MAX_STATUS_BYTES = 1 << 20
_MAX_WORDS = 500
_SERVE_TIMEOUT_S = 1.0
_MAX_ASKERS = 32
"""More at once are hung up on: they can ask again."""

# A client's first words in HTTP/2 (RFC 9113, section 3.4), which any gRPC server answers.
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

Answer = dict[str, Any]
"""`alive` (bool), and for people `state` (of the process) and `activity` or `reason` (words)."""


@dataclass(frozen=True)
class Verdict:
    """Whether a member is dead, and how we know."""

    dead: bool
    reason: str
    silent: bool = False
    """Nothing was heard of it: it may be dead, or out of our reach."""


class _Silence(Exception):
    """Nothing that counts as an answer: no connection, no time, no proof."""


def _proof(token: str, *parts: str) -> str:
    # JSON keeps the parts apart: ("ab", "c") must not sign as ("a", "bc")
    return hmac.new(token.encode(), json.dumps(parts).encode(), "sha256").hexdigest()


def _equal(proof: str, said: Any) -> bool:
    # JSON may hold half of a surrogate pair, which UTF-8 cannot
    return hmac.compare_digest(proof.encode(), str(said).encode(errors="replace"))


class _Lines:
    """JSON lines over a socket, bounded in size and, all together, in time."""

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int = MAX_LINE_BYTES):
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._buffer = b""

    def send(self, body: dict[str, Any]) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(json.dumps(body).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Return the next object.

        Raises:
            _Silence: it did not come in time, was too long, or was none.
        """
        while b"\n" not in self._buffer:
            self._sock.settimeout(_left(self._deadline))
            chunk = self._sock.recv(MAX_LINE_BYTES)
            self._buffer += chunk
            if not chunk or len(self._buffer) > self._max_bytes:
                raise _Silence("hung up" if not chunk else "said too much")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):
            raise _Silence("spoke no JSON") from None
        if not isinstance(body, dict):
            raise _Silence("spoke no JSON object")
        return body


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class PingServer:
    """Answers for the workers of this agent, in threads of its own, until it is closed.

    `answer(member_id)` is called in those threads; for a member that it does not know it says
    `{"alive": False, "reason": …}`. Whoever gets no answer is counted in `refusals`.
    """

    def __init__(
        self,
        bind: str,
        token: str,
        answer: Callable[[str], Answer],
        refusals: Refusals | None = None,
    ):
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        self._socket = socket.create_server((bind, 0), family=family, backlog=128)
        self._token = token
        self._answer = answer
        self.refusals = refusals or Refusals("ping")
        self._askers = threading.BoundedSemaphore(_MAX_ASKERS)
        self._closing = threading.Event()
        port = self._socket.getsockname()[1]
        self.address = f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"
        self._thread = threading.Thread(target=self._accept, name="elastic-ping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; whoever asks from now on is refused."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        self._socket.close()
        self._thread.join(_SERVE_TIMEOUT_S)
        self.refusals.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                asker, _ = self._socket.accept()
            except OSError:  # closed; or too many files are open, which passes
                self._closing.wait(0.05)
                continue
            if self._askers.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(asker,), daemon=True).start()
            else:
                asker.close()
                self.refusals.count("too many at once")

    def _serve(self, asker: socket.socket) -> None:
        try:
            with asker:
                self._reply(_Lines(asker, monotonic() + _SERVE_TIMEOUT_S))
        except _Silence as error:
            self.refusals.count(str(error))
        except OSError:
            self.refusals.count("hung up or said nothing")
        finally:
            self._askers.release()

    def _reply(self, lines: _Lines) -> None:
        nonce = secrets.token_hex(16)
        lines.send({"nonce": nonce})
        asked = lines.receive()
        theirs, member = str(asked.get("nonce")), str(asked.get("member"))
        callback = str(asked.get("callback") or "")
        proof = _proof(self._token, "ask", nonce, theirs, member, *([callback] * bool(callback)))
        if not _equal(proof, asked.get("proof")):  # a stranger learns nothing, not even that
            raise _Silence("no proof of the job's token")
        told = _reaches(callback) if callback else self._answer(member)
        answer = {key: _short(value) for key, value in told.items()}
        signed = _proof(self._token, "answer", theirs, json.dumps(answer, sort_keys=True))
        lines.send({"answer": answer, "proof": signed})


def _short(value: Any) -> Any:
    return value[:_MAX_WORDS] if isinstance(value, str) else value


def probe(
    worker_address: str,
    agent_address: str,
    member_id: str,
    token: str,
    timeout_s: float = 0.3,
    *,
    tls: bool = False,
) -> Verdict:
    """Return the verdict on a suspected member, within about `timeout_s`, or twice that.

    `tls` says that workers of this job speak TLS.

    Dead is who refuses the connection, whom its own agent calls dead, or who is silent like its
    agent. Both are asked at once.
    """
    pool = ThreadPoolExecutor(1, "elastic-ask")
    asked = pool.submit(_ask, agent_address, member_id, token, timeout_s)
    pool.shutdown(wait=False)
    try:
        door: socket.socket | None = _connect(worker_address, monotonic() + timeout_s)
    except ConnectionRefusedError:
        return Verdict(True, f"{worker_address} refuses the connection")
    except OSError:  # no route, no time: that proves nothing of the process
        door = None
    with door or contextlib.nullcontext():
        try:
            return _by_its_agent(asked.result())
        except (OSError, _Silence) as error:
            why = f"its agent {agent_address} is silent ({error})"
        if door is not None and _speaks(door, timeout_s, _tls_hello() if tls else _HTTP2_HELLO):
            return Verdict(False, f"{why}, but the worker itself answers at {worker_address}")
    reason = f"{why}, and so is the worker at {worker_address} for {timeout_s:g} s"
    return Verdict(True, reason, silent=True)


def greet(agent_address: str, callback: str, token: str, timeout_s: float = 1.0) -> str:
    """Return '' if the agent there and the one that listens at `callback` reach each other.

    Otherwise why not. Within about `timeout_s`.
    """
    try:
        answer = _ask(agent_address, "", token, timeout_s, callback)
    except (OSError, _Silence) as error:
        return f"{agent_address} cannot be reached ({error})"
    if answer.get("reached") is True:
        return ""
    return f"{agent_address} cannot reach {callback} ({answer.get('reason')})"


def _reaches(callback: str) -> Answer:
    """Return whether an agent speaks there: its nonce is its first word."""
    deadline = monotonic() + _SERVE_TIMEOUT_S / 2
    try:
        with _connect(callback, deadline) as sock:
            _Lines(sock, deadline).receive()
    except (OSError, _Silence) as error:
        return {"reached": False, "reason": str(error)}
    return {"reached": True}


def _by_its_agent(answer: Answer) -> Verdict:
    said = [str(answer[key]) for key in ("reason", "activity") if answer.get(key)]
    if answer.get("state"):
        said.insert(0, f"process state {answer['state']}")
    details = f": {', '.join(said)}" if said else ""
    alive = answer.get("alive") is True
    return Verdict(not alive, f"its agent says it is {'alive' if alive else 'dead'}{details}")


def _connect(address: str, deadline: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise OSError(f"{address!r} is no host:port")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout=_left(deadline))
    except ValueError as error:  # what no host can be called
        raise OSError(f"{address!r} is no host:port: {error}") from None


def _tls_hello() -> bytes:
    """Return a client's first words in TLS."""
    words = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), words).do_handshake()
    return words.read()


def _speaks(sock: socket.socket, timeout_s: float, hello: bytes) -> bool:
    """Return whether a gRPC server answers there: its event loop runs without Python's threads."""
    try:
        sock.sendall(hello)
        sock.settimeout(timeout_s)
        return bool(sock.recv(1))
    except OSError:
        return False


def ask_status(address: str, token: str, timeout_s: float = 1.0) -> Answer:
    """Return what the agent at `address` says of its run (`board.Snapshot` as JSON).

    Raises:
        OSError: it does not answer in time.
        PermissionError: it does, but not with this token.
    """
    try:
        return _ask(address, STATUS, token, timeout_s, max_bytes=_MAX_STATUS_BYTES)
    except _Silence as error:
        raise PermissionError(f"{address} {error}") from None


def _ask(
    address: str,
    member_id: str,
    token: str,
    timeout_s: float,
    callback: str = "",
    max_bytes: int = MAX_LINE_BYTES,
) -> Answer:
    deadline = monotonic() + timeout_s
    with _connect(address, deadline) as sock:
        lines = _Lines(sock, deadline, max_bytes)
        nonce, theirs = secrets.token_hex(16), str(lines.receive().get("nonce"))
        parts = (theirs, nonce, member_id, *([callback] * bool(callback)))
        asked = {"nonce": nonce, "member": member_id, "callback": callback}
        lines.send(asked | {"proof": _proof(token, "ask", *parts)})
        said = lines.receive()
    answer = said.get("answer")
    signed = _proof(token, "answer", nonce, json.dumps(answer, sort_keys=True))
    if not isinstance(answer, dict) or not _equal(signed, said.get("proof")):
        raise _Silence("cannot prove that it is of this job")
    return answer
