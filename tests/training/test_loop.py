"""Real loops over a fake network: whatever befalls them, they end with the bits of one alone."""

from __future__ import annotations

from random import Random

import pytest

from elastic.training.standing import Phase
from tests.training.crew import STEPS_PER_EPOCH, Killed, job
from tests.training.helpers import STEPS, all_but, all_ended_as, first_in

# -- any number ----------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [2, 3])
def test_any_number_of_members_ends_with_the_same_bits(crew, alone, members):
    """S5, B1, B2, B7: three do not divide the four leaves, nor the two of a last batch."""
    workers = crew.train(*[job() for _ in range(members)])
    all_ended_as(alone, workers)
    assert {worker.result.world.rank for worker in workers} == set(range(members))


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


def test_below_the_minimum_all_wait(crew_of, alone):
    """M4: they keep State, and the same step goes on when more come."""
    crew = crew_of(min_workers=2)
    crew.start(job(), job())
    doomed = first_in(crew, Phase.REDUCING, 2)
    crew.kill(doomed)
    crew.go_on()
    (first,) = all_but(doomed)
    assert (first.standing.applied, first.actor.over) == (2, False)
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
    level = [worker for worker in staying if worker.standing.lineage]
    what = rng.choice(("kill", "evict", "join", "leave"))
    if what == "join" and len(crew.workers) < 8:
        crew.add(job())
    elif what != "join" and len(level) > 1:
        getattr(crew, what)(rng.choice(staying))
