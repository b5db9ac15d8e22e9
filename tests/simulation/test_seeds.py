"""Whole jobs in virtual time under faults drawn from seeds: every promise, every invariant.

`Failed` holds the seed, the trace and the stories. The scenario of a seed that failed is kept in
`kept.jsonl` (`python -m elastic.testing.simulation --keep FILE`) with what it had found: these are
run first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic.testing import Fault, Scenario, Shape, Simulation, ToyJob, draw_scenario
from elastic.testing.simulation import kept

KEPT = kept(Path(__file__).with_name("kept.jsonl"))
QUICK = range(40)
MANY = range(40, 540)


@pytest.mark.parametrize("scenario", KEPT.values(), ids=KEPT)
def test_what_once_failed_holds(scenario):
    Simulation(scenario).run()


@pytest.mark.parametrize("seed", QUICK)
def test_the_job_ends_as_if_nothing_had_happened(seed):
    Simulation(draw_scenario(seed)).run()


@pytest.mark.simulation
@pytest.mark.parametrize("first", range(MANY.start, MANY.stop, 50))
def test_many_seeds(first):
    for seed in range(first, first + 50):
        Simulation(draw_scenario(seed)).run()


def run(faults: tuple[Fault, ...] = (), shape: Shape = Shape(hosts=3), **job: int) -> Simulation:  # noqa: B008
    simulation = Simulation(Scenario(7, ToyJob(7, **job), shape, faults))
    simulation.run()
    return simulation


@pytest.mark.parametrize("workers", [1, 3, 4, 9])
def test_any_number_of_workers_ends_with_the_same_digest(workers):
    """Promise 2; PROTOCOL S5. Nine workers have eight leaves: one holds warm state (S6)."""
    judge = run(shape=Shape(hosts=workers, min_workers=workers)).around.judge
    assert judge.record.result["digest"] == ToyJob(7).undisturbed()
    assert (judge.recomputed, judge.aborted) == (0, 0)


def test_planned_changes_abort_nothing():
    """PROTOCOL S4: joins and leaves take effect after a step that all members finish."""
    faults = tuple(Fault(0.8 + 0.5 * i, kind) for i, kind in enumerate(["join", "leave"] * 3))
    judge = run(faults, steps=40).around.judge
    assert judge.record.generation > 4
    assert (judge.recomputed, judge.aborted) == (0, 0)


def test_after_a_loss_only_missing_leaves_are_computed_again():
    """PROTOCOL S6, promise 1: the survivors finish the step in flight."""
    judge = run((Fault(1.0, "kill worker", 1),), Shape(hosts=4, min_workers=4), leaves=8)
    assert judge.around.judge.aborted > 0
    assert judge.around.judge.recomputed <= 2


def test_everybody_lost_goes_on_from_the_checkpoint():
    """PROTOCOL C, M9: newcomers take over after the old keys are gone for 20 s."""
    simulation = run((Fault(1.2, "crash all"),), steps=20, checkpoint_every=1)
    restarted = [line for line in simulation.around.trace if "level at step" in line]
    first_after = next(line for line in restarted if float(line.split()[0]) > 1.2)
    assert "level at step 0" not in first_after
    assert float(first_after.split()[0]) > 20
