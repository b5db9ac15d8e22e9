"""The agent's own decisions, event by event: workers, clock and rendezvous are stand-ins."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from elastic import control
from elastic.agent import agent as agent_module
from elastic.agent import loop as loop_module
from elastic.agent.agent import Agent
from elastic.agent.answers import Answers
from elastic.agent.chaos import Chaos
from elastic.agent.settings import AgentSettings
from elastic.agent.supervisor import Exit
from elastic.control import EXIT_REFUSED
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import Record
from elastic.telemetry.channel import ChannelClosed
from elastic.world import Member

KILLED = -signal.SIGKILL


@dataclass(eq=False)
class FakeWorker:
    """A worker process that says and hears what the test wants."""

    local_rank: int
    pid: int
    told: list[Any] = field(default_factory=list)
    killed_because: str = ""
    exit: Exit | None = None
    state: str = "S"
    activity: Any = None

    def __post_init__(self) -> None:
        self.log = SimpleNamespace(rank=None, tail="its last lines")
        self.channel = self

    def send(self, message: Any) -> None:
        """Its end of the channel."""
        if self.exit is not None:
            raise ChannelClosed("the worker is gone")
        self.told.append(message)

    def kill(self, reason: str) -> None:
        """SIGKILL."""
        self.killed_because = self.killed_because or reason

    def heard(self, kind: type) -> list[Any]:
        """What it was told of this kind."""
        return [message for message in self.told if isinstance(message, kind)]


class Host:
    """An agent among stand-ins."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, **settings: Any):
        self.now = 100.0
        for module in (agent_module, loop_module):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)
        self.out: list[str] = []
        console = SimpleNamespace(out=self.out.append, err=self.out.append)
        settings = {"nproc": 2} | settings
        self.agent = Agent(AgentSettings("train.py", **settings), console, stack)
        self.posted: list[Any] = []
        self.failures: list[tuple[str, str]] = []
        self.agent.rendezvous = SimpleNamespace(
            post=self.posted.append,
            site=SimpleNamespace(agent="here:1"),
            note_failure=lambda place, text: self.failures.append((place, text)),
        )
        self.all: list[FakeWorker] = []
        self.agent.supervisor = SimpleNamespace(
            spawn=self._spawn, settings=self.agent.settings, workers=()
        )
        self.fails_to_spawn = 0
        for rank in range(self.agent.settings.nproc):
            self.agent._spawn(rank)

    def _spawn(self, local_rank: int) -> FakeWorker:
        if self.fails_to_spawn:
            self.fails_to_spawn -= 1
            raise OSError("no more processes")
        self.all.append(FakeWorker(local_rank, 1000 + len(self.all)))
        self._living()
        return self.all[-1]

    def _living(self) -> None:
        self.agent.supervisor.workers = tuple(w for w in self.all if w.exit is None)

    # -- what happens ------------------------------------------------------------------------

    def say(self, worker: FakeWorker, *messages: Any) -> None:
        for message in messages:
            self.agent._on_message(worker, message)

    def ready(self, *workers: FakeWorker) -> None:
        for worker in workers:
            self.say(worker, control.Ready(f"here:{worker.pid}"))

    def dies(self, worker: FakeWorker, code: int = KILLED) -> None:
        worker.exit = Exit(code, self.now, worker.killed_because)
        self._living()
        self.agent._on_exit(worker)

    def passes(self, seconds: float = 0.0) -> None:
        """Let time go by; whatever is due happens."""
        self.now += seconds
        self.agent._loop.deliver(do.Say("a moment later"))  # or the selector would wait
        self.agent._turn()

    def group(self, generation: int, *workers: FakeWorker, lost: Any = (), **more: Any) -> None:
        """The record names these members of this agent, and whoever else is given."""
        ids = tuple(self.id(worker) for worker in workers) + more.pop("others", ())
        members = tuple(Member(id) for id in ids)
        record = Record(generation, ids, "why", lost=lost)
        self.agent._take(do.TellGroup(record, members, ids, more.pop("paused", False)))

    def id(self, worker: FakeWorker) -> str:
        return self.agent._members.ids[worker]

    def trains(self, worker: FakeWorker, step: int) -> None:
        self.say(worker, control.Committed(step, self.now))

    def posts(self, kind: type) -> list[Any]:
        return [event for event in self.posted if isinstance(event, kind)]

    @property
    def living(self) -> list[int]:
        return [worker.local_rank for worker in self.all if worker.exit is None]


