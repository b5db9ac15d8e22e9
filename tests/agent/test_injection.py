"""What `--chaos` does to the workers of one agent, and what it leaves alone."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import pytest

from elastic import control
from elastic.agent.chaos import Chaos
from elastic.agent.injection import Actions, Injector
from elastic.agent.settings import AgentSettings
from elastic.world import Member, World


@dataclass(eq=False)
class FakeWorker:
    """A worker that keeps what was done to it."""

    local_rank: int
    exit: str | None = None
    signals: list[int] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.pid = 100 + self.local_rank
        self.signal, self.kill = self.signals.append, self.kills.append


class Bench:
    """An injector, its workers, and timers that fire at once."""

    def __init__(self, kind="kill", workers=3, others=(), **settings):
        self.over = False
        self.sent, self.spawned, self.told, self.timers = [], [], [], []
        settings = AgentSettings("x", chaos=Chaos(7, {kind: 1.0}), nproc=workers, **settings)
        self.workers = {f"m{rank}": FakeWorker(rank) for rank in range(workers)}
        self.group = World(1, tuple(Member(id) for id in (*self.workers, *others)))
        self.taken = {worker.local_rank for worker in self.workers.values()}
        actions = Actions(
            lambda seconds, act: self.timers.append((seconds, act)),
            lambda worker, message: self.sent.append((worker, message)),
            self.spawned.append,
            lambda: self.taken,
            lambda: self.over,
            self.told.append,
        )
        self.injector = Injector(settings, actions)

    def commit(self, *steps):
        for step in steps:
            self.injector.committed(step, 100.0 + step, self.group, self.workers)
            self.fire()

    def fire(self):
        timers, self.timers = self.timers, []
        for _, act in timers:
            act()

    @property
    def killed(self):
        return [id for id, worker in self.workers.items() if worker.kills]


def test_without_a_plan_nothing_happens():
    bench = Bench()
    bench.injector = Injector(AgentSettings("x"), bench.injector._act)
    bench.commit(1, 2, 3)
    assert not bench.told
    assert str(bench.injector) == ""


def test_a_kill_is_told_with_seed_step_and_rank():
    bench = Bench("kill")
    bench.commit(1)
    (told,) = bench.told
    (id,) = bench.killed
    worker = bench.workers[id]
    assert worker.kills == ["chaos 7, after step 1"]
    rank = worker.local_rank
    assert told == {"seed": 7, "step": 1, "fault": "kill", "rank": rank, "pid": 100 + rank}
    assert bench.injector.took(worker) == "kill"
    assert bench.injector.took(worker) == "", "once"
    assert str(bench.injector) == "chaos 7 made 1 kill"


def test_a_step_that_is_told_again_has_no_second_fault():
    """Each worker tells of it; and after a resume the same steps come again."""
    bench = Bench("kill", workers=8)
    bench.commit(3, 3, 2, 1)
    assert len(bench.killed) == 1


def test_the_last_member_is_spared():
    """It alone holds State."""
    bench = Bench("kill", workers=3)
    bench.commit(*range(1, 30))
    assert len(bench.killed) == 2


def test_one_that_is_elsewhere_is_for_its_own_agent():
    bench = Bench("kill", workers=1, others=tuple(f"far{rank}" for rank in range(63)))
    bench.commit(1)
    assert not bench.told


def test_one_that_is_gone_by_then_is_not_struck():
    bench = Bench("kill")
    bench.injector.committed(1, 100.0, bench.group, bench.workers)
    for worker in bench.workers.values():
        worker.exit = "gone"
    bench.fire()
    assert not bench.told


def test_a_fault_that_comes_after_the_end_is_not_made():
    """A worker that joins when all is over would wait for ever."""
    bench = Bench("join", workers=2)
    bench.injector.committed(1, 100.0, bench.group, bench.workers)
    bench.over = True
    bench.fire()
    assert not bench.spawned


def test_it_strikes_within_the_step_that_follows():
    bench = Bench("kill")
    bench.injector.committed(1, 100.0, bench.group, bench.workers)
    bench.injector.committed(2, 100.4, bench.group, bench.workers)
    bench.injector.committed(3, 160.0, bench.group, bench.workers)
    (first, _), (second, _), (third, _) = bench.timers
    assert first == 0.0
    assert 0 < second < 0.4
    assert 0 < third < 1.0, "also after a long pause"


def test_a_stop_ends_by_itself():
    bench = Bench("stop")
    bench.commit(1)
    (worker,) = [worker for worker in bench.workers.values() if worker.signals]
    assert worker.signals == [signal.SIGSTOP]
    assert bench.timers[0][0] == pytest.approx(bench.told[0]["duration_s"], abs=1e-3)
    bench.fire()
    assert worker.signals == [signal.SIGSTOP, signal.SIGCONT]


def test_a_partition_is_asked_of_the_worker():
    """Who needs no root for it: its own transport refuses for a while."""
    bench = Bench("partition")
    bench.commit(1)
    ((_, message),) = bench.sent
    assert isinstance(message, control.CutOff)
    assert bench.told[0]["duration_s"] == pytest.approx(message.duration_s, abs=1e-3)


def test_a_worker_leaves_and_the_last_of_an_agent_stays():
    """An agent without a worker would end."""
    bench = Bench("leave", workers=3, others=("far",))
    bench.commit(*range(1, 40))
    asked = [worker for worker, _ in bench.sent]
    assert len(asked) == 2
    message = bench.sent[0][1]
    assert isinstance(message, control.LeaveRequest)
    assert bench.workers[message.ids[0]] is asked[0]
    assert bench.injector.took(asked[0]) == "leave"


def test_nobody_leaves_below_the_minimum():
    bench = Bench("leave", workers=4, min_workers=3)
    bench.commit(*range(1, 40))
    assert len(bench.sent) == 1


def test_a_worker_more_takes_a_free_place_up_to_twice_as_many():
    bench = Bench("join", workers=2)
    bench.taken = {0, 2}
    bench.commit(1)
    assert bench.spawned == [1]
    assert bench.told == [{"seed": 7, "step": 1, "fault": "join"}]
    bench.taken = {0, 1, 2, 3}
    bench.commit(2)
    assert len(bench.spawned) == 1
