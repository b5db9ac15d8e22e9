"""Bad input says what is wrong and what to do, and loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job import HERE, Jobs
from tests.etcd import EtcdServer

pytestmark = pytest.mark.e2e


def elastic_run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run a command line that must fail before anything is started."""
    command = [sys.executable, "-m", "elastic.agent", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def alone(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the script without an agent."""
    command = [sys.executable, str(HERE / "train_all.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


SCRIPT = str(HERE / "train_all.py")
USAGE = [
    (("--standalone", "--nproc-per-nod", "2", SCRIPT), "--nproc-per-node"),
    (("--standalone",), "script"),
    (("--standalone", "/nowhere/train.py"), "/nowhere/train.py"),
    (("--standalone", "--min-workers", "5", "--max-workers", "3", SCRIPT), "--max-workers"),
    (("--standalone", "--lease-ttl", "1", SCRIPT), "2"),
    ((SCRIPT,), "--standalone"),
]


@pytest.mark.parametrize(("args", "named"), USAGE)
def test_usage_errors_are_one_line_and_exit_2(args: tuple[str, ...], named: str) -> None:
    """Every wrong flag is named, with the cure."""
    done = elastic_run(*args)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert named in done.stderr


def test_a_store_that_is_not_there_exits_3() -> None:
    """The endpoint is named, after the time that the user gave."""
    where = ("--rdzv-endpoint", "127.0.0.1:1", "--rdzv-id", "j", "--rdzv-timeout", "1")
    done = elastic_run(*where, SCRIPT)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("place", ["import", "sync", "train_step", "update", "on_epoch"])
def test_a_script_that_raises_fails_the_job(jobs: Jobs, place: str) -> None:
    """S7: the second failure at one place fails the job, with that traceback."""
    agent = jobs.start("--nproc-per-node=2", args=(f"--fail={place}",))
    assert agent.wait() == 1, agent.output
    assert f"a bug of the user's in {place}" in agent.output
    said = [line for line in agent.output.splitlines() if "the training failed" in line]
    assert len(said) == 1
    assert "failed twice at" in said[0]


def test_an_accident_is_no_failure(jobs: Jobs, tmp_path: Path) -> None:
    """S7: one exception at a place costs a worker, not the job."""
    script = tmp_path / "once.py"
    marker = tmp_path / "raised"
    raise_once = f"import os\nMARKER = {str(marker)!r}\n"
    body = (HERE / "train_all.py").read_text()
    body = body.replace(
        "    logits = state.model(inputs)\n    loss",
        "    if state.step == 7 and not os.path.exists(MARKER):\n"
        "        open(MARKER, 'w').close()\n"
        "        raise RuntimeError('a cosmic ray')\n"
        "    logits = state.model(inputs)\n    loss",
    )
    script.write_text(body.replace("import os\n", raise_once, 1))
    agent = jobs.start("--nproc-per-node=2", script=str(script))
    assert agent.wait() == 0, agent.output
    assert "a cosmic ray" in agent.output
    assert agent.report["audit"] == "ok"


def test_a_member_that_exits_0_has_not_done(jobs: Jobs, tmp_path: Path) -> None:
    """A user's sys.exit() in train_step looks like a good end: the job needs that worker back."""
    script = tmp_path / "leaves.py"
    body = (HERE / "train_all.py").read_text()
    script.write_text(body.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit(0)"))
    args = [f"--die=train_step:7:{rank}:{tmp_path}/left{rank}" for rank in range(2)]
    agent = jobs.start("--nproc-per-node=2", script=str(script), args=tuple(args))
    assert agent.wait() == 0, agent.output
    assert "exited with 0; restart 1 of" in agent.output
    assert agent.report["steps"] == 60
    assert agent.report["audit"] == "ok"


def test_a_loss_that_is_not_finite_is_a_warning(jobs: Jobs) -> None:
    """By default training goes on, and every such micro-batch is named."""
    agent = jobs.start("--nproc-per-node=2", args=("--poison-at=6", "--epochs=2"))
    assert agent.wait() == 0, agent.output
    assert "the loss is not finite at step 6 micro-batch" in agent.output


def test_a_loss_that_is_not_finite_is_an_error_on_request(jobs: Jobs) -> None:
    """No update is made with it."""
    args = ("--poison-at=6", "--nonfinite=error")
    agent = jobs.start("--nproc-per-node=2", args=args)
    assert agent.wait() == 1, agent.output
    assert "NonFiniteError" in agent.output
    assert agent.report["steps"] == 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--unsavable",), ("StateError", "handle")),
        (("--write-in-step",), ("StateError", "best", "update")),
    ],
)
def test_state_errors_name_the_part(args: tuple[str, ...], words: tuple[str, ...]) -> None:
    """U1: a part that cannot be saved, and State written to inside train_step."""
    done = alone(*args)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), last


