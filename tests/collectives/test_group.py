"""Groups over real connections: values, the fence, aborts, strangers, and SIGKILL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from elastic.collectives.admission import VOCABULARY, Prover
from elastic.collectives.group import Group
from elastic.collectives.partial import Forest, Partial, SegmentMap
from elastic.collectives.settings import GroupSettings
from elastic.errors import Aborted, ConfigError, ProtocolError
from elastic.world import Member
from tests.collectives.company import free_addresses, in_background

SMALL_CHUNKS = GroupSettings(chunk_bytes=1000, direct_below_bytes=500)


def settled(group: Group) -> None:
    """Wait until `group` waits in a collective."""
    deadline = time.monotonic() + 10
    while not group._mailbox.standing.waits:
        assert time.monotonic() < deadline
        time.sleep(0.001)


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [None, SMALL_CHUNKS], ids=["one frame", "chunks"])
def test_members_exchange_arrays_of_all_sizes(company, settings):
    groups = company.form("a", "b", "c", settings=settings)

    def act(group: Group) -> None:
        group.barrier()
        assert group.gather(bytes([group.rank])) == [b"\0", b"\1", b"\2"]
        for length in (1, 1000, 5000):
            total = group.allreduce(np.full(length, group.rank, np.float32))
            assert total.tolist() == [3.0] * length
        root = np.arange(2000) if group.rank == 1 else None
        assert group.broadcast(root, root=1).tolist() == list(range(2000))
        assert [array.item() for array in group.allgather(np.int8(group.rank))] == [0, 1, 2]

    company.together(groups, act)
    assert company.suspicions == []


def test_two_members_send_and_receive_apart_from_the_others(company):
    a, b, c = company.form("a", "b", "c")
    a.send(np.arange(3), to=1)
    a.send(np.arange(4), to=1)
    c.send(np.arange(5), to=1)
    assert b.recv(2).tolist() == [0, 1, 2, 3, 4]
    assert b.recv(0).tolist() == [0, 1, 2]
    assert b.recv(0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("settings", [None, SMALL_CHUNKS], ids=["direct", "sliced"])
def test_a_step_is_reduced_over_uneven_forests(company, settings):
    """S5: one member holds most leaves, one a single leaf, one none."""
    groups = company.form("a", "b", "c", settings=settings)
    map = SegmentMap.of([("float32", 300), ("float64", 2)])

    def act(group: Group) -> tuple[list[bytes], Partial | None]:
        forest = Forest(5, map)
        for leaf in {0: (0, 2, 3, 4), 1: (1,), 2: ()}[group.rank]:
            partial = Partial.empty(map)
            partial[0] = np.random.default_rng(leaf).normal(size=300)
            forest.put(leaf, partial)
        return group.reduce_tree("step 7", forest, b"%d" % group.rank)

    x = [np.random.default_rng(leaf).normal(size=300).astype(np.float32) for leaf in range(5)]
    expected = ((x[0] + x[1]) + (x[2] + x[3])) + x[4]
    for headers, total in company.together(groups, act):
        assert headers == [b"0", b"1", b"2"]
        assert total[0].tobytes() == expected.tobytes()
        assert total[1] is None


def test_what_was_sent_may_be_written_at_once(company):
    groups = company.form("a", "b", settings=SMALL_CHUNKS)

    def act(group: Group) -> None:
        array = np.zeros(50_000)
        for turn in range(5):
            array[:] = turn
            assert group.allgather(array)[1 - group.rank].tolist() == [turn] * len(array)

    company.together(groups, act)


# -- generations -------------------------------------------------------------------------------


def test_connections_to_those_who_stay_are_kept(company):
    a, b, c = company.form("a", "b", "c")
    company.together([a, b, c], Group.barrier)
    kept = a._transport._readers["b"]
    company.enter(2, ("a", "b"), [a, b])
    company.together([a, b], Group.barrier)
    assert a._transport._readers["b"] is kept
    assert "c" not in a._transport._readers
    assert company.suspicions == []


def test_who_is_left_out_hears_of_the_newer_generation(company):
    """M6: a suspect that lives finds itself outside, and no one is accused."""
    a, b, c = company.form("a", "b", "c")
    company.together([a, b, c], Group.barrier)
    waiting = in_background(c.barrier)
    settled(c)
    company.enter(2, ("a", "b"), [a, b])
    with pytest.raises(Aborted, match="another group") as caught:
        waiting.result(10)
    assert caught.value.generation == 2
    assert company.suspicions == []
    c.rename("c2")
    company.enter(3, ("a", "b", "c2"), [a, b, c])
    assert company.together([a, b, c], lambda g: g.gather(b"x")) == [[b"x"] * 3] * 3


def test_a_message_from_the_past_changes_nothing(company):
    """Promise 5 (fenced): b sends in generation 1 after a has moved to 2."""
    a, b, c = company.form("a", "b", "c")
    company.together([a, b, c], Group.barrier)
    members = [Member("a", a.address), Member("b", b.address)]
    a.enter(2, members, 0)
    late = in_background(b.gather, b"old")
    settled(b)
    while not a.counters()["refused_messages"]:
        time.sleep(0.001)
    b.interrupt(2, "the record has moved")
    with pytest.raises(Aborted, match="the record has moved"):
        late.result(10)
    b.enter(2, members, 1)
    assert company.together([a, b], lambda g: g.gather(b"new")) == [[b"new"] * 2] * 2


def test_who_is_slow_gets_what_was_sent_before_a_planned_change(company):
    """S4: all members finish the step; the quick ones must not take back what they have sent."""
    a, b = company.add("a", "b")
    members = [Member("a", a.address), Member("b", b.address)]
    a.enter(1, members, 0)
    a.send(np.arange(3), 1)
    a.enter(2, members, 0)
    b.enter(1, members, 1)
    assert in_background(b.recv, 0).result(10).tolist() == [0, 1, 2]
    b.enter(2, members, 1)
    company.together([a, b], Group.barrier)


def test_early_messages_wait_for_their_generation(company):
    a, b = company.add("a", "b")
    members = [Member("a", a.address), Member("b", b.address)]
    a.enter(5, members, 0)
    early = in_background(a.gather, b"from a")
    settled(a)
    b.enter(5, members, 1)
    assert b.gather(b"from b") == early.result(10) == [b"from a", b"from b"]


def test_a_member_may_be_known_before_it_knows_its_own_id(company):
    (a,) = company.add("a")
    (b,) = company.add("")
    members = [Member("a", a.address), Member("b", b.address)]
    a.enter(1, members, 0)
    waiting = in_background(a.barrier)
    settled(a)
    b.rename("b")
    b.enter(1, members, 1)
    b.barrier()
    waiting.result(10)


def test_an_old_generation_cannot_be_entered_again(company):
    (a,) = company.form("a")
    with pytest.raises(ProtocolError, match="entered before"):
        a.enter(1, [Member("a", a.address)], 0)


# -- the end of a generation -------------------------------------------------------------------


def test_an_interruption_ends_every_wait_and_each_to_come(company):
    a, b = company.form("a", "b")
    waiting = in_background(a.barrier), in_background(a.recv, 1)
    settled(a)
    a.interrupt(2, "a newer group")
    for each in waiting:
        with pytest.raises(Aborted, match="a newer group") as caught:
            each.result(10)
        assert caught.value.generation == 2
    with pytest.raises(Aborted):
        a.check()
    with pytest.raises(Aborted):
        a.allreduce(np.zeros(1))
    company.enter(2, ("a", "b"), [a, b])
    company.together([a, b], Group.barrier)


def test_a_goodbye_is_no_suspicion(company):
    a, b, c = company.form("a", "b", "c")
    company.together([a, b, c], Group.barrier)
    waiting = in_background(a.barrier)
    settled(a)
    c.close()
    with pytest.raises(Aborted, match="c has left") as caught:
        waiting.result(10)
    assert caught.value.peer == "c"
    assert company.suspicions == []


def test_what_was_sent_before_a_goodbye_arrives(company):
    a, b = company.form("a", "b")
    b.send(np.arange(10), to=0)
    assert a.recv(1).sum() == 45  # the stream is up: closing may not cut what follows
    b.send(np.arange(1000), to=0)
    b.close()
    assert len(a.recv(1)) == 1000


def test_a_peer_that_breaks_off_is_suspected_once(company):
    a, b = company.form("a", "b")
    company.together([a, b], Group.barrier)
    waiting = in_background(a.barrier)
    settled(a)
    b._transport._server.stop(0)  # no goodbye
    with pytest.raises(Aborted) as caught:
        waiting.result(10)
    assert caught.value.peer == "b"
    with pytest.raises(Aborted):
        a.barrier()
    assert company.suspicions == [("a", 1, "b")]


def test_a_refused_connection_is_a_suspicion_at_once(company):
    (a,) = company.add("a")
    (b,) = company.add("b")
    members = [Member("a", a.address), Member("b", b.address)]
    b.close()
    a.enter(1, members, 0)
    with pytest.raises(Aborted, match="member b"):
        a.barrier()
    assert company.suspicions == [("a", 1, "b")]


def test_a_peer_that_never_answers_is_suspected_after_a_deadline(company):
    (a,) = company.add("a", settings=GroupSettings(connect_timeout_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        a.enter(1, [Member("a", a.address), Member("mute", f"127.0.0.1:{port}")], 0)
        with pytest.raises(Aborted, match=r"mute: no answer in 0.2 s"):
            a.barrier()


def test_an_abort_frees_what_is_being_sent(company):
    """A peer that is read slowly, or never, must not hold a caller for ever."""
    tight = GroupSettings(chunk_bytes=1 << 16, parked_limit_bytes=1)
    a, b = company.form("a", "b", settings=tight)
    company.together([a, b], Group.barrier)
    a.send(np.zeros(10), to=1)  # parked at b, which then reads no further
    sending = in_background(a.send, np.zeros(8 << 20, np.uint8), 1)
    with pytest.raises(TimeoutError):
        sending.result(0.2)
    a.interrupt(2, "enough")
    with pytest.raises(Aborted, match="enough"):
        sending.result(10)


def test_parked_data_is_read_again_when_it_is_awaited(company):
    tight = GroupSettings(chunk_bytes=1 << 16, parked_limit_bytes=1)
    a, b = company.form("a", "b", settings=tight)
    sending = in_background(lambda: [a.send(np.full(1 << 20, i), to=1) for i in range(3)])
    assert [b.recv(0)[-1] for _ in range(3)] == [0, 1, 2]
    sending.result(10)


def test_closing_is_quick_and_ends_every_thread(company):
    a, b = company.form("a", "b")
    company.together([a, b], Group.barrier)
    waiting = in_background(a.barrier)
    settled(a)
    began = time.monotonic()
    a.close()
    a.close()
    b.close()
    assert time.monotonic() - began < 1
    with pytest.raises(Aborted, match="closed"):
        waiting.result(10)
    deadline = time.monotonic() + 5
    while [t for t in threading.enumerate() if t.name.startswith("elastic-")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- mistakes and strangers --------------------------------------------------------------------


def test_another_collective_is_an_error_that_names_both(company):
    a, b = company.form("a", "b")

    def act(group: Group) -> None:
        with pytest.raises(ConfigError, match=r"rank \d called (barrier|gather), rank \d "):
            group.barrier() if group.rank else group.gather(b"")

    company.together([a, b], act)


def test_too_large_a_message_is_refused_before_it_is_sent(company):
    a, _ = company.form("a", "b", settings=GroupSettings(max_message_bytes=100))
    with pytest.raises(ConfigError, match="at most 100 bytes, got"):
        a.gather(b"x" * 101)


def test_too_large_a_message_ends_only_its_stream(company):
    """P4"""
    (a,) = company.add("a", settings=GroupSettings(max_message_bytes=100))
    b, c = company.add("b", "c")
    company.enter(1, ("a", "b", "c"), [a, b, c])
    b.send(np.zeros(100), to=0)
    with pytest.raises(Aborted, match="member b: a message takes at most 100 bytes"):
        a.recv(1)
    assert company.suspicions == [("a", 1, "b")]
    c.send(np.zeros(1), to=1)
    assert b.recv(2).tolist() == [0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"token": "a guess"}, "unauthenticated: the job's token is wrong or missing"),
        ({"token": None}, "unauthenticated: the job's token is wrong or missing"),
        ({"job": "another job"}, "version 2, job 'job' here, not version 2, job 'another job'"),
    ],
)
def test_a_stranger_is_refused_and_changes_nothing(company, options, why):
    """P3, P4"""
    a, b = company.form("a", "b")
    (stranger,) = company.add("s", **options)
    stranger.enter(1, [Member("a", a.address), Member("s", stranger.address)], 1)
    with pytest.raises(Aborted, match=why):
        stranger.barrier()
    assert a.counters()["refused_callers"] == 1
    company.together([a, b], Group.barrier)
    assert company.suspicions == [("s", 1, "a")]


def test_who_has_not_the_token_is_not_listened_to(company):
    """P3: whoever listens at a member's address must know the token to pass for it."""
    a, b = company.add("a", "b")
    b._transport.prover = Prover("another")
    b._transport.admit = lambda method, request, proof: VOCABULARY.decode(request)
    a.enter(1, [Member("a", a.address), Member("b", b.address)], 0)
    with pytest.raises(Aborted, match="has not the job's token"):
        a.barrier()


