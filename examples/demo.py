"""What `make demo` shows: train on four workers, kill one, let another join; compare the bits.

Two runs of examples/digits.py: an undisturbed one on one worker, and one on four of which one is
killed with SIGKILL on the way. A newcomer takes its place. Both must end with the same weights.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
EPOCHS = 30
KILL_AT_STEP = 200


def elastic_run(workers: int, folder: Path) -> subprocess.Popen:
    """Start digits.py on so many workers; evidence goes to `folder`."""
    folder.mkdir()
    files = [f"--{name}={folder / name}" for name in ("report", "events", "audit")]
    command = ["-m", "elastic.agent", "--standalone", f"--nproc-per-node={workers}", *files]
    script = [str(HERE / "digits.py"), str(EPOCHS)]
    print(f"\n$ elastic-run {' '.join(command[2:4])} examples/digits.py\n", flush=True)
    return subprocess.Popen([sys.executable, *command, *script])


def events(path: Path, job: subprocess.Popen):
    """Yield the events of a running job as they are written."""
    while not path.exists() and job.poll() is None:
        time.sleep(0.05)
    with path.open() as file:
        line = ""
        while True:
            line += file.readline()  # it may end where the writer is just now
            if line.endswith("\n"):
                yield json.loads(line)
                line = ""
            elif job.poll() is not None:
                return
            else:
                time.sleep(0.01)


def kill_one(folder: Path, job: subprocess.Popen) -> int:
    """Kill the worker of rank 2 with SIGKILL once it has come far enough; return its pid."""
    pids = {}
    for event in events(folder / "events", job):
        if event["event"] == "sync":
            pids[event["rank"]] = event["pid"]
        if event["event"] == "step" and event["step"] >= KILL_AT_STEP and 2 in pids:
            print(f"\n--- kill -9 {pids[2]} (rank 2) at step {event['step']} ---\n", flush=True)
            os.kill(pids[2], signal.SIGKILL)
            return pids[2]
    raise SystemExit("the job ended before a worker could be killed")


def main() -> int:
    """Run both and compare; the exit code says whether all that was promised was seen."""
    with tempfile.TemporaryDirectory() as temporary:
        alone, four = Path(temporary) / "alone", Path(temporary) / "four"
        with elastic_run(1, alone) as job:
            pass
        failed = job.returncode != 0
        with elastic_run(4, four) as job:
            try:
                kill_one(four, job)
                job.wait()
            finally:
                job.terminate()
        failed |= job.returncode != 0
        if failed:
            print("a run failed", file=sys.stderr)
            return 1
        return show(*(json.loads((folder / "report").read_text()) for folder in (alone, four)))


def show(alone: dict, four: dict) -> int:
    """Print what the two reports say side by side."""
    print("\nundisturbed, one worker:  ", alone["digest"])
    print("four workers, one killed: ", four["digest"])
    for recovery in four["recoveries"]:
        phases = {k: f"{recovery[k] * 1000:.0f} ms" for k in recovery if k.endswith("_s")}
        print("recovery at step", recovery["step"], phases)
    print("world sizes:", four["world_sizes"], " goodput:", f"{four['goodput']:.1%}")
    print("audit (no sample lost, none repeated):", four["audit"])
    sizes = four["world_sizes"]
    joined = any(after > before for before, after in pairwise(sizes))
    same = all(alone[name] == four[name] for name in ("digest", "state_digest"))
    if same and joined and four["recoveries"] and four["audit"] == "ok":
        print("\nThe same bits: as if nothing had happened.")
        return 0
    print("\nThis is not what was promised.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
