"""What `elastic-run status` shows."""

from __future__ import annotations

from rich.console import Console

from elastic.agent.board import Snapshot, WorkerView
from elastic.agent.status import JobView
from elastic.agent.status_view import brief_event, view
from elastic.rendezvous.record import Record
from elastic.world import Member

SNAPSHOT = Snapshot(
    "job7",
    "node-3",
    "training",
    True,
    4,
    step=1200,
    total_steps=5000,
    steps_per_s=12.5,
    step_age_s=0.1,
    metrics={"loss": 0.125},
    goodput=0.991,
    recoveries=1,
    last_recovery={"total_s": 0.0812, "step": 1100},
    workers=(WorkerView("a", 0, 71, 0, 1200, 0.08, 0.05, 0.02, 0.005),),
    stragglers={"1": "rank 1 makes the others wait"},
    events=({"t": 0.0, "event": "exit", "pid": 72, "reason": "killed by SIGKILL"},),
)
MEMBERS = (Member("a", "10.0.0.3:9", "10.0.0.3:7"), Member("b", "10.0.0.4:9", "10.0.0.4:7"))
RUNNING = JobView(
    "job7",
    Record(4, ("a", "b"), "c was lost"),
    (*MEMBERS, Member("s", "10.0.0.4:9", "10.0.0.4:7")),
    agents={"10.0.0.3:7": SNAPSHOT, "10.0.0.4:7": "silent (timed out)"},
)


def shown(job, note="", width=160):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(view(job, note))
        return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_running_job():
    lines = shown(RUNNING)
    assert lines[:3] == [
        "job job7: running, generation 4: 2 workers, 2 hosts",
        "because: c was lost",
        "step 1200 of 5000  12.5 steps/s  5.07 min to go  loss 0.125  goodput 99.1%  "
        "last recovery 0.0812 s at step 1100",
    ]
    table = [line.split() for line in lines[3:7]]
    assert table == [
        ["rank", "host", "pid", "member", "step", "ms/step", "leaves", "reduce", "update"],
        ["0", "node-3", "71", "a", "1200", "80.0", "50.0", "20.0", "5.0"],
        ["1", "10.0.0.4", "b"],
        ["waits", "10.0.0.4", "s"],
    ]
    assert lines[7:10] == [
        "straggler: rank 1 makes the others wait",
        "agent 10.0.0.4:7: silent (timed out)",
        "last events",
    ]
    assert lines[10].endswith("node-3 exit reason=killed by SIGKILL")


def test_a_store_that_is_away_stands_above_all():
    assert shown(RUNNING, "the store is away")[0] == "the store is away"


def test_a_job_that_is_over():
    done = JobView("job7", Record(5, (), "", status="done", result={"steps": 9, "digest": "d"}), ())
    assert shown(done) == ["job job7: done", "9 steps, digest d"]
    failed = JobView("job7", Record(5, (), "failed twice at sync:\nTraceback", status="failed"), ())
    assert shown(failed) == ["job job7: failed", "failed twice at sync:", "Traceback"]


def test_a_job_that_nobody_runs_any_more():
    gone = JobView("job7", Record(5, ("a",), "a joined"), ())
    assert shown(gone)[1].startswith("no agent of it is there: started again, it goes on from")


def test_a_token_that_is_not_the_jobs_is_said_once():
    agents = dict.fromkeys(["h:1", "h:2"], "it answers to the job's token only")
    job = JobView("job7", Record(1, ("a",), ""), MEMBERS, token_fits=False, agents=agents)
    assert "agent h:1, h:2: the token given is not this job's: give --token-file or set " in str(
        shown(job)
    )


def test_many_members_and_a_narrow_terminal():
    members = tuple(Member(f"m{n}", "h:1", "h:2") for n in range(200))
    lines = shown(JobView("j", Record(1, tuple(m.id for m in members), ""), members), width=40)
    assert any("136 more" in line for line in lines)
    assert all(len(line) <= 40 for line in lines)


def test_an_event_is_one_line():
    line = brief_event({"t": 0.0, "host": "h", "event": "failure", "text": "a\nb" * 200})
    assert "\n" not in line
    assert len(line) <= 200
