"""Real loops over a fake network: whatever befalls them, they end with the bits of one alone."""

from __future__ import annotations

import re
from random import Random

import pytest

import elastic.tensor as torch
from elastic import control
from elastic.errors import NonFiniteError, ProtocolError, RefusedError
from elastic.training.core import Phase
from tests.training.crew import STEPS_PER_EPOCH, Crew, Killed, Worker, job, make_state

STEPS = 5


@pytest.fixture(scope="module")
def alone():
    """The digests of an undisturbed run of one worker."""
    crew = Crew()
    (worker,) = crew.train(job())
    return digests(worker)


def digests(worker: Worker) -> tuple[int, str, str]:
    return worker.result.steps, worker.result.digest, worker.result.state_digest


def all_ended_as(reference, workers: list[Worker]) -> None:
    for worker in workers:
        assert worker.actor.over, worker.loop.standing.story
        assert digests(worker) == reference


def where(worker: Worker) -> tuple[Phase, int]:
    return worker.loop.standing.phase, worker.loop.standing.applied


def first_in(crew: Crew, phase: Phase, applied: int) -> Worker:
    """Let all go on until one stands still in this phase, with so many steps applied; return it."""

    def there() -> list[Worker]:
        places = [(w.loop.standing.phase, w.loop.standing.applied) for w in crew.members]
        return [
            w for w, place in zip(crew.members, places, strict=True) if place == (phase, applied)
        ]

    crew.go_on(there)
    return there()[0]


def all_but(worker: Worker) -> list[Worker]:
    return [each for each in worker.crew.workers if each is not worker]


# -- any number ----------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [2, 3])
def test_any_number_of_members_ends_with_the_same_bits(crew, alone, members):
    """S5, B1, B2, B7: three do not divide the four leaves, nor the two of a last batch."""
    workers = crew.train(*[job() for _ in range(members)])
    all_ended_as(alone, workers)
    assert {worker.result.world.rank for worker in workers} == set(range(members))


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
    if second.loop.standing.rank == 0:  # whoever was ready first
        first, second = second, first
    assert digests(first) == digests(second)


# -- losses --------------------------------------------------------------------------------------


PLACES = [(Phase.MEETING, 0), (Phase.REDUCING, 2), (Phase.HOOKING, 3), (Phase.ENDING, STEPS)]


@pytest.mark.parametrize(("phase", "applied"), PLACES, ids=str)
def test_a_loss_changes_no_bits(crew, alone, phase, applied):
    """S1, S3, S6, S7: a member dies where it waits; survivors go on from there."""
    crew.start(job(), job(), job())
    doomed = first_in(crew, phase, applied)
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, all_but(doomed))


@pytest.mark.parametrize("place", ["train_step", "update", "on_step", "on_epoch"])
def test_a_death_in_user_code_changes_no_bits(crew, alone, place):
    """S3, S7: in a leaf, in the update, in a hook that others may have behind them."""
    workers = crew.train(job(), dying_in(place), job())
    assert isinstance(workers[1].actor.error, Killed)
    all_ended_as(alone, [workers[0], workers[2]])


def step_and_zero(state):
    state.optimizer.step()
    state.optimizer.zero_grad()


def dying_in(place):
    """The usual job, but for a death in the last step of the first epoch."""
    functions = {"train_step": job().pairs[0].train_step, "update": step_and_zero}
    function = functions.get(place) or getattr(job(), place)
    before_update = place in ("train_step", "update")

    def die(state, *rest):
        if state.step + before_update == STEPS_PER_EPOCH:
            raise Killed
        return function(state, *rest)

    return job(**{place: die})


def test_only_missing_leaves_are_computed_again(crew, alone):
    """S6: what is held is kept."""
    computed = []

    def traced(number):
        usual = job().pairs[0].train_step

        def train_step(state, batch):
            computed.append((number, state.step, batch[0].sum().item()))
            return usual(state, batch)

        return job(train_step=train_step)

    workers = crew.start(*[traced(number) for number in range(3)])
    doomed = first_in(crew, Phase.REDUCING, 1)
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, all_but(doomed))
    assert len(set(computed)) == len(computed), "a process computed a leaf twice"
    again = len(computed) - len({leaf[1:] for leaf in computed})
    lost = sum(leaf[:2] == (workers.index(doomed), 1) for leaf in computed)
    assert again == lost > 0


