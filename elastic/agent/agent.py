"""One `elastic-run`: the loop that joins the workers of this host with the rendezvous of the job.

All but the rendezvous and the ping server happens in the main thread, under one selector: what
workers say and how they end, signals, and what the rendezvous delivers. What is decided here is
only the agent's own: when a dead worker is started again, and when all is over.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from elastic import control
from elastic.agent.answers import Answers
from elastic.agent.cli import EXIT_FAILED
from elastic.agent.evidence import Evidence
from elastic.agent.injection import Actions as ChaosActions
from elastic.agent.injection import Injector
from elastic.agent.live import LiveView, open_console
from elastic.agent.logs import Console, Logs
from elastic.agent.loop import Loop
from elastic.agent.members import Members, Signs
from elastic.agent.opening import already_over, join, open_health_port, open_store, site_of
from elastic.agent.outcome import Outcome
from elastic.agent.ping import PingServer, greet
from elastic.agent.postmortem import Postmortem
from elastic.agent.respawn import Respawns
from elastic.agent.settings import AgentSettings
from elastic.agent.supervisor import Exit, Supervisor, Worker
from elastic.agent.watchdog import Actions, Watchdog
from elastic.clock import monotonic
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.record import DONE, FAILED
from elastic.rendezvous.service import Rendezvous
from elastic.rendezvous.settings import Settings
from elastic.telemetry.channel import ChannelClosed
from elastic.telemetry.refusals import Refusals
from elastic.world import Member, World

__all__ = ["run"]

_EXIT_S = 0.05
"""A dead worker's connections break before its exit is seen, by so much at most."""
_FAILED_END_S = 10.0
"""How long a worker whose script has failed may take to end: its threads may keep it alive."""


def run(settings: AgentSettings) -> int:
    """Return the exit code of `elastic-run`, when all is over and nothing is left behind.

    Raises:
        StoreUnavailable: the store was not reached in time.
        AuthError: the job was begun with another token.
        ConfigError: `--fresh`, but the job is not over.
    """
    with ExitStack() as stack:
        console, show = open_console(live=not settings.no_live)
        stack.callback(console.close)
        return Agent(settings, console, stack, show).run()


