"""`--chaos`: one seed, one plan; and what cannot be read is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from elastic.agent.chaos import DEFAULT_RATES, LONGEST_S, Chaos, read
from elastic.errors import ConfigError


def plan(chaos, steps=2000):
    return [fault for step in range(1, steps) if (fault := chaos.after(step))]


def test_a_seed_is_a_plan():
    """The same in every process: nothing of it depends on the hashes of texts, or on a clock."""
    assert plan(read("7")) == plan(read("7"))
    assert plan(read("7")) != plan(read("8"))
    first = read("7,kill=0.1").after(6)
    assert first is not None
    assert (first.kind, round(first.whom, 3), round(first.duration_s, 3)) == ("kill", 0.685, 1.606)


def test_what_follows_a_step_does_not_hang_on_the_steps_before():
    chaos = read("7,kill=0.5")
    assert [chaos.after(step) for step in (9, 3)] == [chaos.after(step) for step in (3, 9)][::-1]


def test_each_kind_comes_as_often_as_asked():
    counts = Counter(fault.kind for fault in plan(read("1,kill=0.2,stop=0.1,join=0.05"), 10_000))
    assert counts["kill"] == pytest.approx(2000, rel=0.1)
    assert counts["stop"] == pytest.approx(1000, rel=0.1)
    assert counts["join"] == pytest.approx(500, rel=0.15)
    assert set(counts) == {"kill", "stop", "join"}


def test_by_default_all_kinds_happen():
    assert {fault.kind for fault in plan(read("3"))} == set(DEFAULT_RATES)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_fault_is_meant_for_a_rank_that_there_is(size):
    faults = plan(read("2,stop=1"))
    assert {fault.rank(size) for fault in faults} == set(range(size))
    assert all(0 <= fault.duration_s <= LONGEST_S and 0 <= fault.when < 1 for fault in faults)


def test_a_rate_of_one_is_a_fault_a_step():
    assert len(plan(Chaos(5, {"kill": 1.0}), steps=51)) == 50


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "with a whole number as seed, got ''"),
        ("kill=0.1", "with a whole number as seed, got 'kill=0.1'"),
        ("-3", "with a whole number as seed, got '-3'"),
        ("7,", "got '', which is no fault"),
        ("7,burn=0.1", "got 'burn', which is no fault"),
        ("7,kill=0.1,kill=0.2", "got 'kill', twice"),
        ("7,kill", "expects for kind kill the share of steps"),
        ("7,kill=often", "expects for kind kill the share of steps"),
        ("7,kill=nan", "got 'nan'"),
        ("7,kill=1.5", "from 0 to 1, got '1.5'"),
        ("7,kill=-0.1", "from 0 to 1, got '-0.1'"),
        ("7,kill=0.8,stop=0.3", "expects rates with a sum of at most 1, got 1.1"),
    ],
)
def test_what_cannot_be_read_is_refused(text, complaint):
    with pytest.raises(ConfigError, match="expects") as refusal:
        read(text)
    assert complaint in str(refusal.value)
