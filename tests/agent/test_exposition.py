"""The metrics, read by Prometheus' own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from elastic.agent.board import Board
from elastic.agent.exposition import METRICS, exposition
from elastic.control import Committed, Group
from elastic.telemetry.recovery import Recovery
from elastic.world import Member
from tests.agent.test_board import RECOVERY, timing, who


def families(board):
    return {each.name: each for each in text_string_to_metric_families(exposition(board).decode())}


@pytest.fixture
def board():
    board = Board("job7", 'a "quoted" host\n')
    board.event("start", 0.0, who(0))
    board.grouped(Group(3, (Member("m0"), Member("m1")), "why"))
    board.committed(Committed(5, 100.0, {"loss": 0.5, "accuracy": float("nan")}), 0)
    board.event("timing", 0.0, who(0) | timing(late_s=0.5))
    board.event("straggler", 0.0, who(0) | {"accused_rank": 1, "text": "rank 1", "late_s": 1.0})
    board.event("exit", 0.0, who(1) | {"how": "SIGSEGV"})
    for pid, count in ((7, 1), (7, 4), (8, 2)):
        refused = {"pid": pid, "door": "ping", "reason": "wrong token", "count": count}
        board.event("refused", 0.0, who(0) | refused)
    board.recovered(RECOVERY)
    board.recovered(Recovery(9, "m3 was killed", ("m3",), 0.0, 0.0, 0.01, 0.02, 0.03))
    return board


def test_every_metric_of_the_table_is_there_and_no_other(board):
    found = families(board)
    assert found.keys() == METRICS.keys()
    assert all(found[name].documentation == METRICS[name].help for name in METRICS)
    assert all(found[name].type == METRICS[name].kind for name in METRICS)
    assert all(each.samples for each in found.values())


def test_labels_are_those_of_the_table(board):
    found = families(board)
    for name, what in METRICS.items():
        for sample in found[name].samples:
            assert sample.labels.keys() - {"le"} == set(what.labels), name


def test_values(board):
    found = families(board)

    def value(family, **labels):
        return next(s.value for s in found[family].samples if s.labels == labels)

    assert value("elastic_step") == 5
    assert value("elastic_generation") == 3
    assert value("elastic_state", state="training") == 1
    assert value("elastic_training_metric", name="loss") == 0.5
    assert value("elastic_training_metric", name="accuracy") != 0.5  # nan
    assert value("elastic_recovery_phase_seconds", phase="sync") == pytest.approx(0.31)
    assert value("elastic_late_seconds", rank="1", local_rank="0") == 0.5
    assert value("elastic_worker_exits", how="SIGSEGV") == 1
    assert value("elastic_refused", door="ping", reason="wrong token") == 4 + 2


def test_recoveries_are_a_histogram(board):
    samples = families(board)["elastic_recovery_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if "le" in s.labels}
    assert (buckets["0.05"], buckets["0.5"], buckets["1.0"], buckets["+Inf"]) == (1, 1, 2, 2)
    assert next(s.value for s in samples if s.name.endswith("_sum")) == pytest.approx(1.03)


def test_an_agent_that_has_just_begun_has_metrics_too():
    assert families(Board("job7", "h"))["elastic_step"].samples[0].value == 0