class Agent:
    """The workers of one host and their part in the job."""

    def __init__(
        self,
        settings: AgentSettings,
        console: Console,
        stack: ExitStack,
        show: Callable[[str], None] | None = None,
    ):
        self.settings, self.console, self._stack = settings, console, stack
        self.evidence = Evidence(
            settings, lambda line: console.out(f"elastic-run: {line}"), tells_steps=show is None
        )
        self._live = LiveView(self.evidence.board, show) if show else None
        """A status line on a terminal."""
        self._loop = Loop(stack)
        self._members, self._signs = Members(), Signs()
        self._early: list[Worker] | None = []
        """The first workers become members together; None once they have."""
        self._respawns = Respawns(settings.max_restarts)
        self._postmortem = Postmortem(self.evidence.host)
        self._outcome = Outcome()
        self._refusals = Refusals("ping", self._loop.deliver)
        self._watchdog = Watchdog(
            settings.step_timeout_s,
            Actions(self._loop.at, self._fence, self._readmit, self._missed),
        )
        may = ChaosActions(
            self._loop.after,
            self._send,
            self._spawn,
            self._local_ranks,
            lambda: self._outcome.is_ending,
            self.evidence.injected,
        )
        self._injector = Injector(settings, may)

    # -- the beginning and the end -------------------------------------------------------------

    def run(self) -> int:
        """Return the exit code."""
        self._loop.catch_signals(self._watchdog.wake)
        self._join()
        over = already_over(self.rendezvous, self.settings, self.evidence, self.console)
        if over is not None:
            return over
        self._start_workers()
        while self.supervisor.workers or self._respawns.local_ranks:
            self._turn()
        self._hear_last_refusals()
        return self._exit_code()

    def _join(self) -> None:
        asked = self.settings
        store = open_store(asked, self.console, self._stack)
        open_health_port(asked, self.evidence, self.console, self._stack)
        answers = Answers(asked, self._members, self.evidence.board)
        ping = PingServer(asked.bind, asked.token, answers.answer, self._refusals)
        self._stack.callback(ping.close)
        self.rendezvous = Rendezvous(
            store,
            site_of(asked, ping.address),
            Settings(asked.min_workers, asked.max_workers),
            self._loop.deliver,
            answers.probe,
            lambda agent: greet(agent, ping.address, asked.token),
        )
        join(self.rendezvous, store, asked, self._loop.signalled)
        self._stack.callback(self.rendezvous.close)

    def _start_workers(self) -> None:
        logs = Logs(self.console, self.settings.log_dir)
        self._stack.callback(logs.close)
        self.supervisor = Supervisor(
            self.settings, self._loop.selector, logs, self._on_message, self._on_exit
        )
        self._stack.callback(self.supervisor.close)
        for rank in range(self.settings.nproc):
            self._spawn(rank)

    def _hear_last_refusals(self) -> None:
        self._refusals.close()
        for item in self._loop.delivered():
            if isinstance(item, control.Event):
                self.evidence.observe(item)

    def _exit_code(self) -> int:
        if self.settings.chaos:
            self.console.out(f"elastic-run: {self._injector}")
        outcome = self._outcome
        verdict = self.evidence.finish(outcome.over.result if outcome.over else None)
        if verdict not in ("", "ok"):
            self.console.err(f"elastic-run: the audit fails: {verdict}")
            return EXIT_FAILED
        if outcome.failure is not None:
            self.console.err(f"elastic-run: the training failed: {outcome.failure}".rstrip())
        return outcome.exit_code

    # -- the loop ------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = monotonic()
        self.evidence.board.beat(now)
        if self._live is not None:
            self._live.refresh(now)
        self._loop.do_due(now)
        for rank in self._respawns.take_due(now, self._survivors()):
            self._spawn(rank)
        self._watchdog.look(self.supervisor.workers, now)
        self._loop.wait([now + 1.0, *self._respawns.alarms(self._survivors())])
        for item in self._loop.delivered():
            self._take(item)

    def _survivors(self) -> int:
        return self._members.survivors(self.settings.min_workers)

    def _take(self, item: Any) -> None:
        if isinstance(item, int):
            return self._on_signal(item)
        handlers: dict[type, Callable[[Any], None]] = {
            do.TellGroup: self._on_group,
            do.TellCandidates: self._on_candidates,
            do.TellOver: self._on_over,
            do.Readmit: self._on_readmit,
            do.Say: lambda say: self.console.out(f"elastic-run: {say.text}"),
            control.Event: self.evidence.observe,  # a door of the agent's own
        }
        return handlers[type(item)](item)

    # -- workers -------------------------------------------------------------------------------

    def _spawn(self, local_rank: int) -> None:
        try:
            worker = self.supervisor.spawn(local_rank)
        except OSError as error:
            done = self._owe(local_rank)
            self.console.err(
                f"elastic-run: worker {local_rank} could not be started: {error}; {done}"
            )
            return
        if self._early is not None:
            self._early.append(worker)
        self.evidence.event("start", **self._members.who(worker))

    def _local_ranks(self) -> set[int]:
        """Of all workers that there are or will be."""
        living = {worker.local_rank for worker in self.supervisor.workers}
        return living | self._respawns.local_ranks

    def _on_message(self, worker: Worker, message: Any) -> None:
        if not self._members.is_heard(worker, message):
            return
        handlers: dict[type, Callable[[Worker, Any], None]] = {
            control.Ready: self._on_ready,
            control.Suspect: self._on_suspect,
            control.Boundary: self._on_boundary,
            control.Committed: self._on_committed,
            control.Event: self._on_event,
            control.Failure: self._on_failure,
            control.Finished: self._on_finished,
        }
        handlers[type(message)](worker, message)

    def _on_ready(self, worker: Worker, message: control.Ready) -> None:
        self._members.addresses[worker] = message.address
        self.evidence.event("ready", **self._members.who(worker))
        if self._early is None:
            self._admit([worker])
        else:
            self._admit_first()

    def _admit_first(self) -> None:
        """The first workers of an agent become members together, once all are ready or dead."""
        living = [worker for worker in self._early or [] if worker.exit is None]
        if living and all(worker in self._members.addresses for worker in living):
            self._early = None
            self._admit(living)

    def _admit(self, workers: list[Worker]) -> None:
        if self._outcome.signal:  # they would join again what they were asked to leave (P2)
            for worker in workers:
                worker.kill("its agent leaves, and it was in no group")
            return
        members = []
        for worker in workers:
            id, address = self._members.name(worker), self._members.addresses[worker]
            members.append(Member(id, address, self.rendezvous.site.agent))
            admission = control.Admission(id, self.settings.min_workers, self.settings.max_workers)
            self._send(worker, admission)
        self.rendezvous.post(ev.WorkersReady(tuple(members)))

    def _on_suspect(self, worker: Worker, message: control.Suspect) -> None:
        self._signs.saw(message.t)
        self.evidence.event(
            "suspect", **self._members.who(worker), accused=message.id, reason=message.reason
        )
        by = self._members.ids[worker]
        event = ev.Suspected(message.generation, message.id, by, message.reason)
        if message.id in self._members.ids.values():
            # One of ours: if it is dead, its exit says so in a moment, and says better why.
            self._loop.at(monotonic() + _EXIT_S, lambda: self._suspect_ours(event))
        else:
            self.rendezvous.post(event)

    def _suspect_ours(self, event: ev.Suspected) -> None:
        if event.id in self._members.ids.values():
            self.rendezvous.post(event)

    def _on_boundary(self, worker: Worker, message: control.Boundary) -> None:
        self.rendezvous.post(
            ev.BoundaryReached(message.generation, message.step, message.joins, message.leaves)
        )

    def _on_committed(self, worker: Worker, message: control.Committed) -> None:
        self.evidence.observe(message, **self._members.who(worker))
        if self._members.is_applied(worker, message):
            generation = self._members.group.generation
            self._respawns.trained(generation, worker.local_rank)
            if not self._outcome.failed:
                self._outcome.root_cause.trained(generation)
            self._plan_faults(message.step)

    def _plan_faults(self, step: int) -> None:
        if not self._outcome.is_ending:
            ours = {id: worker for worker, id in self._members.ids.items()}
            self._injector.committed(step, monotonic(), self._members.group, ours)

    def _on_event(self, worker: Worker, message: control.Event) -> None:
        self.evidence.observe(message, **self._members.who(worker))

    def _on_failure(self, worker: Worker, message: control.Failure) -> None:
        text = self._postmortem.raised(worker, self._members.ids.get(worker, ""), message)
        self.rendezvous.note_failure(message.place, text)
        reason = "it did not end after its failure"
        self._loop.at(monotonic() + _FAILED_END_S, lambda: worker.kill(reason))

    def _on_finished(self, worker: Worker, message: control.Finished) -> None:
        self.rendezvous.post(ev.WorkersFinished(message.generation, message.result))

    def _on_exit(self, worker: Worker) -> None:
        assert worker.exit is not None
        self.evidence.event(
            "exit", **self._members.who(worker), reason=str(worker.exit), how=worker.exit.how
        )
        id = self._members.forget(worker)
        if id:
            self._lose(id, f"{self._postmortem.where(worker)}, {worker.exit}", worker.exit.t)
        if self._early is not None:
            self._admit_first()
        if self._outcome.is_done:
            self._on_late_exit(worker.exit)
        elif not self._outcome.is_ending and (id or worker.exit.code):
            # a member that goes before the end has not done, whatever it says
            self._on_death(worker, id)

    def _lose(self, id: str, reason: str, t: float) -> None:
        """Tell that a member of ours is dead, of which the first sign was seen at `t`."""
        if id in self._members.grouped:
            self._respawns.lost(self._members.group.generation)
            self._signs.saw(t)
        self.rendezvous.post(ev.WorkerExited(id, reason))

    def _on_late_exit(self, exit: Exit) -> None:
        if exit.code != control.EXIT_DONE and not exit.killed_because:
            self._outcome.failed_after = True
            self.console.err(f"elastic-run: the job is done, but after it a worker {exit}")

    def _on_death(self, worker: Worker, id: str) -> None:
        assert worker.exit is not None
        fault = self._injector.took(worker)
        if fault:  # it costs no restart, and who was asked to leave is not missed
            if fault == "kill":
                self._respawns.grant(worker.local_rank, monotonic())
            return
        cause = self._postmortem.cause(
            worker, id, self._members.group.generation, self.evidence.step
        )
        if worker.exit.code == control.EXIT_REFUSED:
            self._outcome.failed = True
            done = "starting it again cannot help"
        else:
            done = self._owe(worker.local_rank)
        self.console.err(f"elastic-run: {cause.headline}; {done}")
        cause = replace(cause, done=done)
        self._outcome.root_cause.failed(cause)
        self.evidence.event("failure", **self._members.who(worker) | cause.fields())

    def _owe(self, local_rank: int) -> str:
        """Have a worker started again, if the allowance permits, after a back-off; say which."""
        verdict = self._respawns.owe(local_rank, monotonic())
        if verdict.delay_s is None:
            self._outcome.failed = True
        else:
            self.evidence.event("restart", local_rank=local_rank, delay_s=verdict.delay_s)
        return verdict.reason

    def _send(self, worker: Worker, message: Any) -> None:
        with suppress(ChannelClosed):  # its exit is on its way to us
            worker.channel.send(message)

    # -- workers that stand still --------------------------------------------------------------

    def _fence(self, worker: Worker, reason: str) -> bool:
        """Count a stopped worker as dead, unless all that its group has left is stopped (S8)."""
        if not self._members.may_fence(worker):
            return False
        self.console.err(f"elastic-run: worker {worker.log.rank} (pid {worker.pid}) {reason}")
        self.evidence.event("fenced", **self._members.who(worker), reason=reason)
        if self._outcome.is_ending:
            worker.kill(reason)
        else:
            self._lose(self._members.fence(worker), reason, monotonic())
        return True

    def _readmit(self, worker: Worker) -> None:
        self.console.err(
            f"elastic-run: worker (pid {worker.pid}) goes on: it returns as a newcomer"
        )
        self.evidence.event("readmitted", **self._members.who(worker))
        self._admit([worker])

    def _missed(self, id: str, since: float) -> None:
        """Somebody waits for a member of another agent: ours we see ourselves."""
        if id not in self._members.ids.values():
            self._signs.waited(id, since)
            generation = self._members.group.generation
            self.rendezvous.post(ev.Suspected(generation, id, "", "it is waited for"))

    # -- what the rendezvous says --------------------------------------------------------------

    def _on_group(self, told: do.TellGroup) -> None:
        record, now = told.record, monotonic()
        self._members.grouped = set(told.ids) & set(record.ids)
        self.supervisor.settings = replace(self.supervisor.settings, fresh=False)
        group = control.Group(
            record.generation,
            told.members,
            record.cause,
            paused=told.paused,
            planned=record.planned,
            lost=record.lost,
            first_sign=self._signs.take(record.lost),
            decided=now if record.lost else 0.0,
        )
        self._members.group = World(record.generation, told.members, cause=record.cause)
        for worker in self._members.of(told.ids):
            id = self._members.ids[worker]
            worker.log.rank = record.ids.index(id) if id in record.ids else None
            self._send(worker, group)
        self.evidence.grouped(group)

    def _on_candidates(self, told: do.TellCandidates) -> None:
        for worker in self._members.of(self._members.grouped):
            self._send(worker, control.Candidates(told.candidates))

    def _on_readmit(self, told: do.Readmit) -> None:
        self._admit(self._members.of(told.ids))

    def _on_over(self, told: do.TellOver) -> None:
        self._outcome.over = told
        self._respawns.clear()
        status = FAILED if told.result is None else DONE
        self.evidence.event("over", status=status, cause=told.cause)
        if told.result is not None:
            message: Any = control.JobDone(told.result)
        else:
            message = control.JobFailed(told.cause)
            self._loop.at(monotonic() + 1.0, partial(self._kill_all, "the job has failed"))
        for worker in self.supervisor.workers:
            if worker in self._members.ids:
                self._send(worker, message)
            else:
                worker.kill("the job is over")

    def _kill_all(self, reason: str) -> None:
        for worker in self.supervisor.workers:
            worker.kill(reason)

    # -- signals -------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        """Leave after a step that all finish; a second Ctrl-C means now (P2)."""
        if self._outcome.signal and number == signal.SIGINT:
            self._kill_all("a second Ctrl-C")
            return
        if self._outcome.signal:
            return
        self._outcome.signal = number
        self._respawns.clear()
        name = signal.Signals(number).name
        self.console.out(
            f"elastic-run: {name}: leaving after this step "
            f"(at most {self.settings.grace_s:g} s; Ctrl-C again: now)"
        )
        self.evidence.event("leave-asked", reason=name)
        self.rendezvous.post(ev.LeaveAsked(name))
        for worker in self.supervisor.workers:
            if self._members.ids.get(worker) in self._members.grouped:
                self._send(worker, control.LeaveRequest(name, tuple(self._members.grouped)))
            else:
                worker.kill(f"{name}, and it was in no group")
        self._loop.at(monotonic() + self.settings.grace_s, partial(self._kill_all, "out of grace"))