@pytest.fixture
def apart(crew):
    """One member has applied step 2, the other waits for what the third sent to the first only."""
    ahead, behind, doomed = crew.start(job(), job(), job())

    def stop_sending(tag):
        if tag == "step 2":
            doomed.group.cut_off.add(behind.address)

    doomed.group.trap = stop_sending
    crew.go_on()
    assert [w.loop.standing.applied for w in (ahead, behind, doomed)] == [2, 1, 2]
    return ahead, behind, doomed


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
    assert newcomer.loop.standing.applied == 2
    assert behind.loop.standing.applied == 1
    crew.kill(ahead)
    crew.go_on()
    all_ended_as(alone, [behind, newcomer])


def test_hooks_stay_done_if_the_plan_to_repeat_them_comes_to_nothing(crew, alone, apart):
    """S7: who is behind dies too, before it is level; nobody needs the hooks again."""
    ahead, behind, doomed = apart

    def lose_the_other(tag):
        if tag == "move":
            crew.kill(behind)

    ahead.group.trap = lose_the_other
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, [ahead])


def test_losses_in_a_row_are_one_recovery(crew):
    """Design, promise 8: told with its phases and all that were lost."""
    workers = crew.start(*[job() for _ in range(4)])
    first_in(crew, Phase.REDUCING, 2)
    lost = [worker.id for worker in workers[:2]]
    crew.kill(workers[0])
    crew.kill(workers[1])
    crew.go_on()
    for worker in workers[2:]:
        (told,) = worker.events("recovery")
        assert told["lost"] == lost
        assert told["step"] == 3
        phases = [told[f"{name}_s"] for name in ("detect", "rendezvous", "sync", "first_step")]
        assert sum(phases) == pytest.approx(told["total_s"])


# -- joining and leaving -------------------------------------------------------------------------


def test_newcomers_join_and_members_leave_between_steps(crew, alone):
    """S4, S9: both after a step that all finish; nothing is aborted."""
    stays, leaves = crew.start(job(), job())
    first_in(crew, Phase.REDUCING, 1)
    newcomer = crew.add(job())
    crew.leave(leaves)
    crew.go_on()
    all_ended_as(alone, [stays, newcomer])
    assert isinstance(leaves.actor.error, SystemExit)
    assert leaves.actor.error.code == 0
    assert leaves.events("leave")
    assert not any(worker.events("abort") for worker in crew.workers)
    assert crew.members == [stays, newcomer]


def test_who_was_taken_for_dead_returns_as_a_newcomer(crew, alone):
    """M6: it has a new id and takes the State of the others; its audit goes on after a gap."""
    workers = crew.start(job(), job(), job())
    evicted = first_in(crew, Phase.REDUCING, 1)
    before = evicted.id
    crew.evict(evicted)
    crew.go_on()
    all_ended_as(alone, workers)
    assert evicted.id != before
    assert [line["resume"] for line in evicted.lines if "resume" in line] == [2]


def test_what_was_computed_before_an_eviction_is_forgotten(crew, alone):
    """M6, S6: at the same step and lineage, others hold those leaves by now."""
    workers = crew.start(job(), job(), job())
    evicted = first_in(crew, Phase.REDUCING, 1)
    crew.evict(evicted)
    crew.form([*all_but(evicted), evicted])
    crew.go_on()
    all_ended_as(alone, workers)


def test_groups_of_an_earlier_admission_are_not_read(crew, alone):
    """M6: a slow worker finds groups for the member it was and for the one it is."""
    workers = crew.start(job(), job())
    first_in(crew, Phase.REDUCING, 1)
    crew.form(crew.members)
    crew.evict(workers[0])
    crew.form([workers[1], workers[0]])
    crew.go_on()
    all_ended_as(alone, workers)


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


