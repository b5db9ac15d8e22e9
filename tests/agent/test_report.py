"""The report of a run: its numbers, and a file that is whole or not there."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from elastic.agent.report import RunReport, recovery_in, write_report
from elastic.telemetry.recovery import Recovery

RECOVERY = Recovery(5, "m2 was killed by SIGKILL", ("m2",), 0.01, 0.02, 0.03, 0.04, 0.1)
AS_JSON = {**dataclasses.asdict(RECOVERY), "lost": ["m2"]}
RESULT = {"steps": 10, "digest": "ab", "state_digest": "cd", "metrics": {"loss": 0.1}}


def test_the_whole_story():
    report = RunReport()
    report.grouped(4, t=100.0)
    report.grouped(3, t=105.0)
    assert report.recovered(RECOVERY)
    assert report.summary(RESULT, step=10, audit="ok", t=110.0) == {
        "steps": 10,
        "digest": "ab",
        "state_digest": "cd",
        "world_sizes": [4, 3],
        "recoveries": [AS_JSON],
        "goodput": pytest.approx(1 - 0.1 / 10),
        "audit": "ok",
    }


def test_a_run_that_ended_early_says_how_far_it_came():
    said = RunReport().summary(None, step=3, audit=None, t=5.0)
    assert (said["steps"], said["digest"], said["audit"]) == (3, None, None)


def test_a_run_without_a_group_lost_nothing():
    said = RunReport().summary(None, step=0, audit=None, t=5.0)
    assert (said["steps"], said["goodput"], said["recoveries"]) == (0, 1.0, [])


def test_who_came_late_reports_the_records_result():
    assert RunReport().summary({"steps": 40}, step=0, audit=None, t=5.0)["steps"] == 40


def test_of_all_workers_accounts_the_slowest_counts_and_the_first_is_news():
    report = RunReport()
    slower = dataclasses.replace(RECOVERY, sync_s=0.13, total_s=0.2)
    another = dataclasses.replace(RECOVERY, step=7)
    news = [report.recovered(each) for each in (RECOVERY, slower, RECOVERY, another)]
    assert news == [True, False, False, True]
    said = report.summary(None, step=0, audit=None, t=5.0)
    assert [each["total_s"] for each in said["recoveries"]] == [0.2, 0.1]


def test_a_recovery_is_read_out_of_its_event():
    assert recovery_in({**AS_JSON, "worker": "m1", "rank": 0}) == RECOVERY
    assert recovery_in({**AS_JSON, "total_s": "soon"}) is None
    assert recovery_in({"step": 5}) is None


class TestFile:
    def test_it_is_replaced_whole(self, tmp_path):
        path = tmp_path / "report.json"
        path.write_text("an older one")
        write_report(path, RESULT)
        assert json.loads(path.read_text()) == RESULT
        assert os.listdir(tmp_path) == ["report.json"]

    def test_a_link_stays_a_link(self, tmp_path):
        link = tmp_path / "latest"
        link.symlink_to("report.json")
        write_report(link, RESULT)
        assert link.is_symlink()
        assert json.loads((tmp_path / "report.json").read_text()) == RESULT

    def test_a_device_stays_a_device(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
            write_report(pipe, RESULT)
            assert json.loads(reader.read()) == RESULT
        assert pipe.is_fifo()

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_a_full_disk_leaves_the_older_one(self, tmp_path, monkeypatch, call):
        path = tmp_path / "report.json"
        path.write_text("an older one")

        def fail(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            write_report(path, RESULT)
        assert path.read_text() == "an older one"
        assert os.listdir(tmp_path) == ["report.json"]
