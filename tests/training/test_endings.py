"""How a job ends for a worker: level, too late, failed, or with other bits than it should."""

from __future__ import annotations

import re

import elastic.tensor as torch
from elastic import control
from elastic.errors import ProtocolError
from elastic.training.standing import Phase
from tests.training.crew import job
from tests.training.helpers import STEPS, first_in


def test_a_late_comer_to_a_done_job_is_told(crew, capfd):
    """M10: steps and digest; it exits 0."""
    (first,) = crew.train(job())
    late = crew.add(job())
    crew.go_on()
    assert isinstance(late.actor.error, SystemExit)
    assert late.actor.error.code == 0
    said = capfd.readouterr().err
    assert f"the job is done: {STEPS} steps, digest {first.result.digest}; --fresh" in said


def test_a_job_that_failed_ends_its_workers(crew, capfd):
    """M10: with the first line of the cause."""
    workers = crew.start(job(), job())
    first_in(crew, Phase.REDUCING, 1)
    for worker in workers:
        worker.link.tell(control.JobFailed("failed twice at sync:\nTraceback"))
    crew.go_on()
    assert [worker.actor.error.code for worker in workers] == [1, 1]
    assert "the job has failed: failed twice at sync:\n" in capfd.readouterr().err


def test_bits_that_drifted_apart_are_an_error(crew):
    """S2: arrays are hashed and compared at the end."""

    def drift(state, metrics):
        if state.step == STEPS:
            with torch.no_grad():
                state.model[0].weight[0, 0] += 1

    workers = crew.train(job(), job(on_step=drift))
    errors = [str(w.actor.error) for w in workers if isinstance(w.actor.error, ProtocolError)]
    assert errors
    assert re.search(
        r"rank \d ends with digest sha256:\w+, rank \d with .* drifted apart", errors[0]
    )


def test_other_bits_than_the_record_are_an_error(crew):
    """M10: who has the steps but not the digest of the job must not pass for done."""
    (worker,) = crew.start(job())
    heard, worker.link.send = worker.link.send, lambda message: finished(message) or heard(message)

    def finished(message):
        return isinstance(message, control.Finished)

    crew.go_on()
    worker.link.tell(control.JobDone({"steps": STEPS, "digest": "sha256:other"}))
    crew.go_on()
    assert "the job ended with digest sha256:other, this worker has" in str(worker.actor.error)
