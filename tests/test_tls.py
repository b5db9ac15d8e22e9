"""Certificates: what is wrong with them is said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic.errors import ConfigError
from elastic.tls import TLSFiles
from tests.certificates import Authority, openssl


@pytest.fixture(scope="module")
def ca(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def mine(ca) -> tuple[Path, Path]:
    return ca.issue("mine")


def files(ca, pair=("", ""), **more) -> TLSFiles:
    return TLSFiles(str(getattr(ca, "ca", ca)), *map(str, pair), **more)


def test_good_files_are_good(ca, mine, other):
    """P3"""
    files(ca, mine).check("127.0.0.1")
    files(ca, ca.issue("named", "DNS:*.job.pods")).check("a.job.pods")
    files(ca).check()
    files(other, mine).check()  # etcd may trust another CA than the one that signed for it
    assert files(ca).pem() == (ca.ca.read_bytes(), None, None)
    assert files(ca, mine).pem()[1:] == tuple(path.read_bytes() for path in mine)


def test_the_digest_of_what_is_trusted(ca, other, tmp_path):
    """P3: by the certificates, not by the text around them or their order."""
    both = [tmp_path / "ab", tmp_path / "ba"]
    both[0].write_bytes(b"# two\n" + ca.ca.read_bytes() + other.ca.read_bytes())
    both[1].write_bytes(other.ca.read_bytes() + ca.ca.read_bytes())
    assert files(both[0]).ca_digest() == files(both[1]).ca_digest() != files(ca).ca_digest()


def bad(ca, other, mine, folder):
    """What is wrong: files, the host, and the words that say so."""
    noise = folder / "noise"
    noise.write_bytes(b"\x00\xff")
    locked = folder / "locked"
    openssl("ec", "-in", mine[1], "-aes128", "-passout", "pass:abcd", "-out", locked)
    expired = Authority(folder, "expired", days=-1)
    return {
        "no CA": (folder / "no", mine, "--tls-ca expects .*/no': No such file"),
        "noise for a CA": (noise, mine, "--tls-ca expects .*/noise': no certificate"),
        "a key for a CA": (mine[1], mine, "--tls-ca expects .* no certificate"),
        "an expired CA": (expired, mine, "--tls-ca expects .* one has expired on .*; renew it"),
        "no certificate": (
            ca,
            ("no.pem", mine[1]),
            "--tls-cert expects a certificate, got 'no.pem'",
        ),
        "no key": (ca, (mine[0], "no.key"), "--tls-key expects its private key, got 'no.key': No"),
        "noise": (ca, (noise, mine[1]), "--tls-cert expects .*/noise': with the key"),
        "a locked key": (ca, (mine[0], locked), "--tls-cert expects .* without a password"),
        "another's key": (
            ca,
            (mine[0], other.issue("x")[1]),
            "--tls-key expects .* it is not that",
        ),
        "expired": (ca, ca.issue("old", days=-1), "--tls-cert expects .* certificate has expired"),
        "another CA's": (
            ca,
            other.issue("mine"),
            "--tls-cert expects .* unable to get local issuer",
        ),
        "of another host": (
            ca,
            ca.issue("far", "IP:10.9.9.9"),
            "--tls-cert .* mismatch.*127.0.0.1",
        ),
    }


def test_bad_files_are_named_with_what_is_wrong(ca, other, mine, tmp_path):
    """P3: one line each."""
    for what, (trusted, pair, words) in bad(ca, other, mine, tmp_path).items():
        with pytest.raises(ConfigError, match=words) as caught:
            files(trusted, pair).check("127.0.0.1")
        assert "\n" not in str(caught.value), what


def test_a_caller_s_certificate_must_not_have_expired(ca):
    """P3: etcd would say no more than that the handshake failed."""
    with pytest.raises(ConfigError, match=r"--rdzv-cert expects .* has expired; renew it"):
        files(ca, ca.issue("old", days=-1), flags="--rdzv").check()
