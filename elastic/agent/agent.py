"""One `elastic-run`: the loop that joins the workers of this host with the rendezvous of the job.

All but the rendezvous and the ping server happens in the main thread, under one selector: what
workers say and how they end, signals, and what the rendezvous delivers. What is decided here is
only the agent's own: when a dead worker is started again, and when all is over.
"""

from __future__ import annotations

import secrets
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from elastic import control
from elastic.agent.cli import EXIT_DONE, EXIT_FAILED
from elastic.agent.embedded_etcd import EmbeddedEtcd
from elastic.agent.evidence import Evidence
from elastic.agent.health import HealthServer
from elastic.agent.injection import Actions as ChaosActions
from elastic.agent.injection import Injector
from elastic.agent.live import LiveView, open_console
from elastic.agent.logs import Console, Logs
from elastic.agent.ping import STATUS, PingServer, greet, probe
from elastic.agent.postmortem import Postmortem
from elastic.agent.restart import RestartPolicy, Restarts, after_exit, after_success
from elastic.agent.root_cause import RootCause
from elastic.agent.settings import AgentSettings
from elastic.agent.supervisor import Exit, Supervisor, Worker
from elastic.agent.watchdog import Actions, Watchdog
from elastic.clock import monotonic
from elastic.errors import ConfigError, StoreUnavailable
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.record import DONE, FAILED
from elastic.rendezvous.service import Rendezvous, Site, forget_job
from elastic.rendezvous.settings import Settings
from elastic.telemetry.channel import ChannelClosed
from elastic.telemetry.events import plain
from elastic.telemetry.refusals import Refusals
from elastic.wire import to_json
from elastic.world import Member, World

__all__ = ["run"]

