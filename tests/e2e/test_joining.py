"""PROTOCOL S9 with real processes: State is lent to newcomers while the group trains."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import Agent, Jobs
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e

SCRIPT = "train_wide.py"
NO_RESTART = "--max-restarts=0"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of an undisturbed run of one worker."""
    jobs = Jobs(tmp_path_factory.mktemp("alone"))
    agent = jobs.start("--nproc-per-node=1", script=SCRIPT, args=("--pace=0",))
    assert agent.wait() == 0, agent.output
    jobs.close()
    return agent.report


class Meeting:
    """A group of one agent that stands in step 10, and the agent of a ready newcomer."""

    def __init__(self, jobs: Jobs, etcd: EtcdServer, folder: Path, workers: int, *flags: str):
        self._go = folder / "go"
        hold = f"--hold=10:{self._go}"
        hooks = tuple(flag for flag in flags if flag.startswith("--hook"))
        many = (f"--nproc-per-node={workers}", NO_RESTART)
        self.group = jobs.start(*many, script=SCRIPT, args=(hold, *hooks), store=etcd.endpoint)
        self.group.wait_for_step(9)
        one = ("--nproc-per-node=1", NO_RESTART)
        args = (hold, *flags)
        self.newcomer = jobs.start(*one, script=SCRIPT, args=args, store=etcd.endpoint)
        self.pid = self.newcomer.wait_for(is_("ready"), "a newcomer")["pid"]

    def go(self) -> None:
        """Let the group train on."""
        self._go.touch()


def is_(kind: str) -> Any:
    return lambda event: event["event"] == kind


def ended_as(report: dict[str, Any], *agents: Agent) -> None:
    for agent in agents:
        assert agent.wait() == 0, agent.output
        assert agent.report["audit"] == "ok"
        assert agent.report["digest"] == report["digest"]
        assert agent.report["state_digest"] == report["state_digest"]


def test_a_newcomer_has_state_before_it_joins(
    jobs: Jobs, etcd: EtcdServer, tmp_path: Path, alone: dict[str, Any]
) -> None:
    """S9: from two members, each its share; steps are committed meanwhile; the bits are those."""
    meeting = Meeting(jobs, etcd, tmp_path, 2)
    meeting.go()
    ended_as(alone, meeting.group, meeting.newcomer)
    assert meeting.group.report["world_sizes"] == [2, 3]
    lent = meeting.group.all("lend")
    borrowed = meeting.newcomer.all("borrow")
    assert sorted(event["rank"] for event in lent) == [0, 1]
    assert [event["of"] for event in borrowed] == [lent[0]["step"]]
    joined = meeting.newcomer.all("sync")[0]
    assert joined["step"] > lent[0]["step"]
    assert not meeting.group.all("abort")


def test_hooks_that_leave_state_alone_do_not_keep_newcomers_waiting(
    jobs: Jobs, etcd: EtcdServer, tmp_path: Path, alone: dict[str, Any]
) -> None:
    """S9: results alone lead to State, also in a job with hooks."""
    meeting = Meeting(jobs, etcd, tmp_path, 2, "--hook=reads")
    meeting.go()
    ended_as(alone, meeting.group, meeting.newcomer)
    assert meeting.newcomer.all("sync")[0]["step"] > meeting.group.all("lend")[0]["step"]
    assert not meeting.group.all("abort")


def test_hooks_that_write_state_have_it_sent_at_the_boundary(
    jobs: Jobs, etcd: EtcdServer, tmp_path: Path
) -> None:
    """S9, S7: no result says what a hook wrote, also where it was not copied before."""
    alone = jobs.start("--nproc-per-node=1", script=SCRIPT, args=("--pace=0", "--hook=writes"))
    assert alone.wait() == 0, alone.output
    meeting = Meeting(jobs, etcd, tmp_path, 2, "--hook=writes")
    meeting.go()
    ended_as(alone.report, meeting.group, meeting.newcomer)
    assert meeting.group.report["world_sizes"] == [2, 3]
    assert not meeting.group.all("abort")


def test_a_newcomer_that_dies_while_it_receives_state_disturbs_nobody(
    jobs: Jobs, etcd: EtcdServer, tmp_path: Path, alone: dict[str, Any]
) -> None:
    """S9: its death changes nothing: no step is aborted, no generation formed."""
    meeting = Meeting(jobs, etcd, tmp_path, 2, f"--hold-load={tmp_path}/never")
    meeting.go()
    meeting.newcomer.wait_for_output("loading")
    os.kill(meeting.pid, signal.SIGKILL)
    ended_as(alone, meeting.group)
    assert meeting.newcomer.wait() != 0
    assert not meeting.group.all("abort")
    assert meeting.group.report["world_sizes"] == [2]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_donor_that_dies_while_a_newcomer_takes_its_state_keeps_nobody_out(
    jobs: Jobs, etcd: EtcdServer, tmp_path: Path, alone: dict[str, Any], rank: int
) -> None:
    """S9: the warm-up is void with its generation, and begins again in the next."""
    release = tmp_path / "release"
    meeting = Meeting(jobs, etcd, tmp_path, 2, f"--hold-load={release}")
    donors = meeting.group.group(2)
    meeting.go()
    meeting.newcomer.wait_for_output("loading")
    os.kill(donors[rank], signal.SIGKILL)
    meeting.group.group(1)
    release.touch()
    ended_as(alone, meeting.group, meeting.newcomer)
    assert meeting.group.report["world_sizes"] == [2, 1, 2]
