"""Fixtures of the rendezvous tests: a real etcd, shared or one's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.etcd import EtcdServer, etcd_server


@pytest.fixture(scope="session")
def shared_etcd() -> Iterator[EtcdServer]:
    """An etcd for all tests that only read and write; each keeps to its own keys."""
    with etcd_server() as server:
        yield server


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    """An etcd of this test's own, to be frozen, killed and wiped."""
    with etcd_server() as server:
        yield server