@pytest.fixture
def checkpointed(jobs: Jobs, tmp_path: Path) -> Path:
    """A directory with the checkpoints of steps 5 and 10 of 10."""
    folder = tmp_path / "checkpoints"
    args = (f"--checkpoint-dir={folder}", "--epochs=2")
    agent = jobs.start("--nproc-per-node=1", args=args)
    assert agent.wait() == 0, agent.output
    return folder


def newest(folder: Path) -> Path:
    """Return the directory of the newest checkpoint."""
    return max(each for each in folder.iterdir() if each.name.startswith("step-"))


def largest(folder: Path) -> Path:
    """Return the largest file of a checkpoint: its arrays."""
    return max(folder.iterdir(), key=lambda each: each.stat().st_size)


def truncate(path: Path) -> None:
    """Cut a file in half."""
    os.truncate(path, path.stat().st_size // 2)


def tamper(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, tamper, Path.unlink])
def test_a_damaged_checkpoint_is_skipped(
    jobs: Jobs,
    undisturbed: Callable[..., dict[str, Any]],
    checkpointed: Path,
    damage: Callable[[Path], None],
) -> None:
    """C1: the one before it is used, and a message says so."""
    damage(largest(newest(checkpointed)))
    args = (f"--checkpoint-dir={checkpointed}", "--epochs=3")
    agent = jobs.start("--nproc-per-node=2", args=args)
    assert agent.wait() == 0, agent.output
    assert "step-00000010" in agent.output, "the damaged one is named"
    assert [line["resume"] for line in agent.audit if "resume" in line] == [5]
    assert agent.report["digest"] == undisturbed("--epochs=3")["digest"]


def test_a_checkpoint_of_another_model_is_refused(checkpointed: Path) -> None:
    """C1: nothing is overwritten; the message names the cure."""
    before = sorted(checkpointed.rglob("*"))
    done = alone(f"--checkpoint-dir={checkpointed}", "--hidden=7", "--epochs=3")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "CheckpointError" in last
    assert "--fresh" in last
    assert sorted(checkpointed.rglob("*")) == before


def test_fresh_sets_checkpoints_aside(jobs: Jobs, checkpointed: Path) -> None:
    """C1: --fresh begins anew and loses nothing."""
    args = (f"--checkpoint-dir={checkpointed}", "--epochs=2", "--hidden=7")
    agent = jobs.start("--nproc-per-node=2", "--fresh", args=args)
    assert agent.wait() == 0, agent.output
    assert agent.audit[0]["open"] == 0
    assert list(checkpointed.glob("old-*/step-*"))


def test_a_full_disk_costs_checkpoints_not_training(jobs: Jobs, tmp_path: Path) -> None:
    """C1: a checkpoint that cannot be written is a warning."""
    small = tmp_path / "small"
    small.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root to mount a small file system")
    size = "size=64k"
    if subprocess.run([mount, "-t", "tmpfs", "-o", size, "none", str(small)]).returncode:
        pytest.skip("cannot mount here")
    try:
        args = (f"--checkpoint-dir={small}", "--epochs=2", "--hidden=2000")
        agent = jobs.start("--nproc-per-node=2", args=args)
        assert agent.wait() == 0, agent.output
        assert "warning: no checkpoint of step" in agent.output
        assert not list(small.rglob("*.safetensors"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_another_script_is_refused(etcd: EtcdServer, jobs: Jobs, tmp_path: Path) -> None:
    """B6: who would compute other bits is refused with both sides named; the group goes on."""
    hold = f"--hold=20:{tmp_path}/go"
    first = jobs.start("--nproc-per-node=2", args=(hold,), store=etcd.endpoint)
    first.wait_for_step(19)
    other = tmp_path / "other.py"
    other.write_text((HERE / "train_all.py").read_text() + "\n# another\n")
    second = jobs.start("--nproc-per-node=1", script=str(other), store=etcd.endpoint)
    second.wait_for(lambda e: e["event"] == "ready", "a newcomer")
    (tmp_path / "go").touch()
    assert second.wait() == 1, second.output
    assert "this worker has script" in second.output
    assert first.wait() == 0, first.output
    assert first.report["audit"] == "ok"


def test_a_wrong_token_is_refused(etcd: EtcdServer, jobs: Jobs) -> None:
    """P3: the store holds an HMAC of the token; another one does not join."""
    first = jobs.start("--nproc-per-node=1", args=("--epochs=2000",), store=etcd.endpoint)
    first.wait_for_step(2)
    stranger = jobs.start(
        "--nproc-per-node=1", store=etcd.endpoint, env={"ELASTIC_TOKEN": "another"}
    )
    assert stranger.wait() == 1, stranger.output
    assert "token" in stranger.output
    assert len(stranger.output.strip().splitlines()) == 1
