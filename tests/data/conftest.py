"""What tests of loaders share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked here, as in a process of their own: another test may have loaded gRPC."""
    monkeypatch.delitem(sys.modules, "grpc", raising=False)
