"""Workers that do not die but do nothing: hung in user code, or stopped (PROTOCOL S8)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import Agent, Jobs
from tests.e2e.test_same_bits import ended_well
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e

Undisturbed = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("place", ["train_step", pytest.param("on_epoch", marks=pytest.mark.soak)])
def test_a_worker_that_hangs_is_replaced(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path, place: str
) -> None:
    """S8: its stacks go to its log, and the report says where it hung; the others only wait."""
    hang = f"--hang={place}:25:1:{tmp_path}/hung"
    flags = ("--nproc-per-node=3", "--step-timeout=4", f"--log-dir={tmp_path}/logs")
    agent = jobs.start(*flags, args=(hang,))
    pids = agent.group(3)
    ended_well(agent, undisturbed())
    lost = agent.report["recoveries"][0]
    assert f"hung in {place} (step 25" in lost["cause"]
    assert "train_all.py" in lost["cause"], "the line where it hung"
    (log,) = (tmp_path / "logs").glob(f"*-{pids[1]}.log")
    assert "in hang" in log.read_text(), "the stacks"
    assert [len(each["lost"]) for each in agent.report["recoveries"]] == [1]


def test_the_sleeper_is_fenced_and_returns(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S8, M6: stopped for a second, it is out; on SIGCONT it returns as a newcomer, no restart."""
    hold = f"--hold=20:{tmp_path}/stopped", f"--hold=40:{tmp_path}/returned"
    agent = jobs.start("--nproc-per-node=3", args=(*hold, "--pace=0.005"))
    before = agent.group(3)
    agent.wait_for_step(19)
    os.kill(before[0], signal.SIGSTOP)
    (tmp_path / "stopped").touch()
    after = agent.group(2)
    assert after == {0: before[1], 1: before[2]}
    agent.wait_for_step(39)
    os.kill(before[0], signal.SIGCONT)
    told = agent.all("fenced")[0]["generation"]
    agent.wait_for(lambda e: e["event"] == "readmitted", "its awakening")
    (tmp_path / "returned").touch()
    again = agent.group(3, after=told)
    assert again[2] == before[0], "the same process, now the least tenured"
    ended_well(agent, undisturbed())
    assert agent.report["world_sizes"] == [3, 2, 3]
    assert not agent.all("exit")[:-3], "nobody died before the end"


def test_when_all_are_stopped_nobody_is_lost(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S8: if nobody of a group runs, nobody waits, and what they hold in memory is kept."""
    hold = f"--hold=20:{tmp_path}/go"
    agent = jobs.start("--nproc-per-node=2", args=(hold,))
    pids = agent.group(2).values()
    agent.wait_for_step(19)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    _let_pass(agent, 2.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    ended_well(agent, undisturbed())
    assert not agent.all("fenced") or agent.report["world_sizes"][0] == 2
    assert "resume" not in {next(iter(line)) for line in agent.audit}


def test_an_agent_that_stands_still(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M6, M8: its lease runs out, its workers train on; it writes their keys again."""
    hold = (f"--hold=20:{tmp_path}/go", f"--hold=55:{tmp_path}/end")
    first = jobs.start("--nproc-per-node=1", "--lease-ttl=2", args=hold, store=etcd.endpoint)
    first.wait_for_step(19)
    second = jobs.start("--nproc-per-node=1", "--lease-ttl=2", args=hold, store=etcd.endpoint)
    second.wait_for(lambda e: e["event"] == "ready", "a newcomer")
    (tmp_path / "go").touch()
    first.group(2, here=1)
    second.process.send_signal(signal.SIGSTOP)
    first.wait_for_step(54)
    _let_pass(first, 3.0)
    second.process.send_signal(signal.SIGCONT)
    (tmp_path / "end").touch()
    for agent in (first, second):
        ended_well(agent, undisturbed())
    assert first.report["world_sizes"] == [1, 2]


def _let_pass(agent: Agent, seconds: float) -> None:
    """Nothing happens, and that is what is looked at: there is no event to wait for."""
    signal.sigtimedwait([], seconds)
    assert agent.process.poll() is None, agent.output
