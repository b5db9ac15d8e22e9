"""SIGKILL at the points of a step that test_same_bits leaves out, of nodes, and among joins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.job import Agent, Jobs
from tests.e2e.test_same_bits import ended_well
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e

Undisturbed = Callable[..., dict[str, Any]]


def test_killed_in_sync_of_a_recovery(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """S2, S7: a second dies in the hook that the first death has called."""
    die = (f"--die=train_step:12:2:{tmp_path}/first", f"--die=sync:11:0:{tmp_path}/second")
    agent = jobs.start("--nproc-per-node=3", args=die)
    ended_well(agent, undisturbed())
    assert agent.report["world_sizes"][:3] == [3, 2, 1]


@pytest.mark.parametrize(
    "rank", [1, pytest.param(0, marks=pytest.mark.soak)], ids=["another", "rank 0"]
)
def test_killed_between_two_messages_of_a_reduction(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path, rank: int
) -> None:
    """S3, S5: one peer has its slice, the other has not; both finish the step, same bits."""
    args = ("--hidden=8000", "--epochs=2")
    die = f"--die=sent:7:{rank}:{tmp_path}/died"
    agent = jobs.start("--nproc-per-node=3", args=(*args, die))
    ended_well(agent, undisturbed(*args))
    assert agent.report["recoveries"]


def test_killed_while_it_writes_a_checkpoint(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """C1: what was half written is not visible, and the next one that is whole counts."""
    where = (f"--checkpoint-dir={tmp_path}/checkpoints", "--checkpoint-every=7")
    die = [f"--die=save:14:0:{tmp_path}/died"]
    die += [f"--die=train_step:20:{rank}:{tmp_path}/died{rank}" for rank in range(3)]
    agent = jobs.start("--nproc-per-node=3", args=(*where, *die))
    ended_well(agent, undisturbed())
    (resumed,) = [line["resume"] for line in agent.audit if "resume" in line]
    assert resumed in (7, 14), "14 is there if another rank wrote it after the death"
    left = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert all("tmp" not in name for name in left), left


def test_a_whole_node_is_killed_while_another_joins(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M4, M6: agent and workers at once, as a third agent becomes ready; nobody waits for it."""
    hold = (f"--hold=15:{tmp_path}/two", f"--hold=30:{tmp_path}/go")
    stay = jobs.start("--nproc-per-node=1", args=hold, store=etcd.endpoint)
    stay.wait_for_step(14)
    node = jobs.start("--nproc-per-node=2", args=hold, store=etcd.endpoint)
    node.wait_for_ready(2)
    (tmp_path / "two").touch()
    stay.group(3, here=1)
    stay.wait_for_step(29)
    third = jobs.start("--nproc-per-node=2", args=hold, store=etcd.endpoint)
    third.wait_for_ready(2)
    _kill_node(node)
    (tmp_path / "go").touch()
    for agent in (stay, third):
        ended_well(agent, undisturbed())
    assert 1 in stay.report["world_sizes"][2:] or 3 in stay.report["world_sizes"][2:]


def _kill_node(agent: Agent) -> None:
    everybody = psutil.Process(agent.process.pid).children(recursive=True)
    for pid in [agent.process.pid, *(process.pid for process in everybody)]:
        os.kill(pid, signal.SIGKILL)
    agent.process.wait()


@pytest.mark.soak
def test_strangers_take_over(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M9: all of a group are gone and nobody saw it: strangers wait 20 s, ping, and go on."""
    where = (f"--checkpoint-dir={tmp_path}/checkpoints", "--checkpoint-every=7")
    args = (*where, f"--hold=30:{tmp_path}/go")
    first = jobs.start("--nproc-per-node=2", args=args, store=etcd.endpoint)
    first.wait_for_step(29)
    second = jobs.start("--nproc-per-node=1", args=args, store=etcd.endpoint)
    second.wait_for_ready(1)
    _kill_node(first)
    (tmp_path / "go").touch()
    second.wait_for_output("taking over in 20 s")
    ended_well(second, undisturbed())
    assert [line["resume"] for line in second.audit if "resume" in line] == [28]


@pytest.mark.soak
def test_one_eight_two(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S4, S6: scale out and in, without an aborted step."""
    hold = (f"--hold=10:{tmp_path}/out", f"--hold=30:{tmp_path}/in")
    first = jobs.start("--nproc-per-node=1", args=hold, store=etcd.endpoint)
    first.wait_for_step(9)
    others = [jobs.start(f"--nproc-per-node={n}", args=hold, store=etcd.endpoint) for n in (6, 1)]
    for agent, workers in zip(others, (6, 1), strict=True):
        agent.wait_for_ready(workers)
    (tmp_path / "out").touch()
    first.group(8, here=1)
    first.wait_for_step(29)
    others[0].process.terminate()
    others[0].wait_for(lambda e: e["event"] == "leave-asked", "the request to leave")
    (tmp_path / "in").touch()
    assert others[0].wait() == 128 + 15, others[0].output
    for agent in (first, others[1]):
        ended_well(agent, undisturbed())
    assert first.report["world_sizes"][-1] == 2
    assert 8 in first.report["world_sizes"]
    assert not first.all("abort")


def test_a_checkpoint_directory_that_cannot_be_written(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """C1: read-only, as when its disk fails: a warning, and training goes on."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root to mount a read-only file system")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "ro", "none", str(folder)]).returncode:
        pytest.skip("cannot mount here")
    try:
        args = (f"--checkpoint-dir={folder}", "--epochs=2")
        agent = jobs.start("--nproc-per-node=2", args=args)
        ended_well(agent, undisturbed("--epochs=2"))
        assert "warning: no checkpoint of step" in agent.output
    finally:
        subprocess.run(["umount", str(folder)], check=True)


SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The wall clock, so many seconds off as a file says; all other clocks as they are. */
int clock_gettime(clockid_t clock, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, t);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("SHIFT_FILE"), "r") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) == 1) t->tv_sec += seconds;
        fclose(file);
    }
    return result;
}
"""


@pytest.mark.soak
def test_the_clock_jumps(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """A day forth, two back: nothing that decides reads the wall clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a clock that jumps is a library, and there is no C compiler here")
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    build = [compiler, "-shared", "-fPIC", "-o", str(library), "-x", "c", "-", "-ldl"]
    subprocess.run(build, input=SHIFTED_CLOCK.encode(), check=True)
    offset.write_text("0")
    fake = {"LD_PRELOAD": str(library), "SHIFT_FILE": str(offset)}
    args = (f"--hold=20:{tmp_path}/forth", f"--hold=40:{tmp_path}/back")
    agent = jobs.start("--nproc-per-node=3", args=args, store=etcd.endpoint, env=fake)
    agent.wait_for_step(19)
    offset.write_text("86400")
    (tmp_path / "forth").touch()
    agent.wait_for_step(39)
    offset.write_text("-86400")
    (tmp_path / "back").touch()
    ended_well(agent, undisturbed())
    assert agent.report["world_sizes"] == [3]
    stamps = [event["t"] for event in agent.seen]
    assert max(stamps) - min(stamps) > 24 * 3600, "the jump was seen"