@pytest.fixture
def host_of(monkeypatch):
    with ExitStack() as stack:
        yield lambda **settings: Host(stack, monkeypatch, **settings)


@pytest.fixture
def host(host_of):
    """Two workers in a group that has trained three steps."""
    return training(host_of())


def training(host: Host) -> Host:
    host.ready(*host.all)
    host.group(1, *host.all)
    for worker in host.all:
        host.trains(worker, 3)
    return host


# -- members -------------------------------------------------------------------------------------


def test_the_first_workers_become_members_together(host_of):
    host = host_of(nproc=3, min_workers=2, max_workers=5)
    first, second, third = host.all
    host.ready(first, second)
    assert not host.posted
    host.ready(third)
    (event,) = host.posts(ev.WorkersReady)
    assert [m.id for m in event.members] == [host.id(worker) for worker in host.all]
    assert [m.address for m in event.members] == ["here:1000", "here:1001", "here:1002"]
    assert {m.agent for m in event.members} == {"here:1"}
    assert first.told == [control.Admission(host.id(first), 2, 5)]


def test_who_dies_before_it_is_ready_keeps_nobody_waiting(host_of):
    host = host_of(nproc=2)
    host.ready(host.all[0])
    host.dies(host.all[1], 1)
    (event,) = host.posts(ev.WorkersReady)
    assert len(event.members) == 1
    assert not host.posts(ev.WorkerExited), "it was no member"


def test_who_is_outside_gets_a_new_id(host):
    """M6: a worker that was taken for dead returns as a newcomer."""
    worker = host.all[0]
    before = host.id(worker)
    host.agent._take(do.Readmit((before,)))
    assert host.id(worker) != before
    assert host.posts(ev.WorkersReady)[-1].members[0].id == host.id(worker)
    assert worker.heard(control.Admission)[-1].id == host.id(worker)


def test_members_hear_of_their_group(host):
    """Ranks go to the logs; the first sign belongs to the loss that it was of."""
    first, second = host.all
    host.say(first, control.Suspect(1, "far", "refused", 99.0))
    host.group(2, second, first, lost=("far",))
    told = second.heard(control.Group)[-1]
    assert (told.generation, told.lost, told.first_sign, told.decided) == (2, ("far",), 99.0, 100.0)
    assert (first.log.rank, second.log.rank) == (1, 0)
    host.group(3, second, first, lost=("farther",))
    assert first.heard(control.Group)[-1].first_sign == 0.0


def test_a_suspicion_of_our_own_waits_for_its_exit(host):
    """M6: a broken connection is seen before the exit that is its reason."""
    first, second = host.all
    own, far = control.Suspect(1, host.id(second), "x", 100.0), control.Suspect(1, "f", "x", 100.0)
    host.say(first, own, far)
    assert [event.id for event in host.posts(ev.Suspected)] == ["f"]
    host.dies(second)
    host.passes(0.1)
    assert [event.id for event in host.posts(ev.Suspected)] == ["f"]
    assert len(host.posts(ev.WorkerExited)) == 1


def test_a_suspicion_of_our_own_that_lives_is_told(host):
    first, second = host.all
    host.say(first, control.Suspect(1, host.id(second), "x", 100.0))
    host.passes(0.1)
    (event,) = host.posts(ev.Suspected)
    assert (event.id, event.by) == (host.id(second), host.id(first))


def test_what_members_agree_on_and_finish_goes_to_the_rendezvous(host):
    worker = host.all[0]
    join = control.Candidate(7, "new")
    host.say(worker, control.Boundary(1, 4, (join,), ("old",)), control.Finished(1, {"steps": 4}))
    assert host.posted[-2:] == [
        ev.BoundaryReached(1, 4, (join,), ("old",)),
        ev.WorkersFinished(1, {"steps": 4}),
    ]


def test_candidates_are_told_to_members_only(host):
    host.group(2, host.all[0])
    told = do.TellCandidates((control.Candidate(1, "new"),))
    host.agent._take(told)
    assert host.all[0].heard(control.Candidates) == [control.Candidates(told.candidates)]
    assert not host.all[1].heard(control.Candidates)


