"""What an agent knows of its run: fed by hand, times are given."""

from __future__ import annotations

import json

import pytest

from elastic.agent.board import Board, Snapshot
from elastic.control import Committed, Group
from elastic.telemetry.account import Account
from elastic.telemetry.recovery import Recovery
from elastic.wire import from_json, to_json
from elastic.world import Member

RECOVERY = Recovery(5, "m2 was killed", ("m2",), 0.1, 0.2, 0.3, 0.4, 1.0)


def who(local_rank, rank=None):
    rank = local_rank if rank is None else rank
    return {"worker": f"m{rank}", "local_rank": local_rank, "pid": 70 + local_rank, "rank": rank}


def group(size, generation=1, **more):
    return Group(generation, tuple(Member(f"m{n}") for n in range(size)), "why", **more)


def timing(steps=2, seconds=4.0, late_s=0.0):
    account = Account()
    account.take(100.0)
    account.round("step 1", 10, 20, 101.0, 102.0, {1: 101.0 + late_s})
    for _ in range(steps):
        account.reduced(0.5, 0.25, {0: (4, 1.0), 1: (4, 1.0)})
        account.applied(0.125)
    return to_json(account.take(100.0 + seconds))


@pytest.fixture
def board():
    board = Board("job7", "node-3")
    for local_rank in (0, 1):
        board.event("start", 0.0, who(local_rank) | {"rank": None})
    board.grouped(group(2))
    return board


def train(board, first=1, last=21, every_s=0.5):
    for step in range(first, last):
        for local_rank in (0, 1):
            told = Committed(step, 100 + every_s * step, {"loss": 1 / step})
            board.committed(told, local_rank)


def test_before_anything_has_happened():
    now = Board("job7", "node-3").snapshot(50.0)
    assert (now.state, now.healthy, now.step, now.steps_per_s) == ("starting", True, 0, None)
    assert (now.step_age_s, now.goodput, now.workers) == (None, 1.0, ())


def test_the_states_of_a_run(board):
    def state():
        return board.snapshot(1.0).state

    assert state() == "training"
    board.grouped(group(1, 2, paused=True))
    assert state() == "waiting"
    board.grouped(group(2, 3))
    assert state() == "training"
    board.event("leave-asked", 0.0, {"reason": "SIGTERM"})
    board.grouped(group(1, 4))
    assert state() == "leaving"
    board.event("over", 0.0, {"status": "failed", "cause": "a bug"})
    now = board.snapshot(1.0)
    assert (now.state, now.cause, now.healthy) == ("failed", "a bug", False)


def test_the_workers_of_a_host_are_one_voice(board):
    train(board)
    now = board.snapshot(110.0)
    assert (now.step, now.metrics, now.steps_per_s) == (20, {"loss": 0.05}, 2.0)
    assert [view.step for view in now.workers] == [20, 20]
    assert board.counts()["steps", ()] == 20


def test_the_rate_is_of_late_and_sinks_when_no_step_comes(board):
    train(board, 1, 11, every_s=100.0)
    assert board.snapshot(1100.0).steps_per_s == 0.01  # slower than the window
    train(board, 1001, 1101, every_s=1.0)
    assert board.snapshot(1200.0).steps_per_s == pytest.approx(1.0, rel=0.01)
    assert board.snapshot(2200.0).steps_per_s < 0.02
    assert board.snapshot(2200.0).step_age_s == pytest.approx(1000, rel=0.01)


def test_goodput_counts_the_slowest_account_of_each_recovery(board):
    train(board)
    board.recovered(RECOVERY)
    board.recovered(Recovery(5, "m2 was killed", ("m2",), 0.1, 0.2, 0.3, 0.3, 0.95))
    now = board.snapshot(110.0)
    assert (now.recoveries, now.last_recovery["total_s"]) == (1, 1.0)
    assert now.goodput == pytest.approx(1 - 1.0 / 9.5)


def test_an_agent_whose_loop_hangs_is_not_healthy(board):
    board.beat(100.0)
    assert board.snapshot(105.0).healthy
    assert not board.snapshot(111.0).healthy


def test_a_worker_that_is_started_again_begins_anew(board):
    train(board)
    board.event("exit", 0.0, who(1) | {"reason": "killed by SIGKILL", "how": "SIGKILL"})
    board.event("restart", 0.0, {"local_rank": 1, "delay_s": 0.5})
    assert [view.local_rank for view in board.snapshot(110.0).workers] == [0]
    board.event("start", 0.0, who(1) | {"pid": 99})
    now = board.snapshot(110.0)
    assert [(view.pid, view.step) for view in now.workers] == [(70, 20), (99, 0)]
    assert now.restarts == 1
    assert board.counts()["worker_exits", (("how", "SIGKILL"),)] == 1


def test_timings_become_means_and_counters(board):
    board.event("timing", 0.0, who(0) | timing())
    view = board.snapshot(110.0).workers[0]
    assert (view.step_s, view.compute_s, view.reduce_s, view.update_s) == (2.0, 0.25, 0.5, 0.125)
    where = (("collective", "reduce"), ("local_rank", "0"))
    assert board.counts()["collective_sent_bytes", where] == 10
    assert board.counts()["step_phase_seconds", (("local_rank", "0"), ("phase", "reduce"))] == 1.0


def test_a_straggler_stands_until_its_accuser_sees_no_more_of_it(board):
    late = {"accused_rank": 1, "accused": "m1", "text": "rank 1 is late", "late_s": 1.0}
    board.event("timing", 0.0, who(0) | timing())
    board.event("straggler", 0.0, who(0) | late)
    board.event("timing", 0.0, who(1) | timing())
    assert board.snapshot(110.0).stragglers == {"1": "rank 1 is late"}
    board.event("timing", 0.0, who(0) | timing())
    assert board.snapshot(110.0).stragglers == {}


def test_news_is_brief_and_without_routine(board):
    for number in range(50):
        board.event("abort", float(number), who(0) | {"reason": "x" * 5000, "peer": None})
        board.event("step", 0.0, {"step": number})
    events = board.snapshot(1.0).events
    assert [event["event"] for event in events] == ["abort"] * 20
    assert events[-1]["t"] == 49.0
    assert len(json.dumps(events)) < 20_000


def test_a_snapshot_travels_as_json(board):
    train(board)
    board.recovered(RECOVERY)
    now = board.snapshot(110.0)
    assert from_json(Snapshot, json.loads(json.dumps(to_json(now)))) == now
