"""The mailbox core: its table, its fence, and its invariants under random events."""

from __future__ import annotations

import random

import pytest

from elastic.collectives import core
from elastic.collectives.core import (
    Abort,
    Arrived,
    Awaited,
    Closed,
    Deliver,
    Entered,
    Forget,
    Interrupted,
    Left,
    Park,
    PeerLost,
    Phase,
    Refuse,
    Standing,
    Suspect,
)
from elastic.errors import ProtocolError

ROUND_0 = ("round", 0)
ROUND_1 = ("round", 1)


def play(*events: core.Event, start: Standing | None = None) -> tuple[Standing, list[core.Command]]:
    """The standing after the events, and the commands of the last one."""
    standing, commands = start or Standing(), []
    for event in events:
        standing, commands = core.step(standing, event)
        core.invariants(standing)
    return standing, commands


INSIDE = play(Entered(5, ("b", "c")))[0]


def test_a_wait_is_delivered_when_the_last_source_arrives():
    standing, commands = play(Awaited(ROUND_0, ("b", "c")), Arrived(5, "b", ROUND_0), start=INSIDE)
    assert commands == [Park(5, "b", ROUND_0)]
    standing, commands = play(Arrived(5, "c", ROUND_0), start=standing)
    assert commands == [Deliver(5, ROUND_0, ("b", "c"))]
    assert not standing.parked
    assert not standing.waits


def test_what_is_early_is_parked_and_delivered_when_awaited():
    later = [Arrived(5, "b", ROUND_1), Arrived(5, "b", ROUND_0)]
    _, commands = play(*later, Awaited(ROUND_0, ("b",)), Awaited(ROUND_1, ("b",)), start=INSIDE)
    assert commands == [Deliver(5, ROUND_1, ("b",))]


def test_a_newer_generation_is_parked_until_it_is_entered():
    standing, commands = play(Arrived(6, "d", ROUND_0), start=INSIDE)
    assert commands == [Park(6, "d", ROUND_0)]
    _, commands = play(Entered(6, ("b", "d")), Awaited(ROUND_0, ("d",)), start=standing)
    assert commands == [Deliver(6, ROUND_0, ("d",))]


def test_messages_may_come_before_any_generation_is_entered():
    standing, _ = play(Arrived(1, "b", ROUND_0), Entered(1, ("b",)))
    assert play(Awaited(ROUND_0, ("b",)), start=standing)[1] == [Deliver(1, ROUND_0, ("b",))]


def test_the_past_changes_nothing():
    """Promise 5 (fenced): only the counter moves."""
    standing, commands = play(Arrived(4, "b", ROUND_0), start=INSIDE)
    assert isinstance(commands[0], Refuse)
    assert "generation 4 is over" in commands[0].reason
    assert standing.refused == 1
    assert (standing.waits, standing.parked) == (INSIDE.waits, INSIDE.parked)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([Arrived(5, "b", ROUND_0), Arrived(5, "b", ROUND_0)], "here already"),
        ([Arrived(5, "stranger", ROUND_0)], "no member"),
        (
            [Arrived(5, "b", ROUND_0), Awaited(ROUND_0, ("b",)), Arrived(5, "b", ROUND_0)],
            "delivered before",
        ),
        ([Closed(), Arrived(5, "b", ROUND_0)], "closed"),
    ],
)
def test_what_nobody_may_want_is_refused(events, reason):
    _, commands = play(*events, start=INSIDE)
    assert isinstance(commands[0], Refuse)
    assert reason in commands[0].reason


def test_a_lost_peer_ends_every_wait_and_is_suspected_once():
    waiting, _ = play(Awaited(ROUND_0, ("c",)), start=INSIDE)
    broken, commands = play(PeerLost(5, "b", "stream broke"), start=waiting)
    assert commands == [Abort("stream broke", peer="b"), Suspect(5, "b", "stream broke")]
    assert broken.phase is Phase.BROKEN
    assert play(PeerLost(5, "b", "again"), start=broken)[1] == []
    assert play(PeerLost(5, "c", "too"), start=broken)[1] == [Suspect(5, "c", "too")]
    assert play(Awaited(ROUND_1, ("c",)), start=broken)[1] == [Abort("stream broke", peer="b")]


@pytest.mark.parametrize("event", [PeerLost(4, "b", "old"), PeerLost(5, "x", "a stranger")])
def test_a_loss_outside_the_group_is_no_suspicion(event):
    standing, commands = play(event, start=INSIDE)
    assert commands == []
    assert standing.phase is Phase.INSIDE


def test_a_goodbye_is_no_suspicion_but_ends_waits_for_it():
    gone, commands = play(Arrived(5, "b", ROUND_0), Left("b"), start=INSIDE)
    assert commands == []
    assert play(PeerLost(5, "b", "stream broke"), start=gone)[1] == []
    after, commands = play(Awaited(ROUND_0, ("b",)), start=gone)
    assert commands == [Deliver(5, ROUND_0, ("b",))]
    _, commands = play(Awaited(ROUND_1, ("b",)), start=after)
    assert commands == [Abort("member b has left", peer="b")]
    _, commands = play(Awaited(ROUND_0, ("c", "b")), Left("c"), start=INSIDE)
    assert commands == [Abort("member c has left", peer="c")]