# -- restarts ------------------------------------------------------------------------------------


def test_a_dead_worker_starts_after_the_survivors_first_step(host):
    """S10: a starting interpreter takes a core."""
    first, second = host.all
    host.dies(second)
    host.trains(first, 4)  # the step in flight may have been reduced before
    host.passes(60)
    assert host.living == [0]
    host.group(2, first, lost=("x",))
    host.passes()
    assert host.living == [0]
    host.trains(first, 5)
    host.passes()
    assert host.living == [0, 1]


def test_evidence_is_no_step(host):
    """S10, D2: lines that open the audit or are said again come before the first step."""
    first, second = host.all
    host.dies(second)
    host.group(2, first, lost=("x",))
    opening = {"open": 3, "lineage": "00"}
    again = {"step": 3, "epoch": 0, "generation": 1, "lineage": "00", "leaves": []}
    for line in (opening, {"resume": 3, "lineage": "00"}, again, None):
        host.say(first, control.Committed(3, 100.0, {}, line))
    host.passes(60)
    assert host.living == [0]


def test_it_waits_for_its_back_off_too(host):
    """First 0.5 s; twice as long when it dies again without a step."""
    first, second = host.all
    host.dies(second)
    host.group(2, first, lost=("x",))
    host.trains(first, 4)
    host.passes(0.4)
    assert host.living == [0]
    host.passes(0.2)
    assert host.living == [0, 1]
    host.dies(host.all[-1], 1)  # while it was starting: nobody was lost
    host.passes(0.9)
    assert host.living == [0]
    host.passes(0.2)
    assert host.living == [0, 1]
    newcomer = host.all[-1]
    host.ready(newcomer)
    host.group(3, first, newcomer)
    host.trains(newcomer, 9)
    host.dies(newcomer)
    host.group(4, first, lost=("y",))
    host.trains(first, 10)
    host.passes(0.6)
    assert host.living == [0, 1], "its back-off began anew"


def test_many_steps_leave_no_timers(host):
    """Each commit while a worker waits for its back-off once left one."""
    host.dies(host.all[1])
    host.group(2, host.all[0], lost=("x",))
    for step in range(4, 50):
        host.trains(host.all[0], step)
    assert host.agent._loop._timers == []


def test_without_survivors_nobody_is_waited_for(host):
    """S10."""
    for worker in list(host.all):
        host.dies(worker)
    host.passes(0.4)
    assert host.living == []
    host.passes(0.2)
    assert sorted(host.living) == [0, 1]


def test_below_the_minimum_nobody_is_waited_for(host_of):
    """S10: the survivors make no step before more come."""
    host = training(host_of(min_workers=2))
    first, second = host.all
    host.dies(second)
    host.passes(0.6)
    assert host.living == [0], "it may be that others are enough"
    host.group(2, first, lost=("x",), paused=True)
    host.passes()
    assert host.living == [0, 1]


def test_restarts_are_counted_over_all_workers(host_of):
    """Once they are used the agent fails when its last worker is gone."""
    host = training(host_of(max_restarts=1))
    host.dies(host.all[0])
    assert "restart 1 of 1, after 0.5 s" in host.out[-1]
    host.dies(host.all[1])
    assert "all 1 restarts of this agent are used (--max-restarts)" in host.out[-1]
    assert host.agent._outcome.failed
    host.passes(60)
    assert host.living == [0]


def test_who_is_refused_is_not_started_again(host):
    """B6: it would be refused again."""
    host.dies(host.all[1], EXIT_REFUSED)
    host.group(2, host.all[0], lost=("x",))
    host.trains(host.all[0], 4)
    host.passes(60)
    assert host.living == [0]
    assert "starting it again cannot help" in "".join(host.out)


def test_a_process_that_cannot_be_had_counts_as_an_exit(host):
    host.fails_to_spawn = 1
    for worker in list(host.all):
        host.dies(worker)
    host.passes(0.6)
    assert "could not be started: no more processes" in "".join(host.out)
    host.passes(60)
    assert len(host.living) == 2


# -- failures of the user's code -----------------------------------------------------------------


