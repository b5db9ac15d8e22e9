"""The rendezvous core: its table, its transcripts, and that everything it says is JSON both ways.

`REWRITE=1 pytest tests/rendezvous/test_core.py` writes the transcripts anew; commit a change only
if you understand what caused it.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from elastic.control import Candidate
from elastic.errors import ProtocolError
from elastic.rendezvous import commands as do
from elastic.rendezvous import core
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import DONE, Record
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, invariants, phase, told
from elastic.world import Member
from tests.rendezvous.transcript import Transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
A, B = Member("a", "a:1", "X"), Member("b", "b:1", "Y")
RECORD = Record(3, ("a", "b"), "told", joined=("b",))

STANDINGS = {
    Phase.STARTING: Standing("X"),
    Phase.FORMING: Standing("X", listed=True),
    Phase.INSIDE: Standing(
        "X",
        listed=True,
        record=RECORD,
        revision=5,
        known={"a": A, "b": B},
        present={"a": 1, "b": 2},
        mine={"a": True},
    ),
    Phase.OUTSIDE: Standing("Z", listed=True, record=RECORD, revision=5),
    Phase.OVER: Standing("X", listed=True, record=replace(RECORD, status=DONE), revision=5),
}
EVENTS = (
    ev.Listed(RECORD, 6, ((1, A), (2, B))),
    ev.Found(("a",), ((1, A),)),
    ev.RecordSeen(replace(RECORD, generation=4), 7),
    ev.MemberSeen(9, Member("c", "c:1", "Y")),
    ev.MemberGone("b"),
    ev.WorkersReady((Member("d", "d:1", "X"),)),
    ev.WorkerExited("a", "killed by SIGKILL"),
    ev.Suspected(3, "b", "a", "broke the connection"),
    ev.Verdict(3, "b", "a", True, "silent"),
    ev.Burst((ev.MemberGone("b"), ev.MemberSeen(9, Member("c", "c:1", "Y")))),
    ev.Greeted(("Y",), ("Z",), "no route"),
    ev.BoundaryReached(3, 7, (Candidate(9, "c"),), ("a",)),
    ev.LeaveAsked("SIGTERM"),
    ev.WorkersFinished(3, {"steps": 8, "digest": "00"}),
    ev.FailureNoted("step 3", True, "failed twice"),
    ev.Proposed(True, RECORD, 6),
    ev.KeysWritten((Candidate(4, "a"),)),
    ev.StoreFailed("no answer"),
    ev.LeaseLost(),
    ev.Tick(),
)
COMMANDS = (
    do.List(),
    do.Read(("a",)),
    do.Watch(True),
    do.PutMembers((A,)),
    do.DropMembers(("a",)),
    do.Propose(RECORD, 5, "a", ("b",)),
    do.Probe(3, B, "a"),
    do.Greet(("Y", "Z")),
    do.TellGroup(RECORD, (A, B), ("a",), False),
    do.TellCandidates((Candidate(9, "c"),)),
    do.TellOver({"steps": 8}, "done"),
    do.Readmit(("a",)),
    do.Say("waiting"),
    do.WakeAt(1.5),
)
MEANT_IN_A_GROUP = (ev.Suspected, ev.Verdict, ev.BoundaryReached, ev.WorkersFinished)
ILLEGAL = {(Phase.STARTING, kind) for kind in MEANT_IN_A_GROUP}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_transcript(path):
    """PROTOCOL M2 to M10, S4, S7: the rule's number stands in each transcript."""
    text = path.read_text(encoding="utf-8")
    now = Transcript().play(text)
    if os.environ.get("REWRITE"):
        path.write_text(now, encoding="utf-8")
    else:
        assert now == text


def test_every_standing_here_is_in_its_phase():
    assert {here: phase(standing) for here, standing in STANDINGS.items()} == {
        here: here for here in Phase
    }


@pytest.mark.parametrize("here", Phase)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_table_decides_every_pair(here, event):
    """Pairs that are not in ILLEGAL mean something, if only that they come late."""
    standing = STANDINGS[here]
    if (here, type(event)) in ILLEGAL:
        with pytest.raises(ProtocolError, match=rf"(?s){type(event).__name__} means nothing.*0\.5"):
            core.step(standing, event, 0.5, Settings())
    else:
        after, _ = core.step(standing, event, 0.5, Settings())
        invariants(after)


@pytest.mark.parametrize("event", [e for e in EVENTS if isinstance(e, MEANT_IN_A_GROUP)])
@pytest.mark.parametrize("here", [Phase.FORMING, Phase.OUTSIDE, Phase.OVER])
def test_news_of_a_group_that_is_over_comes_late_and_changes_nothing(here, event):
    before, _ = core.step(STANDINGS[here], ev.Tick(), 0.5, Settings())
    after, commands = core.step(before, event, 0.5, Settings())
    assert not [c for c in commands if not isinstance(c, do.WakeAt)]
    assert replace(after, story=()) == replace(before, story=())


@pytest.mark.parametrize("vocabulary", [ev.EVENTS, do.COMMANDS], ids=["events", "commands"])
def test_everything_is_json_both_ways(vocabulary):
    messages = EVENTS if vocabulary is ev.EVENTS else COMMANDS
    assert {type(message).__name__ for message in messages} == set(vocabulary.kinds)
    for message in messages:
        assert vocabulary.decode(vocabulary.encode(message)) == message


def test_the_same_input_gives_the_same_output():
    for standing in STANDINGS.values():
        for event in (ev.Tick(), ev.MemberGone("b")):
            first = core.step(standing, event, 1.0, Settings())
            assert first == core.step(standing, event, 1.0, Settings())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"record": replace(RECORD, ids=("a", "a"))}, "an id stands twice"),
        ({"exited": frozenset("a")}, "both lives and has exited"),
        ({"gone": {"z": "dead"}}, "someone outside is counted dead"),
        ({"told": 4}, "workers know of a future generation"),
        ({"record": None, "boundary": EVENTS[10], "gone": {}}, "a boundary without a group"),
    ],
)
def test_each_invariant_can_fail(changes, text):
    with pytest.raises(ProtocolError, match=text):
        invariants(replace(STANDINGS[Phase.INSIDE], **changes))


def test_the_story_is_bounded():
    standing = STANDINGS[Phase.INSIDE]
    for i in range(200):
        standing, _ = core.step(standing, ev.Tick(), float(i), Settings())
    assert len(standing.story) < 50
    assert "199" in told(standing).splitlines()[-1]
    assert not {field.name for field in fields(standing)} - set(Standing.__dataclass_fields__)