def test_an_interruption_holds_until_its_generation_is_entered():
    standing, commands = play(Awaited(ROUND_0, ("b",)), Interrupted(7, "b left"), start=INSIDE)
    assert commands == [Abort("b left", generation=7)]
    standing, _ = play(Entered(6, ("c",)), start=standing)
    assert standing.phase is Phase.BROKEN
    assert play(Awaited(ROUND_0, ("c",)), start=standing)[1] == [Abort("b left", generation=7)]
    assert play(Entered(7, ("c",)), start=standing)[0].phase is Phase.INSIDE


def test_an_interruption_by_what_is_entered_changes_nothing():
    assert play(Interrupted(5, "late news"), start=INSIDE)[0].phase is Phase.INSIDE


def test_an_interruption_after_a_loss_says_which_generation_is_next():
    standing, _ = play(PeerLost(5, "b", "broke"), Interrupted(6, "b is dead"), start=INSIDE)
    assert standing.abort == Abort("b is dead", generation=6)


def test_messages_of_a_generation_that_broke_are_refused():
    broken, commands = play(Arrived(5, "c", ROUND_0), PeerLost(5, "b", "x"), start=INSIDE)
    assert Forget(((5, "c", ROUND_0),)) in commands
    assert isinstance(play(Arrived(5, "c", ROUND_1), start=broken)[1][0], Refuse)
    assert isinstance(play(Arrived(6, "c", ROUND_0), start=broken)[1][0], Park)


def test_entering_forgets_what_the_new_group_does_not_want():
    _, commands = play(
        Arrived(6, "b", ROUND_0), Arrived(6, "x", ROUND_0), Entered(6, ("b",)), start=INSIDE
    )
    assert commands == [Forget(((6, "x", ROUND_0),))]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Entered(5, ("b",)), "entered before"),
        (Awaited(ROUND_0, ("x",)), "no peers"),
        (Awaited(ROUND_0, ("b",)), "one caller at a time"),
    ],
)
def test_an_illegal_event_tells_the_story(event, why):
    with pytest.raises(ProtocolError, match=rf"(?s){why}.*Story:.*outside: Entered"):
        core.step(play(Awaited(ROUND_1, ("b",)), start=INSIDE)[0], event)


def test_the_table_decides_every_pair():
    """Pairs that are not listed here are illegal, and say so."""
    events = {
        Entered: Entered(9, ("b",)),
        Awaited: Awaited(ROUND_0, ("b",)),
        Arrived: Arrived(9, "b", ROUND_0),
        PeerLost: PeerLost(5, "b", "broke"),
        Left: Left("b"),
        Interrupted: Interrupted(8, "newer"),
        Closed: Closed(),
    }
    standings = {
        Phase.OUTSIDE: Standing(),
        Phase.INSIDE: INSIDE,
        Phase.BROKEN: play(PeerLost(5, "c", "broke"), start=INSIDE)[0],
        Phase.CLOSED: play(Closed(), start=INSIDE)[0],
    }
    illegal = {(Phase.OUTSIDE, Awaited), (Phase.CLOSED, Entered)}
    for phase, standing in standings.items():
        for kind, event in events.items():
            if (phase, kind) in illegal:
                with pytest.raises(ProtocolError, match="no such transition"):
                    core.step(standing, event)
            else:
                play(event, start=standing)


def test_reading_goes_on_while_somebody_waits_for_that_source():
    full, _ = play(Arrived(5, "b", ROUND_1, 100), start=INSIDE)
    assert core.may_read(full, "b", limit_bytes=101)
    assert not core.may_read(full, "b", limit_bytes=100)
    waiting, _ = play(Awaited(ROUND_0, ("b",)), start=full)
    assert core.may_read(waiting, "b", limit_bytes=100)
    assert not core.may_read(waiting, "c", limit_bytes=100)


def chance(rng: random.Random, standing: Standing) -> core.Event:
    generation, era = standing.generation, standing.generation // 4
    peers = [f"{name}{era}" for name in "bcd"]  # an id is never used again for long
    peer = rng.choice([*peers, "stranger"])
    key = ("round", rng.randint(0, 2))
    choices: list[core.Event] = [
        Entered(generation + rng.randint(1, 3), tuple(rng.sample(peers, rng.randint(1, 3)))),
        Awaited(key, tuple(rng.sample(peers, rng.randint(1, 2)))),
        Arrived(generation + rng.choice((-1, 0, 0, 0, 1)), peer, key),
        PeerLost(generation - rng.randint(0, 1), peer, "broke"),
        Left(peer),
        Interrupted(generation + rng.randint(0, 2), "newer"),
    ]
    return rng.choices(choices, weights=[2, 8, 24, 0.5, 0.2, 0.5])[0]


def test_invariants_hold_and_nothing_is_delivered_twice_under_random_events():
    assert sum(walk(seed) for seed in range(20)) > 50


def walk(seed: int) -> int:
    """How many rounds a random walk delivers."""
    print("seed", seed)
    rng, standing, delivered = random.Random(seed), Standing(), set()
    for _ in range(500):
        try:
            standing, commands = core.step(standing, chance(rng, standing))
        except ProtocolError:
            continue  # refused whole: the standing is the one before
        core.invariants(standing)
        for command in commands:
            if isinstance(command, Deliver):
                name = (command.generation, command.key)
                assert name not in delivered
                delivered.add(name)
    return len(delivered)
