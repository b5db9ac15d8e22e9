"""What is told of a real job: its health port, its metrics, `elastic-run status`, its failures."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from elastic.telemetry.catalog import ALWAYS, EVENTS
from elastic.telemetry.catalog import WHO as WHO_FIELDS
from tests.e2e.job import TOKEN, Agent, Jobs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def status(store: str, *flags: str, token: str = TOKEN, job: str = "j"):
    """Run `elastic-run status`."""
    command = [sys.executable, "-m", "elastic.agent", "status"]
    command += ["--rdzv-endpoint", store, "--rdzv-id", job, *flags]
    env = os.environ | {"ELASTIC_TOKEN": token}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=90)


def fetch(agent: Agent, path: str) -> tuple[int, str]:
    """Ask the health port that the agent has printed."""
    agent.wait_for_output("health at ")
    base = re.search(r"health at (http://\S+)/healthz", agent.output)[1]
    with urllib.request.urlopen(base + path, timeout=60) as response:
        return response.status, response.read().decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Read the text format as Prometheus does."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_running_job_is_told_at_every_door(jobs: Jobs, etcd, tmp_path: Path):
    """Promise 8: one is killed; health port, metrics, status and events tell of it."""
    held = tmp_path / "go-on"
    hold = ("--hold", f"60:{held}")
    flags = ("--nproc-per-node=3", "--health-port=0", "--min-workers=1")
    agent = jobs.start(*flags, store=etcd.endpoint, args=("--epochs=13", *hold))
    pids = agent.group(3)
    agent.wait_for_step(5)
    os.kill(pids[2], signal.SIGKILL)
    agent.wait_for(lambda e: e["event"] == "recovery", "a recovery")
    agent.wait_for_step(59)

    code, body = fetch(agent, "/healthz")
    health = json.loads(body)
    assert (code, health["state"], health["healthy"]) == (200, "training", True)
    assert health["job"] == "j"
    assert health["step"] >= 59
    assert health["total_steps"] == 65
    assert health["last_recovery"]["detect_s"] >= 0
    assert {worker["pid"] for worker in health["workers"]} >= {pids[0], pids[1]}
    assert TOKEN not in body

    metrics = samples(fetch(agent, "/metrics")[1])
    assert metrics["elastic_recovery_seconds_count",] == 1
    assert metrics["elastic_worker_exits_total", "SIGKILL"] == 1
    assert metrics["elastic_step",] >= 59
    assert metrics["elastic_steps_total",] >= 59
    assert metrics["elastic_collective_received_bytes_total", "gather", "0"] > 0

    seen = json.loads(status(etcd.endpoint, "--json").stdout)
    assert seen["status"] == "running"
    assert seen["total_steps"] == 65, seen["agents"]
    assert {member["rank"] for member in seen["members"]} >= {0, 1}

    shown = status(etcd.endpoint, "--once")
    assert shown.returncode == 0
    assert re.search(r"job j: running, generation \d+: \d workers, 1 host", shown.stdout)
    assert str(pids[0]) in shown.stdout

    command = [sys.executable, "-m", "elastic.agent", "status"]
    command += ["--rdzv-endpoint", etcd.endpoint, "--rdzv-id", "j"]
    code, live = at_a_terminal(command, rb"of 65[\s\S]*last events[\s\S]*of 65", tmp_path)
    assert code == 0
    assert b"Traceback" not in live

    stranger = status(etcd.endpoint, token="wrong")
    assert "not this job's" in stranger.stdout
    assert str(pids[0]) not in stranger.stdout

    held.touch()
    assert agent.wait() == 0, agent.output
    done = status(etcd.endpoint)
    assert done.returncode == 0
    assert f"65 steps, digest {agent.report['digest']}" in done.stdout
    assert status(etcd.endpoint, job="another").returncode == 4
    timings = agent.all("timing")
    reduce = [t["collectives"]["reduce"] for t in timings if "reduce" in t["collectives"]]
    assert sum(cost["rounds"] for cost in reduce) >= 65
    assert all(cost["sent_bytes"] > 0 for cost in reduce)


def test_a_store_that_is_away_is_said(jobs: Jobs):
    """Exit code 3, in words."""
    away = status("127.0.0.1:1")
    assert away.returncode == 3
    assert "127.0.0.1:1" in away.stderr


def test_one_root_cause_is_told_on_every_host(jobs: Jobs, etcd):
    """S7, promise 8: who failed twice at one place, with its traceback once; no consequence."""
    agents = [
        jobs.start("--min-workers=4", "--nproc-per-node=2", store=etcd.endpoint, args=BUG)
        for _ in range(2)
    ]
    for agent in agents:
        assert agent.wait() == 1, agent.output
        verdict = agent.output.partition("the training failed: ")[2]
        lines = verdict.splitlines()
        assert lines[0] == "failed twice at update of step 5:"
        assert re.fullmatch(rf"first {WHO}: RuntimeError: a bug of the user's in update", lines[1])
        assert re.fullmatch(rf"then {WHO}: RuntimeError: a bug of the user's in update", lines[2])
        assert verdict.count("Traceback") == 1
    shown = status(etcd.endpoint, "--once")
    assert shown.returncode == 1
    assert "job j: failed" in shown.stdout
    assert "a bug of the user's in update" in shown.stdout


BUG = ("--fail=update", "--fail-at=5")
WHO = r"rank \d \(member \S+, pid \d+\) on \S+"


def test_a_killed_worker_is_told_with_what_was_done(jobs: Jobs):
    """A signal by its name, evidence for or against the OOM killer, and the restart."""
    agent = jobs.start(
        "--nproc-per-node=2", args=("--epochs=4", "--die", f"update:7:1:{jobs.folder / 'x'}")
    )
    assert agent.wait() == 0, agent.output
    (failure,) = agent.all("failure")
    assert (failure["rank"], failure["how"]) == (1, "killed by SIGKILL")
    assert "OOM killer" in failure["hint"] or "dmesg" in failure["hint"]
    assert failure["done"].startswith("restart 1 of 10")
    assert re.search(rf"elastic-run: {WHO}: killed by SIGKILL \(.*\); restart 1 of", agent.output)
    assert agent.output.count("killed by SIGKILL (") == 1


def test_a_straggler_is_named_with_evidence(jobs: Jobs):
    """The others say who holds them up: its rank, its member, and that its leaves are slow."""
    flags = ("--nproc-per-node=3", "--health-port=0")
    agent = jobs.start(*flags, args=("--epochs=100000", "--slow=1:0.05"))
    told = agent.wait_for(lambda e: e["event"] == "straggler", "a straggler")
    assert told["accused_rank"] == 1
    assert told["rank"] != 1
    assert told["reason"] == "leaves"
    assert told["accused"] in {e["worker"] for e in agent.all("sync") if e["rank"] == 1}
    assert 2 * told["leaf_s"] > 0.1 > told["others_leaf_s"]
    agent.wait_for_output("straggler: rank 1 makes the others wait")
    assert samples(fetch(agent, "/metrics")[1])["elastic_straggler", "1"] == 1
    agent.process.terminate()
    agent.wait()
    for event in agent.seen:
        kind = EVENTS[event["event"]]
        fields = {*ALWAYS, *WHO_FIELDS, *kind.fields}
        assert event.keys() <= fields or "*" in kind.fields, event


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background ignores it


def at_a_terminal(command: list[str], until: bytes, tmp_path: Path) -> tuple[int, bytes]:
    """Run a command on a terminal of its own, press Ctrl-C once `until` is there."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "TMPDIR": str(tmp_path), "ELASTIC_TOKEN": TOKEN},
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(theirs)
    seen = b""
    pressed = False
    try:
        while True:
            seen += os.read(ours, 65536)
            if not pressed and re.search(until, seen):
                pressed = bool(os.write(ours, b"\x03"))
    except OSError:  # the terminal is nobody's any more
        pass
    finally:
        if not pressed:
            process.kill()
        os.close(ours)
    return process.wait(90), seen


def test_a_terminal_has_a_live_line_that_ctrl_c_leaves_clean(tmp_path: Path):
    """Lines scroll over one status line; Ctrl-C leaves, and the prompt finds an empty line."""
    script = [str(Path(__file__).parent / "train_all.py"), "--epochs=100000"]
    command = [sys.executable, "-m", "elastic.agent", "--standalone", "--nproc-per-node=2"]
    status_line = rb"\x1b\[1mstep \d+/500000 \(0%\)  loss \S+  2 workers  \S+ st"
    code, seen = at_a_terminal([*command, *script], status_line, tmp_path)
    assert code == 130, seen.decode(errors="replace")
    assert b"SIGINT: leaving after this step" in seen
    drawn = re.findall(rb"\x1b\[1m([^\x1b]*)\x1b\[0m", seen)
    assert drawn
    assert all(len(line.decode()) < 60 for line in drawn)
    assert seen.rsplit(b"\n", 1)[-1].endswith(b"\x1b[K")
    assert b"elastic-run: step 1 " not in seen
