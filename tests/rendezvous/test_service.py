"""The real service over the store in memory: two or three agents in one process, no sleeps."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from elastic.errors import AuthError, ConfigError, StoreUnavailable
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.record import DONE, FAILED, Keys, Record
from elastic.rendezvous.service import Rendezvous, Site, forget_job
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.store import Put
from elastic.world import Member

TIMEOUT_S = 10.0


class Agent:
    """A service, and what it delivered."""

    def __init__(self, store: MemoryStore, name: str, settings: Settings, token: str = "secret"):
        self.name = name
        self.delivered: queue.Queue[Any] = queue.Queue()
        self.dead: set[str] = set()
        site = Site("job", name, token=token)
        self.service = Rendezvous(store, site, settings, self.delivered.put, self.probe)

    def probe(self, command: do.Probe) -> ev.Verdict:
        dead = command.member.id in self.dead
        return ev.Verdict(command.generation, command.member.id, command.by, dead, "probed")

    def ready(self, *ids: str) -> None:
        members = tuple(Member(id, f"{id}:1", self.name) for id in ids)
        self.service.post(ev.WorkersReady(members))

    def next(self, kind: type) -> Any:
        """The next command of this kind; others before it are dropped."""
        while True:
            command = self.delivered.get(timeout=TIMEOUT_S)
            if isinstance(command, kind):
                return command

    def group(self) -> tuple[int, tuple[str, ...]]:
        record = self.next(do.TellGroup).record
        return record.generation, record.ids


@contextmanager
def agents(*names: str, settings: Settings | None = None) -> Iterator[tuple[Any, ...]]:
    store = MemoryStore()
    crew = [Agent(store, name, settings or Settings()) for name in names]
    for agent in crew:
        agent.service.start()
    try:
        yield (store, *crew)
    finally:
        for agent in crew:
            agent.service.close()


def record(store: MemoryStore) -> Record:
    return Record.decode(store.range(Keys("job").record).items[0].value)


def members(store: MemoryStore) -> list[str]:
    keys = Keys("job")
    items = store.range(keys.members, prefix=True).items
    return [item.key.removeprefix(keys.members) for item in items]


def test_agents_form_a_group_of_the_minimum():
    """PROTOCOL M2."""
    with agents("X", "Y", settings=Settings(min_workers=2)) as (store, x, y):
        x.ready("x1")
        assert "1 of at least 2" in x.next(do.Say).text
        y.ready("y1")
        told = x.next(do.TellGroup)
        assert told.record.ids == ("x1", "y1")
        assert told.members[1] == Member("y1", "y1:1", "Y")
        assert not told.paused
        assert y.group() == (1, ("x1", "y1"))
        assert record(store).generation == 1


def test_an_exit_shrinks_the_group_in_one_transaction():
    """PROTOCOL M3, M4: proof is proposed at once; the key goes with the record."""
    with agents("X", "Y", settings=Settings(min_workers=2)) as (store, x, y):
        x.ready("x1", "x2")
        assert x.group() == (1, ("x1", "x2"))
        x.service.post(ev.WorkerExited("x2", "killed by SIGKILL"))
        told = x.next(do.TellGroup)
        assert (told.record.lost, told.paused) == (("x2",), True)
        assert members(store) == ["x1"]
        y.ready("y1")  # below the minimum no boundary is waited for
        assert y.group() == (3, ("x1", "y1"))


def test_a_suspect_is_probed_and_the_living_keep_their_order():
    """PROTOCOL M5, M6."""
    with agents("X", "Y", "Z", settings=Settings(min_workers=3)) as (_, x, y, z):
        for agent, id in ((x, "x1"), (y, "y1"), (z, "z1")):
            agent.ready(id)
            agent.next(do.Say if agent is not z else do.TellGroup)
        y.next(do.TellGroup)
        y.dead.add("x1")
        y.service.post(ev.Suspected(1, "x1", "y1", "broke the connection"))
        assert y.group() == (2, ("y1", "z1"))
        assert z.group() == (2, ("y1", "z1"))


def test_newcomers_are_told_and_enter_at_a_boundary():
    """PROTOCOL M3, S4."""
    with agents("X", "Y") as (_, x, y):
        x.ready("x1")
        assert x.group() == (1, ("x1",))
        y.ready("y1")
        candidates = x.next(do.TellCandidates).candidates
        assert [candidate.id for candidate in candidates] == ["y1"]
        x.service.post(ev.BoundaryReached(1, 7, candidates, ()))
        assert x.next(do.TellGroup).record.planned
        assert y.group() == (2, ("x1", "y1"))


def test_a_member_leaves_at_a_boundary_and_its_key_goes():
    """PROTOCOL S4."""
    with agents("X") as (store, x):
        x.ready("x1", "x2")
        x.next(do.TellGroup)
        x.service.post(ev.LeaveAsked("SIGTERM"))
        x.service.post(ev.BoundaryReached(1, 3, (), ("x2",)))
        told = x.next(do.TellGroup)
        assert (told.record.ids, told.ids) == (("x1",), ("x1", "x2"))
        assert members(store) == ["x1"]


def test_done_is_told_to_all_and_to_whoever_comes_late():
    """PROTOCOL M10."""
    with agents("X", "Y") as (store, x, y):
        x.ready("x1")
        x.next(do.TellGroup)
        x.service.post(ev.WorkersFinished(1, {"steps": 8, "digest": "00"}))
        assert x.next(do.TellOver).result == {"steps": 8, "digest": "00"}
        assert y.next(do.TellOver).result == {"steps": 8, "digest": "00"}
        assert record(store).status == DONE
        late = Agent(store, "L", Settings())
        late.service.start()
        assert late.next(do.TellOver).result == {"steps": 8, "digest": "00"}
        late.service.close()


def test_the_second_failure_at_one_place_fails_the_job():
    """PROTOCOL S7."""
    with agents("X", "Y") as (store, x, y):
        x.ready("x1")
        x.next(do.TellGroup)
        x.service.note_failure("step 3 micro-batch 1", "Traceback: one")
        y.service.note_failure("step 3 micro-batch 1", "Traceback: two")
        for agent in (x, y):
            over = agent.next(do.TellOver)
            assert over.result is None
            assert "failed twice at step 3 micro-batch 1" in over.cause
        assert record(store).status == FAILED


def test_a_lease_that_ran_out_is_taken_anew_and_nobody_is_lost():
    """PROTOCOL M8: the key comes back; its absence was a suspicion that the probe denies."""
    with agents("X", "Y", settings=Settings(min_workers=2)) as (store, x, y):
        x.ready("x1")
        x.next(do.Say)
        y.ready("y1")
        assert x.group() == (1, ("x1", "y1"))
        back = queue.Queue()
        revision = store.range(Keys("job").record).revision
        watch = store.watch(Keys("job").members + "x1", False, revision + 1, back.put)
        store.expire(x.service._lease.id)
        assert back.get(timeout=TIMEOUT_S).deletes
        assert back.get(timeout=TIMEOUT_S).puts
        watch.close()
        x.service.post(ev.WorkersFinished(1, {"steps": 1}))  # the group is still generation 1
        assert y.next(do.TellOver).result == {"steps": 1}


def test_another_ca_is_refused():
    """PROTOCOL P3: who trusts others than the job does would break every connection."""
    site = Site("job", "S", token="secret", tls="sha256:of another")
    with agents("X") as (store, _):
        stranger = Rendezvous(store, site, Settings(), print, print)
        with pytest.raises(AuthError, match="begun with another --tls-ca, or one of us without"):
            stranger.start()


def test_another_token_is_refused():
    """PROTOCOL P3: the store holds an HMAC, never the token."""
    with agents("X") as (store, _):
        stranger = Agent(store, "S", Settings(), token="other")
        with pytest.raises(AuthError, match=r"begun with another token.*--token-file"):
            stranger.service.start()
        stranger.service.close()
        values = b" ".join(item.value for item in store.range("", prefix=True).items)
        assert b"secret" not in values


@pytest.mark.parametrize("done", [True, False])
def test_a_token_whose_writing_got_no_answer_counts_if_it_is_there(done):
    """PROTOCOL P3: an agent that starts while the store is slow is not turned away for it."""

    class Slow(MemoryStore):
        def txn(self, *arguments: Any) -> Any:
            if done:
                super().txn(*arguments)
            raise StoreUnavailable("no answer")

    agent = Agent(Slow(), "X", Settings())
    if done:
        agent.service.start()
    else:
        with pytest.raises(StoreUnavailable, match="no answer"):
            agent.service.start()
    agent.service.close()


def test_a_silent_store_is_an_error_at_the_start():
    store = MemoryStore()
    agent = Agent(store, "X", Settings())
    store.close()
    with pytest.raises(StoreUnavailable):
        agent.service.start()
    agent.service.close()


def test_what_is_not_ours_in_the_store_is_named_by_all_who_read_it():
    """An agent whose rendezvous has ended must not wait for it for ever."""
    with agents("X") as (store, x):
        x.ready("x1")
        x.next(do.TellGroup)
        store.txn([], [Put(Keys("job").members + "z", b"garbage")])
        over = x.next(do.TellOver)
        assert over.result is None
        assert "members/z" in over.cause
        assert "--rdzv-id" in over.cause
        late = Agent(store, "L", Settings())
        with pytest.raises(ConfigError, match="members/z"):
            late.service.start()
        late.service.close()


def test_close_gives_up_the_lease():
    with agents("X") as (store, x):
        x.ready("x1")
        x.next(do.TellGroup)
        assert members(store) == ["x1"]
        x.service.close()
        assert members(store) == []


def test_only_a_job_without_members_is_forgotten():
    with agents("X") as (store, x):
        x.ready("x1")
        x.next(do.TellGroup)
        assert not forget_job(store, "job")
        x.service.close()
        assert forget_job(store, "job")
        assert not store.range(Keys("job").prefix, prefix=True).items
