"""Training on a stream: the same bits and exactly-once evidence, whoever dies or joins."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.audit import InStream, Leaf, Verifier, chain, line
from elastic.data import DataLoader, IterableDataset
from elastic.errors import ConfigError, DataError
from elastic.training import randomness
from elastic.training.standing import Phase
from elastic.training.state import State
from tests.training.crew import Crew, job, make_state
from tests.training.helpers import all_but, all_ended_as, digests, first_in

EPOCHS, STEPS = 2, 6


class Samples(IterableDataset):
    """20 samples, each with noise from the generators that training seeds."""

    def __iter__(self):
        rng = np.random.default_rng(0)
        for _ in range(20):
            x = rng.normal(size=4) + 0.1 * np.random.normal(size=4)
            yield torch.from_numpy(x.astype("float32")), int(x[0] > 0)


class Saving(Samples):
    """It goes on from where it was."""

    def __init__(self):
        with randomness.restored():
            np.random.seed(0)
            self.at, self.given = 0, list(super().__iter__())

    def __iter__(self):
        while self.at < len(self.given):
            self.at += 1
            yield self.given[self.at - 1]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def streaming(kind=Samples, **asked):
    usual = make_state()
    loader = DataLoader(kind(), batch_size=8, micro_batches=4)
    loader.seed = 5
    state = State(model=usual.model, optimizer=usual.optimizer, loader=loader, history=[])
    return job(state, **{"steps": None, "epochs": EPOCHS, "on_epoch": noted} | asked)


def noted(state, world):
    state.history = [*state.history, state.epoch]


@pytest.fixture(scope="module")
def alone():
    (worker,) = Crew().train(streaming())
    assert worker.state.history[3] == 1, "on_epoch comes after the last step of an epoch"
    assert worker.audit.report().epochs == EPOCHS
    assert worker.audit.report().samples == 20 * EPOCHS
    assert worker.result.steps == STEPS
    return digests(worker)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_any_number_of_members_ends_with_the_same_bits(crew, alone, members):
    """D1, S5: whoever has no leaf reads along."""
    all_ended_as(alone, crew.train(*[streaming() for _ in range(members)]))


@pytest.mark.parametrize("applied", [0, 2, 3])
def test_losses_and_newcomers_change_no_bits(crew, alone, applied):
    """D1, D2: a newcomer opens the stream where State says."""
    crew.start(streaming(), streaming(), streaming())
    doomed = first_in(crew, Phase.REDUCING, applied)
    crew.kill(doomed)
    late = crew.add(streaming())
    crew.go_on()
    all_ended_as(alone, all_but(doomed))
    assert late.audit.verdict() == "ok"


def test_a_stream_that_saves_its_place_is_resumed(crew, tmp_path):
    """D1, C: by its own state, from a checkpoint too."""
    (whole,) = Crew().train(streaming(Saving))
    asked = {"checkpoint_dir": tmp_path / "c", "checkpoint_every": 2}
    crew.train(streaming(Saving, epochs=None, steps=4, **asked))
    again = Crew()
    workers = again.train(*[streaming(Saving, **asked) for _ in range(2)])
    all_ended_as(digests(whole), workers)
    assert workers[0].lines[0]["resume"] == 4


def test_steps_may_end_a_stream_anywhere(crew):
    """D1."""
    (worker,) = crew.train(streaming(epochs=None, steps=4))
    assert (worker.result.steps, worker.state.epoch) == (4, 1)


def test_a_stream_that_differs_is_found(crew):
    """D1: by the digest of what was read, in the step's own exchange."""

    class Different(Samples):
        def __iter__(self):
            for x, y in super().__iter__():
                yield x + id(self) % 1000, y

    crew.start(streaming(Different), streaming(Different))
    crew.go_on()
    for worker in crew.workers:
        with pytest.raises(DataError, match="has read other samples in step 1; make the stream"):
            _ = worker.result


REFUSED = [
    ({"checkpoint_dir": "x"}, "no known number of steps an epoch; say checkpoint_every="),
]


@pytest.mark.parametrize(("asked", "text"), REFUSED)
def test_what_needs_a_length_is_refused(asked, text):
    """D1."""
    with pytest.raises(ConfigError, match=text):
        streaming(**asked)


# -- the audit -----------------------------------------------------------------------------------


def story():
    """Two epochs of 5 and 2 samples, in steps of at most two leaves of one or two samples."""
    lineage, lines = "00", []
    places = [(0, (0, 1), (2,), False), (0, (3,), (4,), True), (1, (0,), (1,), True)]
    for number, (epoch, first, second, last) in enumerate(places, 1):
        leaves = [Leaf(0, 0, first), Leaf(1, 0, second)]
        lineage = chain(lineage, number, leaves)
        lines.append(line(number, epoch, 1, lineage, leaves, InStream(first[0], last)))
    return lines


def verified(lines):
    verifier = Verifier()
    for said in lines:
        verifier.feed(json.dumps(said) + "\n")
    return verifier.report()


def test_a_stream_is_verified_by_position():
    """D2."""
    report = verified(story())
    assert (report.verdict, report.epochs, report.samples, report.steps) == ("ok", 2, 7, 3)
    opened = verified([{"open": 1, "lineage": story()[0]["lineage"]}, *story()[1:]])
    assert (opened.verdict, opened.samples) == ("ok", 4)
    assert opened.notes == ("epoch 0 began before the file: it cannot be whole",)


def changed(at, **values):
    lines = [dict(said) for said in story()]
    lines[at] |= values
    for number, said in enumerate(lines, 1):  # a chain that fits
        before = lines[number - 2]["lineage"] if number > 1 else "00"
        leaves = [Leaf(leaf, rank, tuple(indices)) for leaf, rank, indices in said["leaves"]]
        said["lineage"] = chain(before, number, leaves)
    return verified(lines).verdict


WRONG = [
    (1, {"position": 4}, "step 2 begins at sample 4 of the stream, not at 3"),
    (1, {"leaves": [[0, 0, [3]], [1, 0, [5]]]}, "step 2 does not train on the stream's samples"),
    (1, {"last": False}, "step 3 of epoch 1 follows epoch 0 of a stream"),
    (0, {"last": True}, "step 2 of epoch 0 follows epoch 0 of a stream"),
    (2, {"position": 1, "leaves": [[0, 0, [1]]]}, "step 3 begins at sample 1 of the stream, not"),
]


@pytest.mark.parametrize(("at", "values", "text"), WRONG)
def test_lost_and_repeated_samples_are_found(at, values, text):
    """D2."""
    assert text in changed(at, **values)