def test_below_the_minimum_all_wait(crew_of, alone):
    """M4: they keep State, and the same step goes on when more come."""
    crew = crew_of(min_workers=2)
    crew.start(job(), job())
    doomed = first_in(crew, Phase.REDUCING, 2)
    crew.kill(doomed)
    crew.go_on()
    (first,) = all_but(doomed)
    assert (first.loop.standing.applied, first.actor.over) == (2, False)
    third = crew.add(job())
    crew.go_on()
    crew.form([first, third])
    crew.go_on()
    all_ended_as(alone, [first, third])


@pytest.mark.parametrize("seed", range(4))
def test_chance_changes_no_bits(crew_of, alone, seed):
    """All of the above in any order: losses, evictions, joins and leaves."""
    print(f"seed {seed}")
    crew, rng = crew_of(seed), Random(seed)
    crew.start(*[job() for _ in range(rng.choice((2, 3, 4)))])
    while crew.turn():
        if crew.done is None and rng.random() < 0.06:
            strike(crew, rng)
    living = [w for w in crew.workers if not w.actor.killed]
    ended = [w for w in living if not isinstance(w.actor.error, SystemExit)]
    assert ended
    all_ended_as(alone, ended)


def strike(crew, rng):
    """Let something happen, but never to the last who has State and stays."""
    staying = [worker for worker in crew.members if worker not in crew.leaving]
    level = [worker for worker in staying if worker.loop.standing.lineage]
    what = rng.choice(("kill", "evict", "join", "leave"))
    if what == "join" and len(crew.workers) < 8:
        crew.add(job())
    elif what != "join" and len(level) > 1:
        getattr(crew, what)(rng.choice(staying))


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 3])
def test_stop_iteration_ends_before_the_update(crew, alone, members):
    """S4: one leaf of one member is enough, and the step is not applied anywhere."""

    def train_step(state, batch):
        if state.step == STEPS - 1:
            raise StopIteration
        return usual(state, batch)

    usual = job().pairs[0].train_step
    workers = crew.train(*[job(train_step=train_step, steps=100) for _ in range(members)])
    reference = Crew()
    (shorter,) = reference.train(job(steps=STEPS - 1))
    all_ended_as(digests(shorter), workers)


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


# -- what fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["train_step", "update", "on_step", "on_epoch", "sync"])
def test_an_exception_says_where_it_was_raised(crew, place):
    """S7: the agent counts failures at one place."""

    def fail(*_):
        raise ValueError("a bug of the user's")

    (worker,) = crew.train(job(**{place: fail}))
    named = {"train_step": "step 1 micro-batch 0", "update": "update of step 1"}
    assert str(worker.actor.error) == "a bug of the user's"
    assert worker.actor.error.elastic_place == named.get(place, place)


def test_other_orders_of_the_data_are_the_users_error(crew):
    """D1: the digests of the index lists are compared."""

    class Drawing:
        def __init__(self, shift):
            self.shift = shift

        def __len__(self):
            return 20

        def __iter__(self):
            return iter([(i + self.shift) % 20 for i in range(20)])

    options = [job(), job()]
    for shift, each in enumerate(options):
        vars(each.loader).update(sampler=Drawing(shift), _has_own_order=False)
    workers = crew.train(*options)
    for worker in workers:
        assert "rank 1 has drawn another in step 1" in str(worker.actor.error) or (
            "rank 0 has drawn another in step 1" in str(worker.actor.error)
        )
        assert worker.actor.error.elastic_place == "reduction of step 1"


@pytest.mark.parametrize("members", [1, 2])
def test_a_loss_that_is_not_finite_is_an_error_on_request(crew, members):
    """S4, U4: on all members, before the update, naming the micro-batch."""
    workers = crew.train(*[job(train_step=poisoned, nonfinite="error") for _ in range(members)])
    for worker in workers:
        assert isinstance(worker.actor.error, NonFiniteError)
        assert "not finite at step 2 micro-batch 0" in str(worker.actor.error)
        assert worker.actor.error.elastic_place == "step 2 micro-batch 0"
        assert worker.state.step == 1


