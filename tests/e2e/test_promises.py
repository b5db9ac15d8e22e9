"""Promises besides the bits: the store off the step path, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from elastic.telemetry.catalog import ALWAYS, EVENTS, WHO
from tests.e2e.job import Jobs
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e


def requests(endpoint: str) -> dict[str, float]:
    """Return etcd's own count of the requests that it has begun, by method."""
    with urllib.request.urlopen(f"http://{endpoint}/metrics") as answer:
        text = answer.read().decode()
    pattern = r'^grpc_server_started_total\{grpc_method="(\w+)".*\} (\S+)$'
    return {name: float(count) for name, count in re.findall(pattern, text, re.M)}


def test_a_step_makes_no_call_to_the_store(etcd: EtcdServer, jobs: Jobs) -> None:
    """Design, promise 4: 1,000 steps leave etcd's counters as they were.

    All but the keep-alives of one lease, and a safety re-list each ten seconds.
    """
    args = ("--epochs=2000",)
    agent = jobs.start("--nproc-per-node=2", args=args, store=etcd.endpoint)
    agent.wait_for_step(30)
    before, start = requests(etcd.endpoint), time.monotonic()
    agent.wait_for_step(1030)
    after, seconds = requests(etcd.endpoint), time.monotonic() - start
    allowed = {"LeaseKeepAlive": seconds + 2, "Range": seconds / 10 + 2}
    for name, count in after.items():
        assert count - before.get(name, 0) <= allowed.get(name, 0), name


def test_training_goes_on_while_the_store_is_down(etcd: EtcdServer, jobs: Jobs) -> None:
    """Design, promise 4: ten steps while etcd is stopped; afterwards the job ends as ever."""
    agent = jobs.start("--nproc-per-node=2", args=("--epochs=30",), store=etcd.endpoint)
    at = agent.wait_for_step(30)["step"]
    etcd.pause()
    try:
        agent.wait_for_step(at + 10)
    finally:
        etcd.resume()
    assert agent.wait() == 0, agent.output
    assert agent.report["world_sizes"] == [2]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_orphans(jobs: Jobs, number: signal.Signals) -> None:
    """P1, P2: whatever ends an agent, its workers, its etcd and its directory go with it."""
    agent = jobs.start("--nproc-per-node=2", args=("--epochs=2000",))
    agent.wait_for_step(3)
    processes = psutil.Process(agent.process.pid).children(recursive=True)
    assert len(processes) >= 4, "two workers, the guardian, etcd"
    agent.process.send_signal(number)
    code = agent.wait()
    assert code == (-9 if number == signal.SIGKILL else 128 + number), agent.output
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_ctrl_c_twice_means_now(jobs: Jobs, tmp_path: Path) -> None:
    """P2: a second Ctrl-C does not wait for a step that hangs."""
    hold = f"--hold=5:{tmp_path}/never"
    agent = jobs.start("--nproc-per-node=2", args=(hold,))
    agent.wait_for_step(4)
    agent.process.send_signal(signal.SIGINT)
    agent.wait_for(lambda e: e["event"] == "leave-asked", "the request to leave")
    agent.process.send_signal(signal.SIGINT)
    assert agent.wait() == 130, agent.output


def test_a_late_comer_to_a_done_job_is_told(etcd: EtcdServer, jobs: Jobs) -> None:
    """M10: steps and digest are in the record; only --fresh starts anew."""
    args = ("--epochs=2",)
    first = jobs.start("--nproc-per-node=1", args=args, store=etcd.endpoint)
    assert first.wait() == 0, first.output
    late = jobs.start("--nproc-per-node=1", args=args, store=etcd.endpoint)
    assert late.wait() == 0, late.output
    assert first.report["digest"] in late.output
    assert not late.all("start")
    anew = jobs.start("--nproc-per-node=1", "--fresh", args=args, store=etcd.endpoint)
    assert anew.wait() == 0, anew.output
    assert anew.report["digest"] == first.report["digest"]
    assert anew.all("start")


