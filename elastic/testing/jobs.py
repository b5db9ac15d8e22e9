"""Does a script survive? It is run twice with real processes: undisturbed, and under chaos.

Each run has an etcd, a folder for temporary files and a mark in its environment, by which all that
it leaves behind is found. Nothing here needs pytest; `elastic.testing.fixtures` does.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastic.agent.chaos import read

__all__ = ["Outcome", "Survival", "assert_survives", "complaints"]

MARK = "ELASTIC_TEST_MARK"
TAIL_LINES = 40
SETTLE_S = 10.0
"""What ends after its agent has so long to do so."""


@dataclass(frozen=True)
class Outcome:
    """How one run of `elastic-run` ended."""

    code: int
    output: str
    report: dict[str, Any]
    """What `--report` wrote; empty if the run did not come so far."""
    leftovers: tuple[str, ...] = ()
    """Processes, temporary files and shared memory that were still there afterwards."""


@dataclass(frozen=True)
class Survival:
    """Both runs of a script that survived. `chaotic.report["chaos"]` lists the faults."""

    undisturbed: Outcome
    chaotic: Outcome


def assert_survives(
    script: str | Path,
    *args: str,
    chaos: str,
    folder: Path,
    workers: int = 3,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout_s: float = 300.0,
) -> Survival:
    """Run `script` on one worker undisturbed, then on several under `chaos`: the bits are equal.

    `chaos` is what `--chaos` takes, `flags` are further ones of `elastic-run`; `folder` keeps the
    events, the audit, the report and the output of both runs.

    Raises:
        AssertionError: a run failed, no fault happened, digests differ, the audit does not hold,
            or something was left behind; the message says which, with the end of the output.
        ConfigError: `chaos` cannot be read.
    """
    read(chaos)
    command = [*flags, str(script), *args]
    alone = _run(folder / "undisturbed", ["--nproc-per-node=1", *command], env, timeout_s)
    _check("the undisturbed run", alone, _of_one_run(alone))
    many = [f"--nproc-per-node={workers}", f"--chaos={chaos}", *command]
    chaotic = _run(folder / "chaos", many, env, timeout_s)
    _check(f"the run under --chaos {chaos}", chaotic, complaints(alone, chaotic))
    return Survival(alone, chaotic)


def complaints(undisturbed: Outcome, chaotic: Outcome) -> list[str]:
    """Return what the second run did not keep of what is promised."""
    found = _of_one_run(chaotic)
    if found:
        return found
    if not chaotic.report["chaos"]:
        found.append("no fault happened, so nothing was shown; train longer, or raise the rates")
    for name in ("steps", "digest", "state_digest"):
        expected, got = undisturbed.report[name], chaotic.report[name]
        if expected != got:
            found.append(f"{name} is {got}, undisturbed {expected}; {_CURES[name]}")
    return found


_CURES = {
    "steps": "does the script stop by a clock, or by what one worker sees?",
    "digest": (
        "are weights and data seeded, and does train_step depend on nothing but state and batch "
        "(not on the rank, the time, or what it kept outside State)?"
    ),
    "state_digest": (
        "something in State, but no parameter, differs: is it written by rank, by the time, or "
        "once per call?"
    ),
}


def _of_one_run(run: Outcome) -> list[str]:
    found = []
    if run.code != 0:
        found.append(f"elastic-run ended with {run.code}")
    elif not run.report.get("digest"):
        found.append("it ended without a digest: does the script call elastic.train?")
    elif run.report.get("audit") != "ok":
        found.append(f"the audit says: {run.report.get('audit')}")
    return [*found, *(f"left behind: {each}" for each in run.leftovers)]


def _check(what: str, run: Outcome, found: list[str]) -> None:
    if found:
        tail = "\n".join(run.output.splitlines()[-TAIL_LINES:])
        raise AssertionError(f"{what}: {'; '.join(found)}\n{tail}")


def _run(
    folder: Path, command: Sequence[str], env: Mapping[str, str] | None, timeout_s: float
) -> Outcome:
    temporary, mark = folder / "tmp", secrets.token_hex(8)
    temporary.mkdir(parents=True)
    shared = _shared_memory()
    files = [f"--{name}={folder / name}" for name in ("report", "events", "audit")]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "elastic.agent", "--standalone", *files, *command],
            env=os.environ | {"TMPDIR": str(temporary)} | dict(env or {}) | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _end(process, timeout_s)
    left = [*_end_processes(mark), *sorted(map(str, temporary.rglob("*")))]
    left += sorted(_shared_memory() - shared)
    report = folder / "report"
    return Outcome(
        process.returncode,
        (folder / "output").read_text(errors="replace"),
        json.loads(report.read_text()) if report.exists() else {},
        tuple(left),
    )


def _end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait until it has ended, and no longer than allowed; its workers die with it."""
    try:
        process.wait(timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _end_processes(mark: str) -> list[str]:
    """Kill whoever still carries the mark; return what they were."""
    deadline = time.monotonic() + SETTLE_S
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)  # the guardian of an etcd ends a moment after its agent
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"process {pid}: {line}" for pid, line in left.items()]


def _marked(mark: str) -> dict[int, str]:
    found, wanted = {}, f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(folder.name)] = line
    return found


def _shared_memory() -> set[str]:
    try:
        return {f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if "elastic" in name}
    except FileNotFoundError:
        return set()
