"""What agent and worker say to each other: every message, there and back."""

from __future__ import annotations

import dataclasses

import pytest

from elastic import control
from elastic.audit import Leaf, line
from elastic.control import FROM_AGENT, FROM_WORKER
from elastic.world import Member

WORKER_SAYS = [
    control.Ready("10.0.0.1:4000"),
    control.Suspect(3, "m-7", "connection reset", 12.5),
    control.Boundary(3, 40),
    control.Boundary(3, 40, joins=(control.Candidate(99, "m-9"),), leaves=("m-1", "m-2")),
    control.Committed(41, 13.0),
    control.Committed(41, 13.0, {"loss": 0.5}, line(41, 0, 3, "ab", [Leaf(0, 1, (5, 6))])),
    control.Event("recovery", 14.0, {"lost": ["m-7"], "total_s": 0.21}),
    control.Failure("step 12 micro-batch 3", "Traceback …"),
    control.Finished(3, {"steps": 100, "digest": "sha256:ab"}),
]
AGENT_SAYS = [
    control.Admission("m-9"),
    control.Admission("m-9", min_workers=2, max_workers=8),
    control.Group(3, (Member("m-1", "a:1", "agent-a"), Member("m-2")), "m-7 exited with -9"),
    control.Group(4, (Member("m-1"),), "m-2 left", paused=True, planned=True),
    control.Group(5, (Member("m-1"),), "m-2 died", False, False, ("m-2",), 12.25, 12.5),
    control.Candidates((control.Candidate(99, "m-9"),)),
    control.Candidates(()),
    control.LeaveRequest("SIGTERM"),
    control.CutOff(0.5),
    control.JobDone({"steps": 100}),
    control.JobFailed("step 3 failed twice"),
]


@pytest.mark.parametrize("message", WORKER_SAYS, ids=lambda m: type(m).__name__)
def test_what_a_worker_says_comes_back_equal(message):
    assert FROM_WORKER.decode(FROM_WORKER.encode(message)) == message


@pytest.mark.parametrize("message", AGENT_SAYS, ids=lambda m: type(m).__name__)
def test_what_an_agent_says_comes_back_equal(message):
    assert FROM_AGENT.decode(FROM_AGENT.encode(message)) == message


@pytest.mark.parametrize(("words", "says"), [(FROM_WORKER, WORKER_SAYS), (FROM_AGENT, AGENT_SAYS)])
def test_no_message_is_left_out_of_these_tests(words, says):
    assert set(words.kinds.values()) == {type(message) for message in says}


def test_every_message_is_frozen():
    for kind in [*FROM_WORKER.kinds.values(), *FROM_AGENT.kinds.values()]:
        assert kind.__dataclass_params__.frozen, kind
        assert dataclasses.is_dataclass(kind)


def test_the_two_directions_do_not_mix():
    """A worker that could say Group would admit itself."""
    assert not FROM_WORKER.kinds.keys() & FROM_AGENT.kinds.keys()
    with pytest.raises(ValueError, match="unknown message type"):
        FROM_WORKER.decode(FROM_AGENT.encode(control.JobFailed("no")))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b'{"type": "Ready"}', "Ready: .*'address'"),
        (b'{"type": "Ready", "address": 7}', "expected str, got int"),
        (
            b'{"type": "Suspect", "generation": "3", "id": "m", "reason": "", "t": 0}',
            "expected int",
        ),
        (b'{"type": "Boundary", "generation": 1, "step": 2, "joins": [[1, "m"]]}', "Candidate"),
        (b'{"type": "Boundary", "generation": 1, "step": 2, "leaves": "m-1"}', "expected a list"),
        (b'{"type": "Committed", "step": 1, "t": 0, "metrics": {"loss": "low"}}', "expected float"),
        (b'{"type": "Event", "event": "x", "t": null}', "expected float, got NoneType"),
        (b'{"type": "Failure", "place": "sync"}', "Failure: .*'traceback'"),
        (b'{"type": "Finished", "generation": 1, "result": []}', "expected an object, got list"),
    ],
)
def test_each_way_for_a_worker_to_be_wrong(message, sentence):
    with pytest.raises(ValueError, match=sentence):
        FROM_WORKER.decode(message)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b'{"type": "Admission", "id": null}', "expected str, got NoneType"),
        (b'{"type": "Admission", "id": "m", "max_workers": 1.5}', "expected int . None, got float"),
        (b'{"type": "Group", "generation": 1, "members": ["m"], "cause": ""}', "Member expects"),
        (b'{"type": "Group", "generation": 1, "members": [{}], "cause": ""}', "Member: .*'id'"),
        (b'{"type": "Candidates", "candidates": [{"id": "m"}]}', "Candidate: .*'created'"),
        (b'{"type": "LeaveRequest"}', "LeaveRequest: .*'reason'"),
        (b'{"type": "JobDone", "result": 0}', "expected an object, got int"),
        (b'{"type": "JobFailed", "cause": "", "why": ""}', "JobFailed has no field 'why'"),
    ],
)
def test_each_way_for_an_agent_to_be_wrong(message, sentence):
    with pytest.raises(ValueError, match=sentence):
        FROM_AGENT.decode(message)
