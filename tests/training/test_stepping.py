"""A step of real loops: which leaves, whose fault, what is not finite."""

from __future__ import annotations

import pytest

from elastic.errors import NonFiniteError
from elastic.training.standing import Phase
from tests.training.crew import Crew, job
from tests.training.helpers import STEPS, all_but, all_ended_as, digests, first_in


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
