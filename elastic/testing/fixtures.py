"""A pytest fixture for users' own training scripts. In a test file or in `conftest.py`:

from elastic.testing.fixtures import chaos_job  # noqa: F401

def test_my_script_survives(chaos_job):
    chaos_job("train.py", "--epochs=3", chaos="7,kill=0.05,stop=0.02", workers=4)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from elastic.testing.jobs import Survival, assert_survives

__all__ = ["chaos_job"]


@pytest.fixture
def chaos_job(tmp_path: Path) -> Callable[..., Survival]:
    """Return `assert_survives` with a folder of this test's own."""
    return partial(assert_survives, folder=tmp_path)
