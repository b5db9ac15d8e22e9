"""Flags of TLS and of etcd's login: settings, or one line that says what is wrong. PROTOCOL P3."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic.agent.cli import parse
from elastic.agent.environment import worker_environment
from elastic.control import ENV_TLS, ENV_TOKEN
from elastic.errors import ConfigError
from tests.certificates import Authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A CA, a certificate, a password and a script."""
    folder = tmp_path_factory.mktemp("doors")
    Authority(folder).issue("host")
    for name, text in {"password": "pass word\n", "empty": "\n", "train.py": ""}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv(ENV_TOKEN, "secret")


HERE, THERE = "--standalone", "--rdzv-endpoint=etcd-0 --rdzv-id=j"
TLS = "--tls-ca=ca.pem --tls-cert=ca-host.pem --tls-key=ca-host.key"
ETCD = "--rdzv-ca=ca.pem --rdzv-cert=ca-host.pem --rdzv-key=ca-host.key"
USER = "--rdzv-user=me --rdzv-password-file=password"


def settings(*flags: str):
    """What the flags ask for."""
    return parse([*" ".join(flags).split(), "train.py"])


def test_tls_of_workers(folder):
    tls = settings(HERE, TLS).tls
    assert tls.ca == str(folder / "ca.pem"), "a script may change the directory"
    assert (tls.cert, tls.key) == (str(folder / "ca-host.pem"), str(folder / "ca-host.key"))
    assert settings(HERE).tls is None


def test_workers_are_told_of_files_and_of_no_secret_of_etcd():
    """P3: paths in the environment; nothing of it in argv."""
    asked = settings(THERE, TLS, ETCD, USER)
    place = {"local_rank": 0, "agent_pid": 1, "control_fd": 3, "activity_fd": 4}
    told = worker_environment({ENV_TLS["ca"]: "of another job"}, asked, **place)
    assert {told[name] for name in ENV_TLS.values()} == {
        asked.tls.ca,
        asked.tls.cert,
        asked.tls.key,
    }
    assert not any("pass word" in value for value in told.values())
    plain = worker_environment({ENV_TLS["ca"]: "of another job"}, settings(HERE), **place)
    assert not plain.keys() & set(ENV_TLS.values())


def test_etcd_s_login():
    asked = settings(THERE, ETCD, USER)
    assert (asked.etcd.user, asked.etcd.password) == ("me", "pass word")
    assert asked.etcd.tls.flags == "--rdzv"
    assert settings(THERE, "--rdzv-ca=ca.pem").etcd.tls.cert == ""
    assert settings(THERE).etcd.tls is None


def test_secrets_are_not_shown():
    """P3: whoever prints the settings prints no secret."""
    shown = repr(settings(THERE, ETCD, USER))
    assert "secret" not in shown
    assert "pass word" not in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            (HERE, "--tls-ca=ca.pem"),
            "expects --tls-ca, --tls-cert and --tls-key, got no --tls-cert",
        ),
        (
            (HERE, TLS, "--tls-key=no"),
            "--tls-key expects its private key, got .*/no': No such file",
        ),
        ((HERE, TLS, "--bind=::1"), "--tls-cert expects .* mismatch"),
        ((HERE, ETCD), "--standalone brings its own etcd"),
        ((HERE, USER), "--standalone brings its own etcd"),
        ((THERE, "--rdzv-cert=ca-host.pem"), "TLS to etcd expects --rdzv-ca, got none"),
        ((THERE, "--rdzv-ca=ca.pem --rdzv-key=ca-host.key"), "--rdzv-cert and --rdzv-key together"),
        ((THERE, "--rdzv-ca=password"), "--rdzv-ca expects certificates of a CA, got .*/password'"),
        ((THERE, "--rdzv-user=me"), "--rdzv-user expects --rdzv-password-file"),
        ((THERE, "--rdzv-password-file=password"), "--rdzv-user expects --rdzv-password-file"),
        ((THERE, USER), "--rdzv-user expects --rdzv-ca, got none; a password does not"),
        ((THERE, ETCD, USER, "--rdzv-password-file=no"), "expects a password, got 'no': No such"),
        ((THERE, ETCD, USER, "--rdzv-password-file=empty"), "expects a password, got none in"),
        ((THERE, "--rdzv-conf=ca=x"), "--rdzv-conf is not a flag .* --rdzv-ca"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(flags, words):
    """P3: before anything is started."""
    with pytest.raises(ConfigError, match=words) as caught:
        settings(*flags)
    assert "\n" not in str(caught.value)
