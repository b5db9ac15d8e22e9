"""A job behind certificates: mutual TLS between workers and with etcd, and etcd's users.

PROTOCOL P3, with real certificates, a real etcd that asks for them, and strangers who have others.
"""

from __future__ import annotations

import random
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from elastic.rendezvous._etcd_messages import method
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.tls import EtcdLogin, TLSFiles
from tests.certificates import Authority
from tests.e2e.job import Jobs
from tests.e2e.test_doors import doors, talk
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e

PASSWORD = "a password for tests alone"
TOKEN = "a token that nobody could guess, of 48 letters.."


class SecureEtcd(EtcdServer):
    """An etcd that asks clients for a certificate of its CA, and for root's password."""

    def __init__(self, directory: Path, ca: Authority):
        super().__init__(directory)
        self._socket = directory / "client:0"
        self._etcd_files = (ca.ca, *ca.issue("etcd"))
        self.client_files = (ca.ca, *ca.issue("client"))

    def _environment(self) -> dict[str, str]:
        ca, cert, key = map(str, self._etcd_files)
        public = f"https://{self.endpoint}"
        return super()._environment() | {
            "ETCD_LISTEN_CLIENT_URLS": f"{public},unix://{self._socket.name}",
            "ETCD_ADVERTISE_CLIENT_URLS": public,
            "ETCD_TRUSTED_CA_FILE": ca,
            "ETCD_CERT_FILE": cert,
            "ETCD_KEY_FILE": key,
            "ETCD_CLIENT_CERT_AUTH": "true",
        }

    def _is_healthy(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._socket))
            line.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            with line.makefile("rb") as answer:
                return b'"health":"true"' in answer.read(4096)
        return False

    def demand_passwords(self) -> None:
        """From now on only root may do anything, with the password."""
        ca, cert, key = (path.read_bytes() for path in self.client_files)
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        with grpc.secure_channel(self.endpoint, credentials) as channel:
            for name, fields in {
                "UserAdd": {"name": "root", "password": PASSWORD},
                "RoleAdd": {"name": "root"},
                "UserGrantRole": {"user": "root", "role": "root"},
                "AuthEnable": {},
            }.items():
                rpc = method("Auth", name)
                ask = channel.unary_unary(
                    rpc.path, rpc.request.SerializeToString, rpc.response.FromString
                )
                ask(rpc.request(**fields), timeout=10)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the job's workers and of its etcd."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def etcd(ca: Authority) -> Iterator[SecureEtcd]:
    """A running etcd that trusts nobody without certificate and password."""
    directory = Path(tempfile.mkdtemp(prefix="elastic-test-etcd-"))
    server = SecureEtcd(directory, ca)
    try:
        server.start()
        server.demand_passwords()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def flags(prefix: str, files: tuple[Path, ...]) -> list[str]:
    """`--tls-ca=…` and so on."""
    names = ("ca", "cert", "key")
    return [f"--{prefix}-{name}={path}" for name, path in zip(names, files, strict=False)]


@pytest.fixture
def login(etcd: SecureEtcd, tmp_path: Path) -> list[str]:
    """The flags that open etcd's door."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    return [
        *flags("rdzv", etcd.client_files),
        *("--rdzv-user=root", f"--rdzv-password-file={password}"),
    ]


def test_a_job_behind_certificates(
    jobs: Jobs,
    etcd: SecureEtcd,
    ca: Authority,
    login: list[str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, Any]],
) -> None:
    """P3: two agents train through TLS and a password; who has another CA is refused by name, and
    strangers who have none are not heard."""
    mine = (ca.ca, *ca.issue("host"))
    secure = [*login, *flags("tls", mine)]
    args = (f"--hold=20:{tmp_path}/go", "--epochs=12")
    environment = {"ELASTIC_TOKEN": TOKEN}
    first = jobs.start(
        "--nproc-per-node=2", *secure, args=args, store=etcd.endpoint, env=environment
    )
    first.wait_for_step(19)
    second = jobs.start(
        "--nproc-per-node=1", *secure, args=args, store=etcd.endpoint, env=environment
    )
    second.wait_for(lambda e: e["event"] == "ready", "a newcomer")
    other = Authority(tmp_path, "other")
    foreign = [*login, *flags("tls", (other.ca, *other.issue("host")))]
    for wrong in (foreign, login):  # another CA; none
        stranger = jobs.start(*wrong, args=args, store=etcd.endpoint, env=environment)
        assert stranger.wait() == 1, stranger.output
        assert "another --tls-ca, or one of us without TLS" in stranger.output
    for door in [door for here in doors(first).values() for door in here]:
        talk(door, random.Random(9))
    shown = [p.cmdline() for p in psutil.Process(first.process.pid).children(recursive=True)]
    (tmp_path / "go").touch()
    for agent in (first, second):
        assert agent.wait() == 0, agent.output
        assert agent.report["digest"] == undisturbed("--epochs=12")["digest"]
        assert agent.report["audit"] == "ok"
    told = [path.read_text() for path in tmp_path.glob("agent-*/*")]
    held = [str(item.value) for item in store(etcd).range("/", prefix=True).items]
    for secret in (TOKEN, PASSWORD):
        assert not any(secret in text for text in [str(shown), *told, *held]), "a secret leaked"


def store(etcd: SecureEtcd) -> EtcdStore:
    """A client of our own."""
    files = TLSFiles(*map(str, etcd.client_files))
    return EtcdStore([etcd.endpoint], login=EtcdLogin(files, "root", PASSWORD))


def test_etcd_forgets_tokens(etcd: SecureEtcd) -> None:
    """P3: an etcd that starts again wants the password anew, and gets it; watches too."""
    from elastic.rendezvous.store import Put

    ours = store(etcd)
    seen: list[Any] = []
    try:
        revision = ours.txn([], [Put("/t/a", b"1")]).revision
        ours.watch("/t/", True, revision + 1, seen.append)
        etcd.kill()
        etcd.start()
        ours.txn([], [Put("/t/b", b"2")])
        for _ in range(600):
            if seen:
                break
            with suppress(TimeoutError):
                ours._cluster._closed.wait(0.05)
        assert seen[0].puts[0].key == "/t/b"
    finally:
        ours.close()


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ("no certificate", 3, "the store expects an answer"),
        ("another CA", 3, "the store expects an answer"),
        ("another password", 1, "authentication failed"),
    ],
)
def test_etcd_refuses_strangers(
    jobs: Jobs,
    etcd: SecureEtcd,
    login: list[str],
    tmp_path: Path,
    wrong: str,
    code: int,
    words: str,
) -> None:
    """P3: in one line, before anything is started."""
    if wrong == "no certificate":
        login = [flag for flag in login if "-cert=" not in flag and "-key=" not in flag]
    elif wrong == "another CA":
        login[:3] = flags("rdzv", ((mine := Authority(tmp_path, "mine")).ca, *mine.issue("me")))
    else:
        (tmp_path / "password").write_text("a guess")
    stranger = jobs.start(*login, "--rdzv-timeout=1", store=etcd.endpoint)
    assert stranger.wait() == code, stranger.output
    assert words in stranger.output
    assert len(stranger.output.strip().splitlines()) == 1
