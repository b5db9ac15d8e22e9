"""What users may do, under SIGKILL at its interesting points: the bits of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic.audit import verify
from tests.e2e.conftest import Undisturbed
from tests.e2e.job import Jobs
from tests.e2e.test_same_bits import ended_well
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e


def test_killed_between_phases(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """U1, U2: one dies in the second phase, one in its update; the first is not done again."""
    places = ["maker:3:1", "update-makers:7:0"]
    die = [f"{place}:{tmp_path}/died{i}" for i, place in enumerate(places)]
    agent = jobs.start("--nproc-per-node=3", script="train_phases.py", args=tuple(die))
    ended_well(agent, undisturbed(script="train_phases.py"))
    assert len(agent.report["recoveries"]) == len(places)
    phases = [line["phase"] for line in agent.audit if "step" in line]
    assert phases.count([0, 2]) >= agent.report["steps"] == 20


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


def test_mixed_machines_are_refused_or_told(etcd: EtcdServer, jobs: Jobs, tmp_path: Path) -> None:
    """B6: another processor gives other bits; who allows that is told so by the report."""
    args, hold = ("--epochs=4", f"--hold=6:{tmp_path}/go"), "--allow-mixed"
    first = jobs.start("--nproc-per-node=1", hold, args=args, store=etcd.endpoint)
    first.wait_for_step(5)
    other = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}
    refused = jobs.start("--nproc-per-node=1", args=args, store=etcd.endpoint, env=other)
    second = jobs.start("--nproc-per-node=1", hold, args=args, store=etcd.endpoint, env=other)
    for agent in (refused, second):
        agent.wait_for(lambda e: e["event"] == "ready", "a newcomer")
    (tmp_path / "go").touch()
    assert refused.wait() == 1
    assert "this worker has mixed machines 'refused'" in refused.output
    for agent in (first, second):
        assert agent.wait() == 0, agent.output
        assert agent.report["bits"] == "not promised"
        assert agent.report["digest"] == first.report["digest"]
    assert "bits not promised (--allow-mixed)" in first.output


@pytest.mark.parametrize("kind", ["replayed", "saving"])
def test_killed_on_a_stream(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path, kind: str
) -> None:
    """D1, D2: in a leaf and between steps; newcomers open the stream where State says."""
    places = ["train_step:5:1", "on_step:8:0"]
    die = [f"{place}:{tmp_path}/died{i}" for i, place in enumerate(places)]
    agent = jobs.start("--nproc-per-node=3", script="train_stream.py", args=(kind, *die))
    ended_well(agent, undisturbed(kind, script="train_stream.py"))
    report = verify(agent.folder / "audit")
    assert (report.epochs, report.samples) == (3, 900)
