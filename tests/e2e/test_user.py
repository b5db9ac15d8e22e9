"""What users may do, under SIGKILL at its interesting points: the bits of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Undisturbed
from tests.e2e.job import Jobs
from tests.e2e.test_same_bits import ended_well

pytestmark = pytest.mark.e2e


def test_killed_between_phases(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """U1, U2: one dies in the second phase, one in its update; the first is not done again."""
    places = ["maker:3:1", "update-makers:7:0"]
    die = [f"{place}:{tmp_path}/died{i}" for i, place in enumerate(places)]
    agent = jobs.start("--nproc-per-node=3", script="train_phases.py", args=tuple(die))
    ended_well(agent, undisturbed(script="train_phases.py"))
    assert len(agent.report["recoveries"]) == len(places)
    phases = [line["phase"] for line in agent.audit if "step" in line]
    assert phases.count([0, 2]) >= agent.report["steps"] == 30
