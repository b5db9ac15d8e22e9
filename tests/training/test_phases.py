"""Steps of several phases: (train_step, update) pairs on one batch."""

from __future__ import annotations

import json

import pytest

import elastic.tensor as torch
import elastic.tensor.nn.functional as F
from elastic.audit import Leaf, Verifier, chain, line, opening, verify
from elastic.phases import Phases
from elastic.tensor import nn, optim
from elastic.training import randomness
from elastic.training.standing import Phase
from tests.training.crew import STEPS_PER_EPOCH, Crew, Killed, job, make_state
from tests.training.helpers import all_but, all_ended_as, digests, first_in

STEPS = 5


def two_phases(die_in=None, steps=STEPS, **asked):
    """A critic and a generator, each with its optimizer, drawing random numbers."""
    with randomness.restored():
        torch.manual_seed(5)
        critic = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        maker = nn.Linear(2, 4)
    state = make_state(critic=critic, maker=maker, history=[])
    parts = dict(state.parts())
    parts["first"] = optim.Adam(critic.parameters(), lr=0.05)
    parts["second"] = optim.SGD(maker.parameters(), lr=0.05, momentum=0.5)
    state = type(state)(**parts)

    def at(place, state):
        if die_in == (place, state.step + 1):
            raise Killed

    def first_step(state, batch):
        at("first", state)
        fake = state.maker(torch.randn(len(batch[0]), 2)).detach()
        loss = F.softplus(-state.critic(batch[0])).mean() + F.softplus(state.critic(fake)).mean()
        return {"loss": loss, "metrics": {"critic": loss}, "carry": fake.mean(0)}

    def second_step(state, batch):
        at("second", state)
        loss = F.softplus(-state.critic(state.maker(torch.randn(len(batch[0]), 2)))).mean()
        return {"loss": loss, "metrics": {"maker": loss}, "carry": len(batch[0])}

    def update_first(state):
        at("update first", state)
        state.first.step()

    def update_second(state):
        at("update second", state)
        assert "critic" in state.metrics
        state.second.step()

    pairs = [(first_step, update_first), (second_step, update_second)]
    return job(state, train_step=pairs, steps=steps, **asked)


@pytest.fixture(scope="module")
def alone():
    crew = Crew()
    (worker,) = crew.train(two_phases())
    assert worker.result.metrics.keys() == {"loss", "critic", "maker"}
    return digests(worker)


def test_the_cores_count_phases():
    """U2."""
    phases = Phases(3)
    assert [phases.step(n) for n in range(1, 8)] == [1, 1, 1, 2, 2, 2, 3]
    assert [phases.phase(n) for n in range(1, 5)] == [0, 1, 2, 0]
    assert [phases.whole_steps(n) for n in (0, 2, 3, 5, 6)] == [0, 0, 1, 1, 2]
    assert all(phases.number(phases.step(n), phases.phase(n)) == n for n in range(1, 20))


@pytest.mark.parametrize("members", [2, 3])
def test_any_number_of_members_ends_with_the_same_bits(crew, alone, members):
    """U2, S5: hooks run once a step, the data moves once a step, the audit is whole."""
    workers = crew.train(*[two_phases() for _ in range(members)])
    all_ended_as(alone, workers)
    worker = workers[0]
    assert worker.result.steps == worker.state.step == STEPS
    assert (worker.state.epoch, worker.state.loader.cursor.step) == divmod(STEPS, STEPS_PER_EPOCH)
    assert len(worker.state.history) == STEPS + 2 * (STEPS // STEPS_PER_EPOCH)
    assert worker.audit.report().steps == STEPS


@pytest.mark.parametrize("place", ["first", "update first", "second", "update second"])
@pytest.mark.parametrize("step", [2, STEPS_PER_EPOCH])
def test_a_death_in_any_phase_changes_no_bits(crew, alone, place, step):
    """U2, S3: between the phases too."""
    workers = crew.train(two_phases(), two_phases((place, step)), two_phases())
    assert isinstance(workers[1].actor.error, Killed)
    all_ended_as(alone, [workers[0], workers[2]])


@pytest.mark.parametrize("applied", [1, 2, 3])
def test_a_newcomer_comes_between_phases_too(crew, alone, applied):
    """U2, S9: its audit opens inside a step."""
    crew.start(two_phases(), two_phases())
    doomed = first_in(crew, Phase.REDUCING, applied)
    crew.kill(doomed)
    late = crew.add(two_phases())
    crew.go_on()
    all_ended_as(alone, all_but(doomed))
    assert late.audit.verdict() == "ok"


def test_checkpoints_are_whole_steps_and_resumed(crew, alone, tmp_path):
    """U2, C: `checkpoint_every` counts steps of the user's."""
    asked = {"checkpoint_dir": tmp_path / "c", "checkpoint_every": 2, "steps": 4}
    crew.train(two_phases(**asked))
    again = Crew()
    (worker,) = again.train(two_phases(**asked | {"steps": STEPS}))
    again.close()
    all_ended_as(alone, [worker])
    assert worker.lines[0]["resume"] == 4


# -- the audit -----------------------------------------------------------------------------------

TWO = Phases(2)


def story(steps=3, begin=0):
    """Lines of an epoch of so many steps of two phases, two leaves each, from number `begin` on."""
    lines = [opening("open", begin, f"{begin:064x}", TWO)]
    lineage = f"{begin:064x}"
    for number in range(begin + 1, 2 * steps + 1):
        first = 4 * (TWO.step(number) - 1)
        leaves = [Leaf(0, 0, (first, first + 1)), Leaf(1, 1, (first + 2, first + 3))]
        lineage = chain(lineage, number, leaves)
        lines.append(line(number, 0, 1, lineage, leaves, None, TWO))
    return lines


def verdict(lines):
    verifier = Verifier()
    for said in lines:
        verifier.feed(json.dumps(said) + "\n")
    return verifier


def test_phases_count_their_samples_once():
    """U2, D2: the lines say step and phase."""
    lines = story()
    assert [(said["step"], said["phase"]) for said in lines[1:4]] == [
        (1, [0, 2]),
        (1, [1, 2]),
        (2, [0, 2]),
    ]
    report = verdict(lines).report()
    assert (report.verdict, report.steps, report.samples) == ("ok", 3, 12)


def test_a_file_may_open_between_two_phases():
    """U2, D2."""
    lines = story(begin=3)
    assert lines[0]["open"] == 1
    assert lines[0]["phase"] == [1, 2]
    assert verdict(lines).verdict() == "ok"


def test_phases_with_other_samples_are_found():
    """U2, D2: even with a chain that fits."""
    lines = story()[:2]
    leaves = [Leaf(0, 0, (0, 1)), Leaf(1, 1, (2, 9))]
    lines.append(line(2, 0, 1, chain(lines[1]["lineage"], 2, leaves), leaves, None, TWO))
    assert "step 1 phase 1 trains on other samples" in verdict(lines).verdict()


def test_a_lost_phase_is_found(tmp_path):
    """U2, D2."""
    lines = story()
    del lines[2]
    path = tmp_path / "audit"
    path.write_text("".join(json.dumps(said) + "\n" for said in lines))
    assert verify(path).verdict == "line 3: step 2 phase 0 follows step 1 phase 0"


@pytest.mark.parametrize("phase", [[2, 2], [0], "x", [-1, 2], [0.0, 1]])
def test_what_is_no_phase_is_no_line(phase):
    """D2."""
    assert "not a line" in verdict([story()[0] | {"phase": phase}]).verdict()
