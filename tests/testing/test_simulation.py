"""The simulation itself: it repeats, it says what it saw, and it notices a broken promise."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from elastic.testing import (
    Failed,
    Fault,
    Scenario,
    Shape,
    Simulation,
    ToyJob,
    cluster,
    draw_scenario,
    judge,
    simulation,
    worker,
)
from elastic.testing.faults import KINDS, LASTING
from elastic.training.agreement import Flags


def trace(seed: int) -> list[str]:
    run = Simulation(draw_scenario(seed))
    run.run()
    return run.around.trace


def test_the_same_seed_gives_the_same_trace():
    assert trace(9) == trace(9)
    assert trace(9) != trace(10)


def test_the_same_seed_gives_the_same_trace_in_another_process():
    """No order of a set or of a hash may reach a command."""
    code = f"import sys; sys.path.insert(0, {os.getcwd()!r})\n"
    code += "from elastic.testing.simulation import simulate\n"
    code += "print(hash('x')); print('\\n'.join(simulate(9).around.trace))"
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    hashed, *lines = done.stdout.splitlines()
    assert int(hashed) != hash("x")
    assert lines == trace(9)


def test_a_broken_promise_is_told_with_seed_trace_and_stories(monkeypatch):
    monkeypatch.setattr(worker, "combine", lambda flags: Flags(stop=True))
    with pytest.raises(Failed, match=r"(?s)^seed 9: Unjust.*the job ends with.*record +\d+ done"):
        trace(9)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (lambda self, state, step, leaf: f"{id(self)} {leaf}", "the job ends with"),
        (lambda self, state, step, leaf: os.urandom(4).hex(), "the job ends with|two results"),
    ],
)
def test_other_bits_are_noticed(monkeypatch, broken, text):
    scenario = draw_scenario(9)
    expected = scenario.job.undisturbed()
    monkeypatch.setattr(ToyJob, "gradient", broken)
    monkeypatch.setattr(ToyJob, "undisturbed", lambda self: expected)
    with pytest.raises(Failed, match=text):
        Simulation(scenario).run()


def test_a_stuck_worker_is_noticed(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_S", 20.0)
    monkeypatch.setattr(worker.SimulatedWorker, "_do_sync", lambda self, command: None)
    with pytest.raises(Failed, match="somebody is still stuck"):
        Simulation(Scenario(1, ToyJob(1), Shape())).run()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_strikes(kind):
    faults = (Fault(1.2, kind, 1, seconds=6.0 if kind in LASTING else 0.0),)
    job = Scenario(3, ToyJob(3, steps=60), Shape(hosts=3), faults)
    quiet, run = Simulation(replace(job, faults=())), Simulation(job)
    quiet.run()
    assert isinstance(run.run(), judge.Judge)
    assert run.around.judge.struck == 1
    lines = [line for line in run.around.trace if " fault " not in line]
    assert lines != quiet.around.trace


def test_main_runs_seeds_and_prints_a_summary(capsys):
    assert simulation.main(["--seeds", "9:11"]) == 0
    assert "2 jobs, " in capsys.readouterr().out


def test_main_prints_the_first_failure_whole_and_keeps_all(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "PATIENCE_S", 5.0)
    monkeypatch.setattr(worker.SimulatedWorker, "_do_sync", lambda self, command: None)
    file = tmp_path / "kept.jsonl"
    assert simulation.main(["--seeds", "9:11", "--jobs", "1", "--keep", str(file)]) == 1
    out = capsys.readouterr().out
    assert "seed 9: " in out
    assert "failed: [9, 10]" in out
    assert list(simulation.kept(file).values()) == [draw_scenario(9), draw_scenario(10)]
    monkeypatch.undo()
    assert simulation.main(["--kept", str(file)]) == 0


def test_processes_share_the_seeds(capsys):
    assert simulation.main(["--seeds", "0:12", "--jobs", "2"]) == 0
    assert "12 jobs, " in capsys.readouterr().out


def test_main_says_how_seeds_are_written(capsys):
    with pytest.raises(SystemExit):
        simulation.main(["--seeds", "a:b"])
    assert "first:stop" in capsys.readouterr().err
