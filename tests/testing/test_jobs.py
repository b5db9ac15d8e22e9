"""What is said of a script that does not survive, or of a run that shows nothing."""

from __future__ import annotations

import pytest

from elastic.errors import ConfigError
from elastic.testing.jobs import Outcome, assert_survives, complaints

REPORT = {"steps": 9, "digest": "sha256:aa", "state_digest": "sha256:bb", "audit": "ok"}
KILL = {"seed": 7, "step": 3, "fault": "kill"}


def outcome(code=0, leftovers=(), **report):
    return Outcome(code, "", REPORT | {"chaos": [KILL]} | report, leftovers)


@pytest.mark.parametrize(
    ("chaotic", "complaint"),
    [
        (outcome(code=1), "elastic-run ended with 1"),
        (outcome(digest=None), "does the script call elastic.train"),
        (outcome(audit="step 3 was lost"), "the audit says: step 3 was lost"),
        (outcome(chaos=[]), "no fault happened"),
        (outcome(steps=8), "steps is 8, undisturbed 9"),
        (outcome(digest="sha256:cc"), "are weights and data seeded"),
        (outcome(state_digest="sha256:cc"), "something in State"),
        (outcome(leftovers=("process 7: etcd",)), "left behind: process 7: etcd"),
    ],
)
def test_each_broken_promise_is_named(chaotic, complaint):
    (found,) = complaints(outcome(), chaotic)
    assert complaint in found


def test_equal_bits_are_no_complaint():
    assert complaints(outcome(chaos=[]), outcome()) == []


def test_a_plan_that_cannot_be_read_starts_nothing(tmp_path):
    with pytest.raises(ConfigError, match="no fault"):
        assert_survives("train.py", chaos="7,burn=1", folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.e2e
def test_a_script_whose_weights_are_not_seeded_is_told_so(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(UNSEEDED)
    with pytest.raises(AssertionError, match="are weights and data seeded"):
        assert_survives(script, chaos="1,stop=0.5", workers=2, folder=tmp_path)


UNSEEDED = """
import os
import elastic
import elastic.tensor as torch
from elastic.data import DataLoader, TensorDataset

torch.manual_seed(os.getpid())
model = torch.nn.Linear(4, 1)
loader = DataLoader(TensorDataset(torch.ones(64, 4)), batch_size=16, seed=0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
state = elastic.State(model=model, optimizer=optimizer, loader=loader)
elastic.train(state, lambda state, batch: state.model(batch[0]).mean(), epochs=2)
"""