def test_without_a_token_only_loopback_will_do(company):
    """P3"""
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 only with a job token"):
        Group("job", token=None, bind="0.0.0.0")
    (a,) = company.add("a", token=None, bind="localhost")
    assert a.address.startswith("localhost:")


def test_a_port_that_is_taken_is_an_error(company):
    (a,) = company.add("a")
    with pytest.raises(ConfigError, match="cannot listen"):
        Group("job", token="t", bind=a.address)


# -- processes ---------------------------------------------------------------------------------

WORKER = """
import sys, time
from elastic.collectives import connect
addresses, rank = sys.argv[1].split(","), int(sys.argv[2])
group = connect(addresses, rank, token="secret")
group.barrier()
print("ready", flush=True)
try:
    while True:
        group.barrier()
except BaseException as error:
    print(time.monotonic(), type(error).__name__, error.peer, flush=True)
"""


@pytest.mark.e2e
def test_a_killed_process_is_noticed_in_milliseconds_and_the_others_can_exit():
    addresses = ",".join(free_addresses(3))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, addresses, str(rank)], stdout=subprocess.PIPE, text=True
        )
        for rank in range(3)
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        os.kill(workers[1].pid, signal.SIGKILL)
        killed = time.monotonic()
        for worker in (workers[0], workers[2]):
            noticed, error, peer = worker.stdout.readline().split()
            assert float(noticed) - killed < 0.5
            assert error == "Aborted"
            assert peer in ("rank0", "rank1", "rank2")
            assert worker.wait(10) == 0  # without close(): exit must not hang
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()


def test_who_is_cut_off_is_lost_by_all_and_comes_back(company):
    """A partition that a test asks for: both ends lose each other, and meet when it is over."""
    first, second = company.form("a", "b")
    company.together([first, second], Group.barrier)
    waiting = in_background(first.barrier)
    second.cut_off(0.5)
    with pytest.raises(Aborted):
        waiting.result(10)
    with pytest.raises(Aborted):
        second.barrier()
    while second._transport.is_cut_off:  # no longer than it was asked to be
        time.sleep(0.01)
    company.enter(2, ("a", "b"), [first, second])
    company.together([first, second], Group.barrier)


def test_who_is_cut_off_takes_no_newcomer(company):
    first, second = company.add("a", "b")
    first.cut_off(30.0)
    company.enter(1, ("a", "b"), [first, second])
    for group in (first, second):
        with pytest.raises(Aborted):
            group.barrier()