def poisoned(state, batch):
    loss = state.model(batch[0]).sum()
    return loss * float("nan") if state.step == 1 else loss


def test_a_loss_that_is_not_finite_is_a_warning_by_default(crew, capfd):
    """U4: each such micro-batch is named, and training goes on."""
    (worker,) = crew.train(job(train_step=poisoned, on_step=None, on_epoch=None, steps=2))
    assert worker.result.steps == 2
    said = capfd.readouterr().err
    for leaf in range(4):
        assert f"warning: the loss is not finite at step 2 micro-batch {leaf}" in said
    assert len(worker.events("nonfinite")) == 4


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


# -- checkpoints ---------------------------------------------------------------------------------


def test_the_next_run_resumes_on_any_number(crew_of, alone, tmp_path):
    """C1, S2: the newest is loaded by whoever has it and sent to the others."""
    where = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
    first = crew_of()
    first.start(job(**where), job(**where))
    first_in(first, Phase.REDUCING, 3)
    first.close()
    second = crew_of()
    resumed = second.train(job(**where), job(**where), job(), job(**where))
    all_ended_as(alone, resumed)
    assert all("resume" in worker.lines[0] for worker in resumed)
    assert resumed[0].lines[0]["resume"] == 2


def test_fresh_sets_older_checkpoints_aside(crew_of, alone, tmp_path, monkeypatch):
    """C1: the job begins anew, and nothing is deleted."""
    crew_of().train(job(checkpoint_dir=tmp_path))
    monkeypatch.setenv(control.ENV_FRESH, "1")
    crew = crew_of()
    (worker,) = crew.train(job(checkpoint_dir=tmp_path))
    assert worker.lines[0]["open"] == 0
    assert list(tmp_path.glob("old-1/step-*"))
    all_ended_as(alone, [worker])


def test_a_checkpoint_that_cannot_be_written_is_a_warning(crew, alone, tmp_path, capfd):
    """C1: training is worth more."""
    there = tmp_path / "there"

    def put_a_file_there(state, world):
        there.write_text("not a directory")

    (worker,) = crew.train(job(checkpoint_dir=there, checkpoint_every=2, sync=put_a_file_there))
    all_ended_as(alone, [worker])
    assert "warning: no checkpoint of step 2" in capfd.readouterr().err
    assert [event for event in worker.events("checkpoint") if "failed" in event]


def test_one_member_a_host_writes(crew, tmp_path):
    """C1: the lowest rank of each."""
    options = [job(checkpoint_dir=tmp_path / str(i), checkpoint_every=2) for i in range(3)]
    workers = crew.start(*options)
    workers[1].group.address = "host0:2"
    crew.go_on()
    wrote = [bool(worker.events("checkpoint")) for worker in workers]
    assert wrote[2]
    assert sorted(wrote[:2]) == [False, True]


# -- mixed machines ------------------------------------------------------------------------------


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
    return worker.loop._machine["arithmetic"]


def test_the_job_of_mixed_machines_ends_with_the_bits_of_its_first(crew):
    """B6: replicas may differ, and no drift is told."""
    crew.mixed, crew._expected = True, 2
    workers = [crew.add(job(), arithmetic=name) for name in "ab"]
    other = first_in(crew, Phase.REDUCING, 2)
    with torch.no_grad():
        other.state.model[0].weight.mul_(1.5)
    crew.go_on()
    first = next(w for w in workers if w.loop.standing.rank == 0)
    assert {w.result.digest for w in workers} == {first.state.digest()}


def test_alike_machines_promise_bits_though_mixed_ones_are_allowed(crew, alone):
    """B6."""
    crew.mixed, crew._expected = True, 2
    workers = [crew.add(job(), arithmetic="a") for _ in range(2)]
    crew.go_on()
    all_ended_as(alone, workers)
    assert all(worker.result.bits_promised for worker in workers)
