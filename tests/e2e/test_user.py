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


def test_a_flipped_bit_is_healed(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """B7: the worker whose memory has erred goes, its leaves of that step with it."""
    flip = f"flip:9:1:{tmp_path}/flipped"
    heal = {"ON_DRIFT": "heal"}
    agent = jobs.start("--nproc-per-node=3", script="train_phases.py", args=(flip,), env=heal)
    ended_well(agent, undisturbed(script="train_phases.py"))
    assert "rank 1 (127.0.0.1:" in agent.output
    assert "another 'critic.1.weight'" in agent.output
    assert agent.all("drift")[0]["ranks"] == [1]


def test_a_flipped_bit_stops_the_job(jobs: Jobs, tmp_path: Path) -> None:
    """B7: of two, nobody knows who is right; also where it was asked to heal."""
    flip, heal = f"flip:9:1:{tmp_path}/flipped", {"ON_DRIFT": "heal"}
    agent = jobs.start("--nproc-per-node=2", script="train_phases.py", args=(flip,), env=heal)
    assert agent.wait() == 1, agent.output
    assert "before step 9 phase 0, got another 'critic.1.weight': rank" in agent.output
    assert "neither side is a majority" in agent.output