def test_spares_wait_for_a_seat(etcd: EtcdServer, jobs: Jobs, tmp_path: Path) -> None:
    """M4: above the maximum workers wait, and say so; a seat that falls free is taken."""
    flags = ("--nproc-per-node=2", "--max-workers=2", "--max-restarts=0")
    args = (f"--hold=15:{tmp_path}/go", "--epochs=40", f"--die=update:15:1:{tmp_path}/died")
    first = jobs.start(*flags, args=args, store=etcd.endpoint)
    first.wait_for_step(14)
    spare = jobs.start(*flags, args=args, store=etcd.endpoint)
    spare.wait_for(lambda e: e["event"] == "ready", "a spare")
    spare.wait_for_output("waiting for a seat")
    (tmp_path / "go").touch()
    spare.group(2, here=1, after=2)
    assert spare.output.count("waiting for a seat") == 1
    assert first.wait() == 0, first.output
    assert spare.wait() == 0, spare.output


def test_below_the_minimum_all_wait(etcd: EtcdServer, jobs: Jobs, tmp_path: Path) -> None:
    """M4: fewer than the minimum keep State and wait; more come, and the same step goes on."""
    flags = ("--nproc-per-node=2", "--min-workers=2", "--max-restarts=0")
    args = ("--epochs=10", f"--die=train_step:15:1:{tmp_path}/died")
    first = jobs.start(*flags, args=args, store=etcd.endpoint)
    first.wait_for_output("waiting for more")
    second = jobs.start("--nproc-per-node=1", "--min-workers=2", args=args, store=etcd.endpoint)
    for agent in (first, second):
        assert agent.wait() == 0, agent.output
        assert agent.report["audit"] == "ok"
    assert first.report["world_sizes"] == [2, 1, 2]


def test_events_tell_the_whole_story(jobs: Jobs, tmp_path: Path) -> None:
    """Design, promise 8: every event says where and when, and one about a worker says who."""
    where = (f"--checkpoint-dir={tmp_path}/c", f"--die=train_step:12:1:{tmp_path}/died")
    agent = jobs.start("--nproc-per-node=2", args=where)
    assert agent.wait() == 0, agent.output
    kinds = {"start", "rendezvous", "sync", "step", "abort", "checkpoint", "exit"}
    agent.poll_events()
    assert kinds <= {event["event"] for event in agent.seen}
    for event in agent.seen:
        names = (*ALWAYS, *(WHO if EVENTS[event["event"]].of_a_worker else ()))
        assert all(name in event for name in names), event
    steps = [event["step"] for event in agent.all("step")]
    assert steps == sorted(set(steps))


def test_a_peer_tells_of_a_death_that_its_agent_cannot(
    etcd: EtcdServer, jobs: Jobs, tmp_path: Path
) -> None:
    """M6: the broken connection is evidence enough while the dead worker's agent stands still."""
    flags = ("--nproc-per-node=1", "--lease-ttl=60")
    args = (f"--hold=10:{tmp_path}/joined", f"--hold=15:{tmp_path}/killed")
    witness = jobs.start(*flags, args=args, store=etcd.endpoint)
    witness.wait_for_step(9)
    frozen = jobs.start(*flags, args=args, store=etcd.endpoint)
    frozen.wait_for(lambda e: e["event"] == "ready", "a newcomer")
    (tmp_path / "joined").touch()
    (pid,) = frozen.group(2, here=1).values()
    frozen.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "killed").touch()
    told = witness.wait_for(lambda e: e["event"] == "suspect", "a suspicion")
    witness.group(1, after=told["generation"])
    frozen.process.send_signal(signal.SIGCONT)
    for agent in (witness, frozen):
        assert agent.wait() == 0, agent.output
        assert agent.report["audit"] == "ok"
