"""The promise, with real processes, real etcd and SIGKILL: the same bits, exactly-once data.

Each test compares both digests with an undisturbed run on one worker, and looks at the audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elastic.audit import verify
from tests.e2e.job import Agent, Jobs
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e

Undisturbed = Callable[..., dict[str, Any]]


def same_bits(agent: Agent, reference: dict[str, Any]) -> None:
    """The run has succeeded and ends with the bits of the reference."""
    report = agent.report
    for name in ("steps", "digest", "state_digest"):
        assert report[name] == reference[name], agent.output
    assert report["audit"] == "ok"
    assert verify(agent.folder / "audit").ok


def ended_well(agent: Agent, reference: dict[str, Any]) -> None:
    """The agent has succeeded, and so has its job."""
    assert agent.wait() == 0, agent.output
    same_bits(agent, reference)


@pytest.mark.parametrize("workers", [1, 3, 4])
def test_any_number_of_workers(jobs: Jobs, undisturbed: Undisturbed, workers: int) -> None:
    """S5, B1, B2, B4, promise 2: three do not divide eight micro-batches, nor the six of a last."""
    agent = jobs.start(f"--nproc-per-node={workers}")
    ended_well(agent, undisturbed())
    assert agent.report["world_sizes"] == [workers]
    ranks = {rank for line in agent.audit for _, rank, _ in line.get("leaves", [])}
    assert ranks == set(range(workers))


def test_more_workers_than_leaves(jobs: Jobs, undisturbed: Undisturbed) -> None:
    """S6: the rest own slices and hold warm state."""
    agent = jobs.start("--nproc-per-node=9", args=("--epochs=2",))
    ended_well(agent, undisturbed("--epochs=2"))


PLACES = ["train_step", "update", "on_step", "on_epoch", "evaluated"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rank", [0, 2])
def test_killed_anywhere(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path, place: str, rank: int
) -> None:
    """S1, S3, S7: rank 0 or another dies in a leaf, before its update, between steps, in a hook.

    Promise 1, promise 2, promise 3: survivors go on; the weights and the audit are as undisturbed.

    Step 25 is the last of an epoch: its batch is ragged, and hooks with collectives follow.
    """
    trace = tmp_path / "trace"
    trace.mkdir()
    die = f"--die={place}:25:{rank}:{tmp_path}/died"
    agent = jobs.start("--nproc-per-node=4", args=(die, f"--trace={trace}"))
    before = agent.group(4)
    after = agent.group(3)
    ended_well(agent, undisturbed())
    survivors = [pid for r, pid in sorted(before.items()) if r != rank]
    assert [after[r] for r in range(3)] == survivors, "survivors keep process and order (M5)"
    lost = agent.report["recoveries"][0]
    assert len(lost["lost"]) == 1
    assert "SIGKILL" in lost["cause"]
    assert abs(sum(lost[f"{p}_s"] for p in PHASES) - lost["total_s"]) < 1e-6
    only_lost_leaves_again(trace, dead=before[rank])


PHASES = ("detect", "rendezvous", "sync", "first_step")


def only_lost_leaves_again(trace: Path, dead: int) -> None:
    """Whatever was computed twice was computed by the dead (S6)."""
    done = Counter(
        (line, int(file.name)) for file in trace.iterdir() for line in file.read_text().splitlines()
    )
    by_leaf: dict[str, set[int]] = {}
    for leaf, pid in done:
        by_leaf.setdefault(leaf, set()).add(pid)
    assert max(done.values()) == 1, "a process computed a leaf twice"
    assert all(len(pids) == 1 or dead in pids for pids in by_leaf.values())


def test_two_killed_at_once(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Two of four die in the same step."""
    die = [f"--die=train_step:18:{rank}:{tmp_path}/died{rank}" for rank in (1, 2)]
    agent = jobs.start("--nproc-per-node=4", args=tuple(die))
    ended_well(agent, undisturbed())
    assert sum(len(each["lost"]) for each in agent.report["recoveries"]) == 2


