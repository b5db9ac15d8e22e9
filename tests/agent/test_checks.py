"""What the command line asks of a host; its complaints are in test_cli.py, a line each."""

from __future__ import annotations

import os

import pytest

from elastic.agent import checks


def test_usable_cores_are_those_of_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    quota = tmp_path / "cpu.max"
    assert checks.usable_cores(quota) == 8
    for text, cores in (("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("", 8)):
        quota.write_text(text)
        assert checks.usable_cores(quota) == cores


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_needs_no_token(host):
    """PROTOCOL P3."""
    assert checks.this_host(host, "") == host


def test_an_endpoint_may_be_an_ipv6_address():
    assert checks.endpoints("[::1]:23, [fd00::2]") == ("[::1]:23", "[fd00::2]:2379")
