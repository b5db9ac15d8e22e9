"""Coming level: whose State it is, who is refused, which machines promise equal bits."""

from __future__ import annotations

import elastic.tensor as torch
from elastic.errors import RefusedError
from elastic.training.standing import Phase
from tests.training.crew import job, make_state
from tests.training.helpers import all_but, all_ended_as, digests, first_in


def test_more_members_than_leaves_is_said_once(crew, alone, capfd):
    """S6: the rest keep State warm."""
    all_ended_as(alone, crew.train(*[job() for _ in range(5)]))
    said = capfd.readouterr().err
    assert said.count("5 workers share 4 micro-batches a step: 1 compute nothing") == 1
    assert "raise micro_batches=" in said


def test_a_process_begins_with_the_first_ones_state(crew):
    """S2: initial weights are those of the first in order, whatever the others drew."""
    other = make_state(history=[])
    with torch.no_grad():
        other.model[0].weight.mul_(2)
    first, second = crew.train(job(), job(other))
    if second.standing.rank == 0:  # whoever was ready first
        first, second = second, first
    assert digests(first) == digests(second)


def test_who_is_one_step_behind_gets_the_result(crew, alone, apart):
    """S3: it runs `update` on the reduced gradient of a member that is ahead."""
    ahead, behind, doomed = apart
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, [ahead, behind])


def test_a_step_that_died_with_all_who_applied_it_is_done_again(crew, alone, apart):
    """S3: no vote is needed, the bits are the same."""
    ahead, behind, doomed = apart
    ahead.actor.killed = True
    crew.kill(doomed)
    crew.kill(ahead)
    crew.go_on()
    all_ended_as(alone, [behind])


def test_who_is_behind_gets_state_if_no_result_is_left(crew, alone, apart):
    """S3, S9: who had it died after giving State to a newcomer, which has nothing but that."""
    ahead, behind, doomed = apart
    newcomer = crew.add(job())
    crew.go_on()
    doomed.actor.killed = True
    ahead.group.trap = lambda tag: ahead.group.cut_off.add(behind.address)
    crew.form([ahead, behind, newcomer], lost=(doomed.id,))
    ahead.group.trap = lambda tag: tag == "move" and ahead.group.cut_off.add(behind.address)
    crew.go_on()
    assert newcomer.standing.applied == 2
    assert behind.standing.applied == 1
    crew.kill(ahead)
    crew.go_on()
    all_ended_as(alone, [behind, newcomer])


def test_no_job_begins_with_the_state_of_another(crew, capsys):
    """M6, S7: if nobody inside has State, what is outside must not pass for that of step 0.

    Each such worker goes, and tells of no failure: it was none of the script's.
    """
    workers = crew.start(job(), job())
    first_in(crew, Phase.REDUCING, 1)
    for worker in workers:
        crew.evict(worker)
    crew.form(workers)
    crew.go_on()
    assert isinstance(workers[0].actor.error, SystemExit)
    assert workers[0].actor.error.code == 1
    assert "this worker's is of step 1: its agent starts it again" in capsys.readouterr().err


def test_who_would_compute_other_bits_is_refused(crew, alone):
    """B6: with both sides named; the others go on without it."""
    workers = crew.start(job(), job())
    first_in(crew, Phase.REDUCING, 1)
    stranger = crew.add(job(), BLAS="another")
    crew.go_on()
    assert isinstance(stranger.actor.error, RefusedError)
    assert "this worker has BLAS 'another', the group (member " in str(stranger.actor.error)
    assert "has None: other bits would result" in str(stranger.actor.error)
    assert stranger.group.closed
    all_ended_as(alone, workers)


def test_another_arithmetic_is_refused_with_the_cure(crew):
    """B6."""
    first = crew.add(job(), arithmetic="a")
    crew._expected = 2
    second = crew.add(job(), arithmetic="b")
    crew.go_on()
    refused = [w for w in (first, second) if isinstance(w.actor.error, RefusedError)]
    assert len(refused) == 1
    text = str(refused[0].actor.error)
    assert "this worker has arithmetic " in text
    assert text.endswith("make them equal, or start all agents with --allow-mixed")


def test_mixed_machines_train_and_promise_no_bits(crew, alone, capfd):
    """B6: the result says so, and so does whoever comes later."""
    crew.mixed, crew._expected = True, 2
    for name in "ab":
        crew.add(job(), arithmetic=name)
    doomed = first_in(crew, Phase.REDUCING, 2)
    crew.kill(doomed)
    late = crew.add(job(), arithmetic=_arithmetic_of(all_but(doomed)[0]))
    crew.go_on()
    assert late.result.world.size == 2
    for worker in all_but(doomed):
        assert not worker.result.bits_promised
        assert worker.result.digest == alone[1], "of machines that are alike after all"
    assert capfd.readouterr().err.count("bits not promised (--allow-mixed)") == 1


def _arithmetic_of(worker):
    return worker.loop.context.machine["arithmetic"]


def test_the_job_of_mixed_machines_ends_with_the_bits_of_its_first(crew):
    """B6: replicas may differ, and no drift is told."""
    crew.mixed, crew._expected = True, 2
    workers = [crew.add(job(), arithmetic=name) for name in "ab"]
    other = first_in(crew, Phase.REDUCING, 2)
    with torch.no_grad():
        other.state.model[0].weight.mul_(1.5)
    crew.go_on()
    first = next(w for w in workers if w.standing.rank == 0)
    assert {w.result.digest for w in workers} == {first.state.digest()}


def test_alike_machines_promise_bits_though_mixed_ones_are_allowed(crew, alone):
    """B6."""
    crew.mixed, crew._expected = True, 2
    workers = [crew.add(job(), arithmetic="a") for _ in range(2)]
    crew.go_on()
    all_ended_as(alone, workers)
    assert all(worker.result.bits_promised for worker in workers)
