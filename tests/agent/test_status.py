"""How a job stands, from a store in memory and agents that answer for real."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import closing

import pytest

from elastic.agent.board import Board, Snapshot
from elastic.agent.ping import STATUS, PingServer
from elastic.agent.status import UnknownJob, look
from elastic.control import Committed
from elastic.errors import ConfigError
from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.record import Keys, Record, encode_member
from elastic.rendezvous.store import Delete, Put
from elastic.wire import to_json
from elastic.world import Member

KEYS = Keys("job7")


@pytest.fixture
def agent():
    board = Board("job7", "node-3")
    board.committed(Committed(41, 1.0, {"loss": 0.5}), 0)
    board.event("exit", 5.0, {"local_rank": 1, "how": "SIGKILL"})

    def answer(id):
        assert id == STATUS
        return to_json(board.snapshot(2.0))

    with closing(PingServer("127.0.0.1", "secret", answer)) as server:
        yield server.address


@pytest.fixture
def store(agent):
    store = MemoryStore()
    mac = hmac.new(b"secret", b"job7", hashlib.sha256).hexdigest().encode()
    puts = [Put(KEYS.token, mac + b" of the CA")]
    for id in ("spare", "b", "a"):
        puts.append(Put(KEYS.members + id, encode_member(Member(id, "127.0.0.1:9", agent))))
    for put in puts:
        store.txn([], [put])
    yield store
    store.close()


def write(store, *ids, **more):
    store.txn([], [Put(KEYS.record, Record(4, ids, "x was lost", **more).encode())])


def test_members_by_rank_then_those_that_wait(store, agent):
    write(store, "a", "b")
    job = look(store, "job7", "secret")
    assert [(rank, member.id) for rank, member in job.ranked] == [
        (0, "a"),
        (1, "b"),
        (None, "spare"),
    ]
    assert (job.status, job.token_fits, job.is_over) == ("running", True, False)
    (snapshot,) = job.snapshots
    assert (snapshot.host, snapshot.step) == ("node-3", 41)
    assert [(event["host"], event["event"]) for event in job.news] == [("node-3", "exit")]
    told = job.to_json()
    assert (told["step"], told["world_size"], told["members"][0]["rank"]) == (41, 2, 0)
    assert isinstance(told["agents"][agent]["workers"], list)


def test_without_the_token_only_the_store_speaks(store, agent):
    write(store, "a", "b")
    job = look(store, "job7", "wrong")
    assert (job.token_fits, job.snapshots) == (False, [])
    assert job.agents == {agent: "it answers to the job's token only"}
    assert job.to_json()["step"] is None


def test_an_agent_that_is_gone_is_silent(store, agent):
    write(store, "a", "z")
    lost = Member("z", "127.0.0.1:9", "127.0.0.1:1")
    store.txn([], [Put(KEYS.members + "z", encode_member(lost))])
    said = look(store, "job7", "secret").agents
    assert isinstance(said[agent], Snapshot)
    assert said["127.0.0.1:1"].startswith("silent (")


def test_a_job_that_waits_is_done_or_has_failed(store):
    assert look(store, "job7", "secret").status == "waiting"
    write(store)
    assert look(store, "job7", "secret").status == "waiting"
    write(store, "a", status="done", result={"steps": 9})
    assert look(store, "job7", "secret").is_over
    write(store, "a", status="failed")
    store.txn([], [Put(KEYS.failures + "step-3", b"Traceback")])
    job = look(store, "job7", "secret")
    assert (job.status, job.failures) == ("failed", {"step-3": "Traceback"})


def test_a_job_whose_agents_died_together_is_gone(store):
    write(store, "a", "b")
    store.txn([], [Delete(KEYS.members, prefix=True)])
    job = look(store, "job7", "secret")
    assert (job.status, job.is_over) == ("gone", False)


def test_keys_of_another_version_are_said(store):
    store.txn([], [Put(KEYS.record, b"[]")])
    with pytest.raises(ConfigError, match="use the status command of that version"):
        look(store, "job7", "secret")


def test_a_job_that_is_not_known(store):
    with pytest.raises(UnknownJob, match="knows no job 'other'"):
        look(store, "other", "secret")
