"""The lines that a person sees."""

from __future__ import annotations

from elastic.agent.progress import Progress, recovery_line
from elastic.control import Committed
from elastic.telemetry.recovery import Recovery


def lines(messages, world_size=4, **how):
    progress = Progress(**how)
    said = [progress.line(message, world_size) for message in messages]
    return [line for line in said if line is not None]


def test_steps_are_a_line_every_few_seconds():
    steps = [Committed(n, t=100 + n / 2, metrics={"loss": 1 / n}) for n in range(1, 25)]
    assert lines(steps, every_s=5) == [
        "step 1, loss 1, 4 workers",
        "step 11, loss 0.09091, 4 workers, 2.0 steps/s",
        "step 21, loss 0.04762, 4 workers, 2.0 steps/s",
    ]


def test_the_workers_of_a_host_are_one_voice():
    assert lines([Committed(1, t=0.0), Committed(1, t=9.0)]) == ["step 1, 4 workers"]


def test_a_worker_that_lags_takes_nothing_back():
    messages = [Committed(8, t=0.0), Committed(7, t=9.0), Committed(9, t=9.5)]
    assert lines(messages)[1:] == ["step 9, 4 workers, 0.1 steps/s"]


def test_metrics_of_any_value_and_a_world_of_one():
    message = Committed(2, t=9.0, metrics={"loss": float("nan"), "accuracy": 0.5})
    assert lines([message], world_size=1) == ["step 2, loss nan, accuracy 0.5, 1 worker"]


def test_two_steps_at_one_time_are_no_division_by_zero():
    messages = [Committed(1, t=0.0), Committed(2, t=0.0)]
    assert len(lines(messages)) == 1


def test_a_recovery_is_a_line_with_its_phases():
    recovery = Recovery(5, "m2 was killed by SIGKILL", ("m2",), 0.012, 0.055, 0.04, 0.103, 0.21)
    assert recovery_line(recovery) == (
        "recovered at step 5 in 210 ms (detect 12 ms, rendezvous 55 ms, sync 40 ms, "
        "first step 103 ms): m2 was killed by SIGKILL"
    )
