"""The report of a run: its numbers, and a file that is whole or not there."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from elastic.agent.report import RunReport, recovery_in
from elastic.control import Committed, Event, Finished, Ready
from elastic.telemetry.recovery import Recovery

RECOVERY = Recovery(5, "m2 was killed by SIGKILL", ("m2",), 0.01, 0.02, 0.03, 0.04, 0.1)


def told(recovery=RECOVERY, **more):
    """The event by which a worker tells of it, as it comes out of JSON."""
    fields = {**dataclasses.asdict(recovery), "lost": list(recovery.lost), **more}
    return Event("recovery", 9.0, fields)


@pytest.fixture
def report():
    """The report of four workers that lost one."""
    report = RunReport()
    report.grouped(4)
    for step in range(1, 11):
        report.observe(Committed(step, t=100.0 + step))
    report.grouped(3)
    report.observe(told())
    report.observe(
        Finished(2, {"steps": 10, "digest": "ab", "state_digest": "cd", "bits": "promised"})
    )
    report.injected({"seed": 7, "step": 4, "fault": "kill", "rank": 2, "pid": 99})
    report.audited("ok")
    return report


def test_the_whole_story(report):
    assert report.to_json() == {
        "steps": 10,
        "digest": "ab",
        "state_digest": "cd",
        "bits": "promised",
        "world_sizes": [4, 3],
        "recoveries": [{**dataclasses.asdict(RECOVERY), "lost": ["m2"]}],
        "goodput": pytest.approx(1 - 0.1 / 9),
        "audit": "ok",
        "chaos": [{"seed": 7, "step": 4, "fault": "kill", "rank": 2, "pid": 99}],
        "refused": {},
    }


def test_a_run_that_ended_early_says_how_far_it_came():
    report = RunReport()
    report.observe(Committed(3, t=5.0))
    report.observe(Committed(2, t=5.5))  # a slower worker of this host
    said = report.to_json()
    assert (said["steps"], said["digest"], said["audit"]) == (3, None, None)


def test_a_run_without_a_step_is_no_division_by_zero():
    said = RunReport().to_json()
    assert (said["steps"], said["goodput"], said["recoveries"]) == (0, 1.0, [])


def test_who_came_late_reports_the_records_result():
    report = RunReport()
    report.finished({"steps": 40, "digest": "ab"})
    assert report.to_json()["steps"] == 40


def test_of_all_workers_accounts_the_slowest_counts():
    report = RunReport()
    slower = dataclasses.replace(RECOVERY, sync_s=0.13, total_s=0.2)
    another = dataclasses.replace(RECOVERY, step=7)
    for recovery in (RECOVERY, slower, RECOVERY, another):
        report.observe(told(recovery))
    assert [each["total_s"] for each in report.to_json()["recoveries"]] == [0.2, 0.1]


def test_other_messages_say_nothing():
    report = RunReport()
    before = report.to_json()
    report.observe(Ready("127.0.0.1:5"))
    report.observe(Event("joined", 0.0, {"step": 5}))
    assert report.to_json() == before


def test_a_recovery_is_read_out_of_its_event():
    assert recovery_in(told(worker="m1", rank=0)) == RECOVERY
    assert recovery_in(Event("joined", 0.0)) is None
    assert recovery_in(told(total_s="soon")) is None
    assert recovery_in(Event("recovery", 0.0, {"step": 5})) is None


class TestFile:
    def test_it_is_replaced_whole(self, report, tmp_path):
        path = tmp_path / "report.json"
        path.write_text("an older one")
        report.write(path)
        assert json.loads(path.read_text()) == report.to_json()
        assert os.listdir(tmp_path) == ["report.json"]

    def test_a_link_stays_a_link(self, report, tmp_path):
        link = tmp_path / "latest"
        link.symlink_to("report.json")
        report.write(link)
        assert link.is_symlink()
        assert json.loads((tmp_path / "report.json").read_text())["steps"] == 10

    def test_a_device_stays_a_device(self, report, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
            report.write(pipe)
            assert json.loads(reader.read())["steps"] == 10
        assert pipe.is_fifo()

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_a_full_disk_leaves_the_older_one(self, report, tmp_path, monkeypatch, call):
        path = tmp_path / "report.json"
        path.write_text("an older one")

        def fail(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            report.write(path)
        assert path.read_text() == "an older one"
        assert os.listdir(tmp_path) == ["report.json"]


def test_refusals_are_summed_over_processes(report):
    """P3: each process tells its counts so far."""
    for pid, count in [(1, 1), (1, 4), (1, 2), (2, 8)]:
        fields = {"pid": pid, "door": "ping", "reason": "no proof", "count": count}
        report.observe(Event("refused", 0.0, fields))
    assert report.to_json()["refused"] == {"ping: no proof": 12}
