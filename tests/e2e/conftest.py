"""Fixtures of the end-to-end tests: jobs of real processes, and the bits they must end with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import Jobs
from tests.etcd import EtcdServer, etcd_server

os.environ.setdefault("ELASTIC_TEST", str(os.getpid()))
"""Marks all processes of this run, so that what is left behind is told from other people's."""


Undisturbed = Callable[..., dict[str, Any]]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Start agents; whatever they leave behind fails the test."""
    jobs = Jobs(tmp_path)
    yield jobs
    jobs.close()


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    """An etcd of this test's own."""
    with etcd_server() as server:
        yield server


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return the report of an undisturbed run on one worker, for some arguments of a script."""
    reports: dict[tuple[str, ...], dict[str, Any]] = {}

    def report(*args: str, script: str = "train_all.py") -> dict[str, Any]:
        if (script, *args) not in reports:
            jobs = Jobs(tmp_path_factory.mktemp("undisturbed"))
            agent = jobs.start("--nproc-per-node=1", script=script, args=args)
            assert agent.wait() == 0, agent.output
            reports[script, *args] = agent.report
            jobs.close()
        return reports[script, *args]

    return report