def test_a_newcomer_takes_the_place_of_the_dead(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S9, S10, B3: it is started after the survivors' first step, and gets State from a peer."""
    die, hold = f"--die=update:12:1:{tmp_path}/died", f"--hold=40:{tmp_path}/go"
    agent = jobs.start("--nproc-per-node=3", args=(die, hold))
    agent.group(2)
    restarted = agent.wait_for(
        lambda e: e["event"] == "ready" and e["generation"] > 1, "a newcomer that is ready"
    )
    recovered = next(e for e in agent.seen if e["event"] == "recovery")
    started = next(e for e in agent.seen if e["event"] == "start" and e["pid"] == restarted["pid"])
    assert started["t"] > recovered["t"]
    (tmp_path / "go").touch()
    agent.group(3, after=2)
    ended_well(agent, undisturbed())
    assert agent.report["world_sizes"] == [3, 2, 3]


def test_two_grow_to_four(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S4, S9: a second agent joins a job that trains; nothing is aborted for it."""
    hold = f"--hold=30:{tmp_path}/go"
    first = jobs.start("--nproc-per-node=2", args=(hold,), store=etcd.endpoint)
    first.wait_for_step(29)
    second = jobs.start("--nproc-per-node=2", args=(hold,), store=etcd.endpoint)
    second.wait_for_ready(2)
    (tmp_path / "go").touch()
    first.group(4, here=2)
    for agent in (first, second):
        ended_well(agent, undisturbed())
    assert not first.all("abort")
    assert first.audit[0]["open"] == 0
    assert second.audit[0]["open"] > 29


def test_four_shrink_to_two_by_sigterm(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S4, P2: an agent leaves after a step that all finish; no step is aborted."""
    hold = f"--hold=20:{tmp_path}/go"
    stay = jobs.start("--nproc-per-node=2", args=(hold, "--pace=0.005"), store=etcd.endpoint)
    stay.wait_for_step(19)
    leave = jobs.start("--nproc-per-node=2", args=(hold, "--pace=0.005"), store=etcd.endpoint)
    leave.wait_for_ready(2)
    (tmp_path / "go").touch()
    leave.group(4, here=2)
    leave.process.terminate()
    assert leave.wait() == 128 + 15, leave.output
    ended_well(stay, undisturbed())
    assert stay.report["world_sizes"] == [2, 4, 2]
    assert not stay.all("abort")
    assert len(leave.all("leave")) == 2


def test_all_killed_and_resumed(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """C1, M9: everybody dies at once; the job goes on from the newest checkpoint."""
    die = [f"--die=train_step:33:{rank}:{tmp_path}/died{rank}" for rank in range(3)]
    where = (f"--checkpoint-dir={tmp_path}/checkpoints", "--checkpoint-every=7")
    agent = jobs.start("--nproc-per-node=3", args=(*die, *where))
    ended_well(agent, undisturbed())
    assert [line["resume"] for line in agent.audit if "resume" in line] == [28]


def test_the_next_run_resumes(jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """C1: SIGTERM to the only agent leaves a checkpoint; another world size goes on from it."""
    hold = f"--hold=23:{tmp_path}/go"
    where = (f"--checkpoint-dir={tmp_path}/checkpoints", "--checkpoint-every=1000")
    first = jobs.start("--nproc-per-node=3", args=(*where, hold))
    first.wait_for_step(22)
    first.process.terminate()
    first.wait_for(lambda e: e["event"] == "leave-asked", "the request to leave")
    (tmp_path / "go").touch()
    assert first.wait() == 128 + 15, first.output
    second = jobs.start("--nproc-per-node=2", args=where)
    ended_well(second, undisturbed())
    assert second.audit[0]["resume"] >= 23


def test_an_agent_killed_takes_its_workers_along(
    etcd: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """P1, M6, promise 1: SIGKILL of an agent; its workers die with it, the others go on at once."""
    hold = f"--hold=20:{tmp_path}/go"
    stay = jobs.start("--nproc-per-node=2", args=(hold, "--pace=0.005"), store=etcd.endpoint)
    stay.wait_for_step(19)
    die = jobs.start("--nproc-per-node=2", args=(hold, "--pace=0.005"), store=etcd.endpoint)
    die.wait_for_ready(2)
    (tmp_path / "go").touch()
    stay.group(4, here=2)
    die.process.kill()
    die.process.wait()
    ended_well(stay, undisturbed())
    assert stay.report["world_sizes"][:2] == [2, 4]


@pytest.mark.parametrize("optimizer", ["sgd"])
def test_other_optimizers(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path, optimizer: str
) -> None:
    """An optimizer with state travels to the newcomer."""
    args = (f"--optimizer={optimizer}",)
    die = f"--die=update:12:1:{tmp_path}/died"
    ended_well(jobs.start("--nproc-per-node=4", args=(*args, die)), undisturbed(*args))


def test_large_gradients_travel_in_slices(
    jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """S5: above a threshold owners of slices add; the bits are the same."""
    args = ("--hidden=8000", "--epochs=2")
    die = f"--die=train_step:7:1:{tmp_path}/died"
    ended_well(jobs.start("--nproc-per-node=3", args=(*args, die)), undisturbed(*args))