def test_a_failure_is_noted_and_must_end_its_worker(host):
    """S7: its threads may keep it alive."""
    worker = host.all[0]
    host.say(worker, control.Failure("step 4 micro-batch 1", "Traceback"))
    ((place, text),) = host.failures
    assert place == "step 4 micro-batch 1"
    assert text.endswith(f"pid {worker.pid}) on {host.agent.evidence.host}: Traceback\nTraceback")
    host.passes(9)
    assert not worker.killed_because
    host.passes(2)
    assert worker.killed_because == "it did not end after its failure"


def exit_code(host: Host) -> int:
    return host.agent._exit_code()


def test_the_cause_of_a_failed_job_is_said_once(host):
    host.agent._take(do.TellOver(None, "failed twice at sync:\nTraceback"))
    assert host.all[0].heard(control.JobFailed) == [
        control.JobFailed("failed twice at sync:\nTraceback")
    ]
    host.passes(1.1)
    assert {worker.killed_because for worker in host.all} == {"the job has failed"}
    assert exit_code(host) == 1
    said = [line for line in host.out if "the training failed" in line]
    assert said == ["elastic-run: the training failed: failed twice at sync:\nTraceback"]


# -- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_members_to_leave_and_ends_the_others(host, number):
    """P2, S4: in one change; who is in no group has nothing to leave."""
    first, second = host.all
    host.group(2, first)
    host.agent._take(int(number))
    name = signal.Signals(number).name
    (asked,) = first.heard(control.LeaveRequest)
    assert (asked.reason, asked.ids) == (name, (host.id(first),))
    assert second.killed_because == f"{name}, and it was in no group"
    assert host.posts(ev.LeaveAsked) == [ev.LeaveAsked(name)]
    host.dies(second)
    host.passes(24)
    assert not first.killed_because
    assert host.living == [0], "and nobody is started again"
    host.passes(2)
    assert first.killed_because == "out of grace"
    assert exit_code(host) == 128 + number


def test_ctrl_c_twice_means_now(host):
    """P2."""
    host.agent._take(int(signal.SIGINT))
    assert not any(worker.killed_because for worker in host.all)
    host.agent._take(int(signal.SIGINT))
    assert {worker.killed_because for worker in host.all} == {"a second Ctrl-C"}


def test_sigterm_twice_means_no_more_than_once(host):
    """A service manager may repeat itself within the grace."""
    for _ in range(2):
        host.agent._take(int(signal.SIGTERM))
    assert not any(worker.killed_because for worker in host.all)
    assert len(host.all[0].heard(control.LeaveRequest)) == 1


def test_who_leaves_is_not_admitted_anew(host):
    """P2, M6: it would join again what it was asked to leave."""
    host.agent._take(int(signal.SIGTERM))
    worker = host.all[0]
    host.agent._take(do.Readmit((host.id(worker),)))
    assert worker.killed_because == "its agent leaves, and it was in no group"
    assert len(host.posts(ev.WorkersReady)) == 1


# -- the end -------------------------------------------------------------------------------------

RESULT = {"steps": 3, "digest": "sha256:d", "state_digest": "sha256:s", "metrics": {}}


def test_a_job_that_is_done_ends_well(host):
    """M10: members are told, those who were starting are not needed."""
    first, second = host.all
    host.dies(second)
    host.group(2, first, lost=("x",))
    host.trains(first, 4)
    host.passes(0.6)
    starting = host.all[-1]
    host.agent._take(do.TellOver(RESULT, ""))
    assert first.heard(control.JobDone) == [control.JobDone(RESULT)]
    assert starting.killed_because == "the job is over"
    host.dies(first, 0)
    host.dies(starting)
    assert exit_code(host) == 0


def test_a_script_that_fails_after_training_is_no_success(host):
    """The weights are trained, but perhaps not saved."""
    host.agent._take(do.TellOver(RESULT, ""))
    host.dies(host.all[0], 1)
    host.dies(host.all[1], 0)
    assert "the job is done, but after it a worker exited with 1" in host.out[-1]
    host.passes(60)
    assert host.living == [], "it is not started again"
    assert exit_code(host) == 1


def test_no_failure_and_no_job_is_no_failure(host_of):
    """A script that never trains."""
    host = host_of()
    for worker in list(host.all):
        host.dies(worker, 0)
    assert exit_code(host) == 0


