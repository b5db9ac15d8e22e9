"""The restart policy: a table, since it is pure."""

from __future__ import annotations

from elastic.agent.restart import RestartPolicy, Restarts, after_exit, after_success

POLICY = RestartPolicy(max_restarts=10)


def exits(restarts, *ranks):
    delays = []
    for rank in ranks:
        restarts, verdict = after_exit(restarts, rank, POLICY)
        delays.append(verdict.delay_s)
    return restarts, delays


def test_the_delay_doubles_up_to_its_bound():
    _, delays = exits(Restarts(), *[0] * 8)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_workers_that_die_together_do_not_wait_for_each_other():
    _, delays = exits(Restarts(), 0, 1, 2, 0)
    assert delays == [0.5, 0.5, 0.5, 1]


def test_a_success_starts_the_back_off_anew_but_gives_no_restart_back():
    restarts, _ = exits(Restarts(), 0, 0, 0, 1)
    restarts = after_success(restarts, 0)
    assert restarts == Restarts(used=4, streaks={1: 1})
    _, delays = exits(restarts, 0, 1)
    assert delays == [0.5, 1]


def test_every_worker_counts_against_the_one_allowance():
    restarts, _ = exits(Restarts(), *range(10))
    after, verdict = after_exit(restarts, 0, POLICY)
    assert after == restarts
    assert verdict.delay_s is None
    assert verdict.reason == "all 10 restarts of this agent are used (--max-restarts)"


def test_none_are_allowed_where_none_are_wanted():
    _, verdict = after_exit(Restarts(), 0, RestartPolicy(max_restarts=0))
    assert verdict.delay_s is None


def test_the_verdict_has_its_reason():
    _, verdict = after_exit(Restarts(used=2), 0, POLICY)
    assert verdict.reason == "restart 3 of 10, after 0.5 s"


def test_a_very_long_streak_is_no_overflow():
    _, verdict = after_exit(Restarts(0, {0: 5000}), 0, POLICY)
    assert verdict.delay_s == 30