_EXIT_S = 0.05
"""A dead worker's connections break before its exit is seen, by so much at most."""
_IMPATIENT_S, _PATIENT_S = 0.3, 1.0
"""How long who is probed may be silent: with a sign of its death, and without (M6)."""
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
        self.selector = stack.enter_context(selectors.DefaultSelector())
        self._inbox: deque[Any] = deque()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._ids: dict[Worker, str] = {}
        self._grouped: set[str] = set()
        """Members of this agent in the group that was told last."""
        self._group = World(members=())
        """The group that was told last."""
        self._addresses: dict[Worker, str] = {}
        self._early: list[Worker] | None = []
        """The first workers become members together; None once they have."""
        self._owed: list[tuple[int, float]] = []
        """Local ranks to start again, and not before when."""
        self._applied: dict[Worker, int] = {}
        """The step that each worker said last."""
        self._lost_in, self._trained_in = -1, 0
        """In which generations a member of this agent was lost last, and applied a step last."""
        self._restarts = Restarts()
        self._fenced: dict[Worker, int] = {}
        """Stopped workers that count as dead, with the last generation that they were in."""
        actions = Actions(self._at, self._fence, self._readmit, self._missed)
        self._watchdog = Watchdog(settings.step_timeout_s, actions)
        may = ChaosActions(
            self._after,
            self._send,
            self._spawn,
            self._local_ranks,
            self._is_ending,
            self.evidence.injected,
        )
        self._injector = Injector(settings, may)
        self._first_sign = 0.0
        self._missed_since: dict[str, float] = {}
        """Since when members were waited for that were not heard of."""
        self._root_cause = RootCause()
        self._postmortem = Postmortem(self.evidence.host)
        self._failed = False
        self._failed_after = False
        """A worker failed after the job was done: its script does more than train."""
        self._over: do.TellOver | None = None
        self._signal = 0
        self._refusals = Refusals("ping", self._deliver)
        self._wake, self._waker = socket.socketpair()

    # -- the beginning and the end -------------------------------------------------------------

    def run(self) -> int:
        """Return the exit code."""
        self._catch_signals()
        store = self._open_store()
        self._open_health_port()
        asked = self.settings
        ping = PingServer(asked.bind, asked.token, self._answer, self._refusals)
        self._stack.callback(ping.close)
        self.rendezvous = self._join(store, ping.address)
        self._stack.callback(self.rendezvous.close)
        over = self._job_over_already()
        if over is not None:
            return over
        logs = Logs(self.console, self.settings.log_dir)
        self._stack.callback(logs.close)
        self.supervisor = Supervisor(
            self.settings, self.selector, logs, self._on_message, self._on_exit
        )
        self._stack.callback(self.supervisor.close)
        for rank in range(self.settings.nproc):
            self._spawn(rank)
        while self.supervisor.workers or self._owed:
            self._turn()
        self._hear_last_refusals()
        return self._exit_code()

    def _hear_last_refusals(self) -> None:
        self._refusals.close()
        for item in list(self._inbox):
            if isinstance(item, control.Event):
                self.evidence.observe(item)

    def _catch_signals(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
            self._stack.callback(end.close)
        self.selector.register(self._wake, selectors.EVENT_READ, self._on_wake)
        before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, before)
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.signal(number, lambda number, frame: self._inbox.append(number))
            self._stack.callback(signal.signal, number, handler)
        # A worker that is stopped, or goes on, wakes the loop; exits are seen through pidfds.
        before_it = signal.signal(signal.SIGCHLD, lambda number, frame: self._watchdog.wake())
        self._stack.callback(signal.signal, signal.SIGCHLD, before_it)

    def _open_store(self) -> EtcdStore:
        endpoints = self.settings.endpoints
        if self.settings.standalone:
            etcd = EmbeddedEtcd()
            self._stack.callback(etcd.stop)
            endpoints = (etcd.start(),)
            self.console.out(f"elastic-run: job {self.settings.job!r}, etcd at {endpoints[0]}")
        store = EtcdStore(endpoints, login=self.settings.etcd)
        self._stack.callback(store.close)
        return store

    def _open_health_port(self) -> None:
        if self.settings.health_address is not None:
            server = HealthServer(*self.settings.health_address, self.evidence.board)
            self._stack.callback(server.close)
            self.console.out(f"elastic-run: health at http://{server.address}/healthz")

    def _join(self, store: EtcdStore, agent: str) -> Rendezvous:
        asked = self.settings
        ca = asked.tls.ca_digest() if asked.tls else ""
        rendezvous = Rendezvous(
            store,
            Site(asked.job, agent, asked.lease_ttl_s, asked.token, ca),
            Settings(asked.min_workers, asked.max_workers),
            self._deliver,
            self._probe,
            self._greet,
        )
        deadline = monotonic() + asked.rdzv_timeout_s
        while True:
            try:
                if asked.fresh and not forget_job(store, asked.job):
                    raise ConfigError(
                        f"--fresh expects job {asked.job!r} to be over, but it has members; "
                        "end them first, or take another --rdzv-id"
                    )
                rendezvous.start()
                return rendezvous
            except StoreUnavailable:
                if self._inbox:
                    raise SystemExit(128 + self._inbox[0]) from None
                if monotonic() >= deadline:
                    raise

    def _job_over_already(self) -> int | None:
        """A job that is done is not trained again; one that fails now is not joined (M10)."""
        record = self.rendezvous.record
        if record is not None and record.status == DONE:
            steps, digest = (record.result or {}).get("steps"), (record.result or {}).get("digest")
            self.console.out(
                f"elastic-run: job {self.settings.job!r} is done: {steps} steps, digest {digest}; "
                "--fresh starts it anew"
            )
            self.evidence.finish(record.result)
            return EXIT_DONE
        if record is not None and record.status == FAILED and self.rendezvous.standing.present:
            self.console.err(f"elastic-run: the job has failed: {record.cause}")
            return EXIT_FAILED
        return None

    def _exit_code(self) -> int:
        if self.settings.chaos:
            self.console.out(f"elastic-run: {self._injector}")
        verdict = self.evidence.finish(self._over.result if self._over else None)
        if verdict not in ("", "ok"):
            self.console.err(f"elastic-run: the audit fails: {verdict}")
            return EXIT_FAILED
        if self._over is not None and self._over.result is not None:
            return EXIT_FAILED if self._failed_after else EXIT_DONE
        if self._signal:
            return 128 + self._signal
        if self._over is not None or self._failed:
            self.console.err(f"elastic-run: the training failed: {self._cause()}".rstrip())
            return EXIT_FAILED
        return EXIT_DONE

    def _cause(self) -> str:
        return (self._over.cause if self._over else "") or str(self._root_cause)

    # -- the loop ------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = monotonic()
        self.evidence.board.beat(now)
        if self._live is not None:
            self._live.refresh(now)
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, action in due:
            action()
        self._pay(now)
        self._watchdog.look(self.supervisor.workers, now)
        wait_s = min([now + 1.0, *self._alarms()]) - monotonic()
        for key, _ in self.selector.select(max(0.0, wait_s)):
            key.data()
        while self._inbox:
            self._take(self._inbox.popleft())

    def _alarms(self) -> list[float]:
        owed = [t for _, t in self._owed] if self._may_start() else []
        return [t for t, _ in self._timers] + owed

    def _at(self, t: float, action: Callable[[], None]) -> None:
        self._timers.append((t, action))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(monotonic() + seconds, action)

    def _on_wake(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)

    def _deliver(self, command: Any) -> None:
        """Take what the rendezvous says, from its thread, into the main one."""
        self._inbox.append(command)
        with suppress(BlockingIOError):
            self._waker.send(b".")

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
        self.evidence.event("start", **self._who(worker))

    def _local_ranks(self) -> set[int]:
        """Of all workers that there are or will be."""
        living = {worker.local_rank for worker in self.supervisor.workers}
        return living | {rank for rank, _ in self._owed}

    def _on_message(self, worker: Worker, message: Any) -> None:
        if worker in self._fenced and not self._is_back(worker, message):
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

    def _is_back(self, worker: Worker, message: Any) -> bool:
        """Whether a fenced worker speaks as the member that it is now; the old one is dead."""
        if not isinstance(message, control.Event):
            return isinstance(message, control.Failure)
        if message.fields.get("generation", 0) > self._fenced[worker]:
            del self._fenced[worker]
        return True

    def _on_ready(self, worker: Worker, message: control.Ready) -> None:
        self._addresses[worker] = message.address
        self.evidence.event("ready", **self._who(worker))
        if self._early is None:
            self._admit([worker])
        else:
            self._admit_first()

    def _admit_first(self) -> None:
        """The first workers of an agent become members together, once all are ready or dead."""
        living = [worker for worker in self._early or [] if worker.exit is None]
        if living and all(worker in self._addresses for worker in living):
            self._early = None
            self._admit(living)

    def _admit(self, workers: list[Worker]) -> None:
        if self._signal:  # they would join again what they were asked to leave (P2)
            for worker in workers:
                worker.kill("its agent leaves, and it was in no group")
            return
        members = []
        for worker in workers:
            id = f"{secrets.token_hex(4)}-{worker.local_rank}"
            self._ids[worker] = id
            members.append(Member(id, self._addresses[worker], self.rendezvous.site.agent))
            admission = control.Admission(id, self.settings.min_workers, self.settings.max_workers)
            self._send(worker, admission)
        self.rendezvous.post(ev.WorkersReady(tuple(members)))

    def _on_suspect(self, worker: Worker, message: control.Suspect) -> None:
        self._first_sign = min(self._first_sign or message.t, message.t)
        self.evidence.event(
            "suspect", **self._who(worker), accused=message.id, reason=message.reason
        )
        by = self._ids[worker]
        event = ev.Suspected(message.generation, message.id, by, message.reason)
        if message.id in self._ids.values():
            # One of ours: if it is dead, its exit says so in a moment, and says better why.
            self._at(monotonic() + _EXIT_S, lambda: self._suspect_ours(event))
        else:
            self.rendezvous.post(event)

    def _suspect_ours(self, event: ev.Suspected) -> None:
        if event.id in self._ids.values():
            self.rendezvous.post(event)

    def _on_boundary(self, worker: Worker, message: control.Boundary) -> None:
        self.rendezvous.post(
            ev.BoundaryReached(message.generation, message.step, message.joins, message.leaves)
        )

    def _on_committed(self, worker: Worker, message: control.Committed) -> None:
        self.evidence.observe(message, **self._who(worker))
        if self._is_applied(worker, message):
            self._trained_in = self._group.generation
            if not self._failed:
                self._root_cause.trained(self._trained_in)
            self._restarts = after_success(self._restarts, worker.local_rank)
            self._plan_faults(message.step)

    def _is_ending(self) -> bool:
        return self._over is not None or bool(self._signal)

    def _plan_faults(self, step: int) -> None:
        if not self._is_ending():
            ours = {id: worker for worker, id in self._ids.items()}
            self._injector.committed(step, monotonic(), self._group, ours)

    def _is_applied(self, worker: Worker, message: control.Committed) -> bool:
        """Whether it tells of a new step: a line may also open the audit, or be said again."""
        opens = message.line is not None and "step" not in message.line
        before = self._applied.get(worker, -1)
        self._applied[worker] = message.step
        return message.step > before and not opens

    def _on_event(self, worker: Worker, message: control.Event) -> None:
        self.evidence.observe(message, **self._who(worker))

    def _who(self, worker: Worker) -> dict[str, Any]:
        return {
            "worker": self._ids.get(worker, f"local {worker.local_rank}"),
            "pid": worker.pid,
            "local_rank": worker.local_rank,
            "rank": worker.log.rank,
            "world_size": self._group.size,
            "generation": self._group.generation,
        }

    def _on_failure(self, worker: Worker, message: control.Failure) -> None:
        text = self._postmortem.raised(worker, self._ids.get(worker, ""), message)
        self.rendezvous.note_failure(message.place, text)
        reason = "it did not end after its failure"
        self._at(monotonic() + _FAILED_END_S, lambda: worker.kill(reason))

    def _on_finished(self, worker: Worker, message: control.Finished) -> None:
        self.rendezvous.post(ev.WorkersFinished(message.generation, message.result))

    def _on_exit(self, worker: Worker) -> None:
        assert worker.exit is not None
        self.evidence.event(
            "exit", **self._who(worker), reason=str(worker.exit), how=worker.exit.how
        )
        id = self._ids.pop(worker, "")
        self._addresses.pop(worker, None)
        self._fenced.pop(worker, None)
        self._applied.pop(worker, None)
        if id:
            if id in self._grouped:
                self._lost_in = self._group.generation
                self._first_sign = min(self._first_sign or worker.exit.t, worker.exit.t)
            reason = f"{self._postmortem.where(worker)}, {worker.exit}"
            self.rendezvous.post(ev.WorkerExited(id, reason))
        if self._early is not None:
            self._admit_first()
        if self._over is not None and self._over.result is not None:
            self._on_late_exit(worker.exit)
        elif self._over is None and not self._signal and (id or worker.exit.code):
            # a member that goes before the end has not done, whatever it says
            self._on_death(worker, id)

    def _on_late_exit(self, exit: Exit) -> None:
        if exit.code != control.EXIT_DONE and not exit.killed_because:
            self._failed_after = True
            self.console.err(f"elastic-run: the job is done, but after it a worker {exit}")

    def _on_death(self, worker: Worker, id: str) -> None:
        assert worker.exit is not None
        fault = self._injector.took(worker)
        if fault:  # it costs no restart, and who was asked to leave is not missed
            self._owed += [(worker.local_rank, monotonic())] if fault == "kill" else []
            return
        cause = self._postmortem.cause(worker, id, self._group.generation, self.evidence.step)
        if worker.exit.code == control.EXIT_REFUSED:
            self._failed = True
            done = "starting it again cannot help"
        else:
            done = self._owe(worker.local_rank)
        self.console.err(f"elastic-run: {cause.headline}; {done}")
        cause = replace(cause, done=done)
        self._root_cause.failed(cause)
        self.evidence.event("failure", **self._who(worker) | cause.fields())

    def _owe(self, local_rank: int) -> str:
        """Have a worker started again, if the allowance permits, after a back-off; say which."""
        policy = RestartPolicy(self.settings.max_restarts)
        self._restarts, verdict = after_exit(self._restarts, local_rank, policy)
        if verdict.delay_s is None:
            self._failed = True
            return verdict.reason
        self.evidence.event("restart", local_rank=local_rank, delay_s=verdict.delay_s)
        self._owed.append((local_rank, monotonic() + verdict.delay_s))
        return verdict.reason

    def _may_start(self) -> bool:
        """A starting interpreter takes a core: not before the survivors' first step (S10)."""
        return self._trained_in > self._lost_in or not self._survivors()

    def _survivors(self) -> int:
        """Members of this agent that train now."""
        enough = self._group.size >= self.settings.min_workers
        return len(self._grouped & set(self._ids.values())) if enough else 0

    def _pay(self, now: float) -> None:
        """Start again whoever is owed it and due."""
        if not self._may_start():
            return
        due = [rank for rank, t in self._owed if t <= now]
        self._owed = [(rank, t) for rank, t in self._owed if t > now]
        for rank in due:
            self._spawn(rank)

    def _send(self, worker: Worker, message: Any) -> None:
        with suppress(ChannelClosed):  # its exit is on its way to us
            worker.channel.send(message)

    # -- workers that stand still --------------------------------------------------------------

    def _fence(self, worker: Worker, reason: str) -> bool:
        """Count a stopped worker as dead, unless all that its group has left is stopped (S8)."""
        running = {id for other, id in self._ids.items() if other.state != "T"}
        others = set(self._group.ids) - set(self._ids.values())
        id = self._ids.get(worker, "")
        if not id or (id in self._grouped and not (running & self._grouped or others)):
            return False
        self.console.err(f"elastic-run: worker {worker.log.rank} (pid {worker.pid}) {reason}")
        self.evidence.event("fenced", **self._who(worker), reason=reason)
        if self._signal or self._over is not None:
            worker.kill(reason)
            return True
        del self._ids[worker]
        self._fenced[worker] = self._group.generation
        if id in self._grouped:
            self._lost_in = self._group.generation
            self._first_sign = self._first_sign or monotonic()
        self.rendezvous.post(ev.WorkerExited(id, reason))
        return True

    def _readmit(self, worker: Worker) -> None:
        self.console.err(
            f"elastic-run: worker (pid {worker.pid}) goes on: it returns as a newcomer"
        )
        self.evidence.event("readmitted", **self._who(worker))
        self._admit([worker])

    def _missed(self, id: str, since: float) -> None:
        """Somebody waits for a member of another agent: ours we see ourselves."""
        if id not in self._ids.values():
            self._missed_since.setdefault(id, since)
            generation = self._group.generation
            self.rendezvous.post(ev.Suspected(generation, id, "", "it is waited for"))

    # -- what the rendezvous says --------------------------------------------------------------

    def _members(self, ids: tuple[str, ...]) -> list[Worker]:
        return [worker for worker, id in self._ids.items() if id in ids]

    def _on_group(self, told: do.TellGroup) -> None:
        record, now = told.record, monotonic()
        self._grouped = set(told.ids) & set(record.ids)
        self.supervisor.settings = replace(self.supervisor.settings, fresh=False)
        group = control.Group(
            record.generation,
            told.members,
            record.cause,
            paused=told.paused,
            planned=record.planned,
            lost=record.lost,
            first_sign=self._sign_of(record.lost),
            decided=now if record.lost else 0.0,
        )
        self._first_sign, self._missed_since = 0.0, {}
        self._group = World(record.generation, told.members, cause=record.cause)
        for worker in self._members(told.ids):
            id = self._ids[worker]
            worker.log.rank = record.ids.index(id) if id in record.ids else None
            self._send(worker, group)
        self.evidence.grouped(group)

    def _sign_of(self, lost: tuple[str, ...]) -> float:
        """Return when this agent saw the first sign of a loss, 0 if it saw none."""
        waits = [self._missed_since[id] for id in lost if id in self._missed_since]
        return self._first_sign or min(waits, default=0.0) if lost else 0.0

    def _on_candidates(self, told: do.TellCandidates) -> None:
        for worker in self._members(tuple(self._grouped)):
            self._send(worker, control.Candidates(told.candidates))

    def _on_readmit(self, told: do.Readmit) -> None:
        self._admit(self._members(told.ids))

    def _on_over(self, told: do.TellOver) -> None:
        self._over, self._owed = told, []
        status = FAILED if told.result is None else DONE
        self.evidence.event("over", status=status, cause=told.cause)
        if told.result is not None:
            message: Any = control.JobDone(told.result)
        else:
            message = control.JobFailed(told.cause)
            self._at(monotonic() + 1.0, partial(self._kill_all, "the job has failed"))
        for worker in self.supervisor.workers:
            if worker in self._ids:
                self._send(worker, message)
            else:
                worker.kill("the job is over")

    def _kill_all(self, reason: str) -> None:
        for worker in self.supervisor.workers:
            worker.kill(reason)

    # -- signals -------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        """Leave after a step that all finish; a second Ctrl-C means now (P2)."""
        if self._signal and number == signal.SIGINT:
            self._kill_all("a second Ctrl-C")
            return
        if self._signal:
            return
        self._signal, self._owed = number, []
        name = signal.Signals(number).name
        self.console.out(
            f"elastic-run: {name}: leaving after this step "
            f"(at most {self.settings.grace_s:g} s; Ctrl-C again: now)"
        )
        self.evidence.event("leave-asked", reason=name)
        self.rendezvous.post(ev.LeaveAsked(name))
        for worker in self.supervisor.workers:
            if self._ids.get(worker) in self._grouped:
                self._send(worker, control.LeaveRequest(name, tuple(self._grouped)))
            else:
                worker.kill(f"{name}, and it was in no group")
        self._at(monotonic() + self.settings.grace_s, partial(self._kill_all, "out of grace"))

    # -- answers for others --------------------------------------------------------------------

    def _answer(self, id: str) -> dict[str, Any]:
        """Answer, in the ping server's thread, whether a member lives (M6), or how it stands."""
        if id == STATUS:
            return plain(to_json(self.evidence.board.snapshot(monotonic())))
        worker = next((worker for worker, other in list(self._ids.items()) if other == id), None)
        if worker is None:
            return {"alive": False, "reason": "its agent knows of its end"}
        state = worker.state
        activity = str(worker.activity or "")
        return {
            "alive": state not in "XZ",
            "pid": worker.pid,
            "state": state,
            "activity": activity,
        }

    def _probe(self, command: do.Probe) -> ev.Verdict:
        member = command.member
        timeout_s = _PATIENT_S if command.patient else _IMPATIENT_S
        token = self.settings.token
        tls = self.settings.tls is not None
        found = probe(member.address, member.agent, member.id, token, timeout_s, tls=tls)
        return ev.Verdict(
            command.generation, member.id, command.by, found.dead, found.reason, found.silent
        )

    def _greet(self, agent: str) -> str:
        return greet(agent, self.rendezvous.site.agent, self.settings.token)
