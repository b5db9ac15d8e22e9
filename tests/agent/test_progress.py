"""The lines that a person sees."""

from __future__ import annotations

import pytest

from elastic.agent.progress import Progress
from elastic.control import Committed, Group
from elastic.telemetry.recovery import Recovery
from elastic.world import Member

RECOVERY = Recovery(5, "m2 was killed by SIGKILL", ("m2",), 0.012, 0.055, 0.04, 0.103, 0.21)


@pytest.fixture
def said():
    return []


@pytest.fixture
def progress(said):
    return Progress(said.append, every_s=5)


def group(size, **more):
    return Group(2, tuple(Member(f"m{n}") for n in range(size)), "m9 is gone", **more)


def test_a_generation_is_a_line(progress, said):
    progress.grouped(group(3))
    progress.grouped(group(1, paused=True))
    assert said == [
        "generation 2: 3 workers (m9 is gone)",
        "generation 2: 1 worker (m9 is gone); paused: fewer than the minimum",
    ]


def test_steps_are_a_line_every_few_seconds(progress, said):
    progress.grouped(group(4))
    said.clear()
    for step in range(1, 25):
        progress.committed(Committed(step, t=100 + step / 2, metrics={"loss": 1 / step}))
    assert said == [
        "step 1  loss 1  4 workers",
        "step 11  loss 0.09091  4 workers  2.0 steps/s",
        "step 21  loss 0.04762  4 workers  2.0 steps/s",
    ]


def test_the_workers_of_a_host_are_one_voice(progress, said):
    progress.committed(Committed(1, t=0.0))
    progress.committed(Committed(1, t=9.0))
    progress.recovered(RECOVERY)
    progress.recovered(RECOVERY)
    assert len(said) == 2


def test_a_step_without_a_loss_and_a_loss_that_is_nan(progress, said):
    progress.committed(Committed(1, t=0.0))
    progress.committed(Committed(2, t=9.0, metrics={"loss": float("nan")}))
    assert said[0] == "step 1  0 workers"
    assert "loss nan" in said[1]


def test_a_recovery_is_a_line_with_its_phases(progress, said):
    progress.recovered(RECOVERY)
    assert said == [
        "recovered at step 5 in 210 ms (detect 12 ms, rendezvous 55 ms, sync 40 ms, "
        "first step 103 ms): m2 was killed by SIGKILL"
    ]
