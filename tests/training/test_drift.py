"""Replicas that drift apart: found in the step in which they are compared, and named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.errors import DriftError
from elastic.training import commands as do
from elastic.training import events as ev
from elastic.training.agreement import Drift, Flags
from elastic.training.drift import checksums, find_drift
from elastic.training.standing import Phase
from tests.training.crew import Crew, job
from tests.training.helpers import all_but, all_ended_as, digests, first_in
from tests.training.test_core import JOB, play, reducing


def flip(tensor, bit=3, at=0):
    """Flip one bit in a tensor's memory, as a fault would: no version, no lock sees it."""
    raw = tensor.detach()._array.reshape(-1).view(np.uint8)
    raw[at] ^= 1 << bit


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 5, 64])
def test_any_flipped_bit_changes_the_checksum(dtype, size):
    """B8: whatever the type, and in a tail of less than 8 bytes too."""
    parameter = torch.randn(size).to(dtype)
    before = checksums({"p": parameter})
    for at in (0, parameter.numel() * parameter.element_size() - 1):
        for bit in range(8):
            flip(parameter, bit, at)
            assert checksums({"p": parameter}) != before
            flip(parameter, bit, at)
    assert checksums({"p": parameter}) == before


def test_the_order_in_memory_does_not_matter():
    """B5: what counts are the values; an empty parameter is one too."""
    flat = torch.arange(6.0).reshape(2, 3)
    assert checksums({"p": flat.T.contiguous().T}) == checksums({"p": flat})
    assert checksums({"p": torch.empty(0)}) == checksums({"p": torch.zeros(1)})


def told(*values):
    return [checksums({"a": torch.ones(1), "b": torch.tensor([v])}) for v in values]


def test_the_majority_is_right():
    """B8: and the first parameter that differs is named."""
    assert find_drift(told(1.0, 1.0, 1.0), ["a", "b"]) is None
    assert find_drift(["", ""], ["a", "b"]) is None
    assert find_drift(told(1.0, 2.0, 1.0), ["a", "b"]) == Drift((1,), "b", True)
    assert find_drift(told(1.0, 2.0), ["a", "b"]) == Drift((1,), "b", False)
    assert find_drift(told(1.0, 1.0, 2.0, 3.0), ["a", "b"]) == Drift((2, 3), "b", False)


# -- the core ------------------------------------------------------------------------------------

HEALS = replace(JOB, drift_heals=True)


@pytest.mark.parametrize("job", [JOB, HEALS], ids=["error", "heal"])
@pytest.mark.parametrize("drift", [Drift((1,), "b", True), Drift((1,), "b", False)], ids=str)
def test_a_step_of_drifted_replicas_is_not_applied(job, drift):
    """B7: without a majority, or without leave to heal, nobody goes on."""
    s, commands = play(reducing(job), ev.Reduced(Flags(drift=drift)), job=job)
    if job is HEALS and drift.has_majority:
        assert (s.phase, commands) == (Phase.WAITING, (do.Await(),))
        assert s.held, "what the majority has computed is kept"
    else:
        assert (s.phase, commands) == (Phase.OVER, (do.GiveUp(4, drift, False),))
    assert s.applied == 3


def test_the_minority_goes_to_be_healed():
    """B7."""
    drift = Drift((0,), "b", True)
    s, commands = play(reducing(HEALS), ev.Reduced(Flags(drift=drift)), job=HEALS)
    assert (s.phase, commands) == (Phase.OVER, (do.GiveUp(4, drift, True),))


# -- loops ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone():
    (worker,) = Crew().train(job())
    return digests(worker)


def test_a_flipped_bit_is_an_error_that_names_it(crew):
    """B7: rank, address and parameter, on all."""
    crew.start(*[job() for _ in range(3)])
    doomed = first_in(crew, Phase.REDUCING, 2)
    flip(doomed.state.model[0].weight)
    crew.go_on()
    # its header was made before: the next step finds it
    rank = doomed.standing.rank
    for worker in crew.workers:
        assert isinstance(worker.actor.error, DriftError)
        text = str(worker.actor.error)
        assert f"rank {rank} ({doomed.address}, {doomed.id}) differs from the others" in text
        assert "before step 4, got another 'model.0.weight'" in text
        assert worker.actor.error.elastic_place == "comparison of step 4"


def test_of_two_nobody_knows_who_is_right(crew):
    """B7: no majority, no healing."""
    crew.start(*[job(on_drift="heal") for _ in range(2)])
    flip(first_in(crew, Phase.REDUCING, 2).state.model[0].weight)
    crew.go_on()
    for worker in crew.workers:
        with pytest.raises(DriftError, match="neither side is a majority"):
            _ = worker.result


def test_the_majority_heals(crew, alone):
    """B7, S6: compared in each step, a fault leaves no trace: its leaves are computed again."""
    workers = crew.start(*[job(on_drift="heal", train_step=usual()) for _ in range(3)])
    doomed = workers[1]
    usual_reduce = doomed.loop.context.steps.reduce

    def reduce(group, step, lineage, flags):
        if step == 2:
            flip(doomed.state.model[0].weight)  # when its leaves are computed
        return usual_reduce(group, step, lineage, flags)

    doomed.loop.context.steps.reduce = reduce
    crew.go_on()
    assert isinstance(doomed.actor.error, SystemExit)
    assert doomed.actor.error.code == 1
    assert doomed.events("drift")[0]["parameter"] == "model.0.weight"
    all_ended_as(alone, all_but(doomed))


def usual():
    return job().pairs[0].train_step


def test_it_is_looked_for_as_often_as_asked(crew):
    """B7: the default costs nothing in the steps between."""
    options = job(drift_every=3)
    options.loader.begin()
    workers = crew.start(options, job(drift_every=3))
    steps = workers[0].loop.context.steps
    due = [n for n in range(1, 11) if steps._checksums(n, members=2)]
    assert due == [1, 4, 7, 10]
    assert not any(steps._checksums(n, members=1) for n in range(1, 11))