# -- answers for others --------------------------------------------------------------------------


def answer_of(host: Host, id: str) -> dict[str, Any]:
    agent = host.agent
    return Answers(agent.settings, agent._members, agent.evidence.board).answer(id)


def test_the_agent_answers_for_its_members(host):
    """M6."""
    worker = host.all[0]
    id = host.id(worker)
    worker.activity = "train_step (step 3)"
    answer = {"alive": True, "pid": worker.pid, "state": "S", "activity": "train_step (step 3)"}
    assert answer_of(host, id) == answer
    worker.state = "Z"
    assert answer_of(host, id)["alive"] is False
    host.dies(worker)
    assert answer_of(host, id) == {"alive": False, "reason": "its agent knows of its end"}


# -- workers that stand still --------------------------------------------------------------------


def stop(host, *workers):
    """Stop them, long enough to be seen."""
    for worker in workers:
        worker.state = "T"
    host.agent._watchdog.wake()
    host.passes()
    host.passes(1.1)
    host.passes()


def go_on(host, worker):
    worker.state = "S"
    host.agent._watchdog.wake()
    host.passes()


def test_a_stopped_worker_is_dead_to_the_group_and_returns_under_another_id(host):
    """S8, M6."""
    sleeper = host.all[0]
    before = host.id(sleeper)
    stop(host, sleeper)
    assert host.posts(ev.WorkerExited)[-1].id == before
    assert answer_of(host, before)["alive"] is False
    host.passes(60)
    assert host.living == [0, 1], "it is not started again"
    go_on(host, sleeper)
    assert host.id(sleeper) != before
    assert host.posts(ev.WorkersReady)[-1].members[0].id == host.id(sleeper)


def test_what_a_fenced_worker_says_as_the_member_it_was_means_nothing(host):
    """S8: until it speaks of a later generation."""
    sleeper = host.all[0]
    stop(host, sleeper)
    seen = len(host.posted)
    host.say(sleeper, control.Suspect(1, "x", "late", 0.0), control.Finished(1, {"steps": 1}))
    go_on(host, sleeper)
    host.say(sleeper, control.Boundary(1, 5), control.Committed(5, 0.0))
    assert [type(event) for event in host.posted[seen:]] == [ev.WorkersReady]
    host.say(sleeper, control.Event("sync", 0.0, {"generation": 9}), control.Boundary(9, 5))
    assert host.posts(ev.BoundaryReached)


def test_nobody_is_fenced_if_all_are_stopped(host):
    """S8: nobody would be left who holds the State."""
    stop(host, *host.all)
    assert not host.posts(ev.WorkerExited)
    go_on(host, host.all[0])
    host.passes(1.1)
    host.passes()
    assert len(host.posts(ev.WorkerExited)) == 1


def test_a_stopped_worker_of_an_agent_that_leaves_is_killed(host):
    """P2: it cannot leave by itself, and the others shall not wait out the grace."""
    host.agent._on_signal(signal.SIGTERM)
    stop(host, host.all[0])
    assert "stopped" in host.all[0].killed_because
    assert not host.all[1].killed_because


# -- chaos ---------------------------------------------------------------------------------------


def chaotic(host_of, kind):
    host = training(host_of(nproc=3, max_restarts=0, chaos=Chaos(1, {kind: 1.0})))
    host.passes()
    return host


def test_a_worker_that_chaos_killed_costs_no_restart(host_of):
    host = chaotic(host_of, "kill")
    (victim,) = [worker for worker in host.all if worker.killed_because]
    host.dies(victim)
    survivors = [worker for worker in host.all if worker is not victim]
    host.group(2, *survivors, lost=("x",))
    host.trains(survivors[0], 4)
    host.passes(1.0)
    assert host.living.count(victim.local_rank) == 1, "started again, though none is allowed"
    assert not host.agent._outcome.failed


def test_a_worker_that_chaos_asked_to_leave_is_not_missed(host_of):
    host = chaotic(host_of, "leave")
    (victim,) = [worker for worker in host.all if worker.heard(control.LeaveRequest)]
    host.dies(victim, 0)
    host.passes(5.0)
    assert len(host.living) == 2
    assert not host.agent._outcome.failed
