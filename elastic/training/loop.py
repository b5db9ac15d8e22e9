"""The training loop's shell: it carries out what `core.py` decides, one command at a time.

Everything that takes time or touches the outside happens here: user code, collectives, files,
the link to the agent. No decision about the protocol does.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from elastic import audit, control
from elastic.checkpoint.storage import CheckpointDir, Offer
from elastic.clock import monotonic
from elastic.errors import (
    Aborted,
    CheckpointError,
    DriftError,
    NonFiniteError,
    ProtocolError,
    RefusedError,
)
from elastic.telemetry.activity import doing
from elastic.telemetry.stragglers import stragglers
from elastic.training import core, randomness, transfer
from elastic.training.drift import explain
from elastic.training.groups import AnyGroup, GroupWorld, open_group
from elastic.training.identity import Identity, differences
from elastic.training.lending import (
    Borrower,
    CopyHere,
    FeedEnded,
    Lender,
    ResultHere,
    pace,
)
from elastic.training.link import Link
from elastic.training.options import Options
from elastic.training.recovery import RecoveryMarks
from elastic.training.result import Result
from elastic.training.steps import Steps
from elastic.wire import from_json, to_json
from elastic.world import Member

__all__ = ["Loop"]

_TIMING_S = 5.0
"""How often a worker tells where its time went."""


class Loop:
    """One worker's run of a job."""

    def __init__(
        self,
        options: Options,
        steps: Steps,
        link: Link,
        group: AnyGroup,
        identity: Identity,
    ):
        self.options, self.steps, self.link, self.group = options, steps, link, group
        self.state = options.state
        self.phases = steps.phases
        hooks = options.on_step is not None or options.on_epoch is not None
        self.job = core.Job(
            options.total_steps * self.phases.count,
            steps.leaf_count,
            hooks=hooks,
            pace=None if hooks else pace(steps.bridge.map.nbytes),
            checkpoint_every=options.checkpoint_every * self.phases.count,
            checkpoints=options.checkpoint_dir is not None,
            nonfinite_is_error=options.nonfinite == "error",
            drift_heals=options.on_drift == "heal",
        )
        self.lender = Lender(self.state, steps, group)
        self.borrower = Borrower(self.state, steps, group, link.inbox)
        self.world = GroupWorld()
        self.checkpoints, self._offer = self._open_checkpoints(identity.strict)
        self.standing = core.Standing(identity.strict)
        self._machine, self._bits_promised = identity.free, True
        self._group_told: control.Group | None = None
        self._snapshot: tuple[int, Any] = (0, None)
        """The step whose hooks were begun last, and State before them."""
        self._marks = RecoveryMarks()
        self._turned: float | None = None
        """When a planned change began, for whose sake all pause."""
        self._lent: dict[str, Any] | None = None
        """What is to be told of State that was lent, once it is copied."""
        self._ended: Result | None = None
        self._result: Result | None = None
        self._has_said_idle = False
        self._opening = "open"
        """How its evidence begins next: 'open', 'resume', or '' while steps follow each other."""

    def _open_checkpoints(
        self, identity: dict[str, str]
    ) -> tuple[CheckpointDir | None, Offer | None]:
        if self.options.checkpoint_dir is None:
            return None, None
        directory = CheckpointDir(
            self.options.checkpoint_dir, self.options.checkpoint_keep, say=_say
        )
        if os.environ.get(control.ENV_FRESH):
            return directory, None
        return directory, directory.newest(identity["model"])

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> Result:
        """Train to the end, through whatever happens to others."""
        self.group.on_note = self.borrower.heard
        self.link.start(self._urgent)
        self.link.send(control.Ready(self.group.address))
        todo: deque[Any] = deque([core.Await()])
        with randomness.restored():
            while todo:
                event = self._do(todo.popleft())
                if event is not None:
                    todo.extend(self._decide(event))
        assert self._result is not None
        return self._result

    def _decide(self, event: Any) -> tuple[Any, ...]:
        self._look_for_the_end()
        self.standing, commands = core.step(self.standing, event, self.job)
        return commands

    def _look_for_the_end(self) -> None:
        """Only the data tells how many steps the epochs of a stream have."""
        epochs = self.options.epochs
        if epochs is not None and self.options.loader.cursor.epoch >= epochs:
            total = self.state.step * self.phases.count
            self.job = replace(self.job, total_steps=total)

    def _do(self, command: Any) -> Any:
        handler = getattr(self, f"_do_{type(command).__name__.lower()}")
        try:
            return handler(command)
        except Aborted as error:
            self._marks.aborted(monotonic())
            self._turned = None
            self._tell("abort", reason=str(error), peer=error.peer)
            return core.Interrupted()

    def _urgent(self, message: Any) -> None:
        """Called from the link's thread: what must not wait until the training thread looks."""
        if isinstance(message, control.CutOff):
            self.group.cut_off(message.duration_s)
        if not _is_interruption(message):
            return
        if isinstance(message, control.Group):
            self.group.interrupt(message.generation, message.cause)
        else:
            self.group.interrupt(self.standing.generation + 1, type(message).__name__)

    def _tell(self, event: str, **fields: Any) -> None:
        place = {
            "rank": self.world.rank,
            "world_size": self.world.size,
            "generation": self.world.generation,
            "step": self.phases.whole_steps(self.standing.applied),
        }
        self.link.send(control.Event(event, monotonic(), place | fields))

    # -- waiting -------------------------------------------------------------------------------

    def _do_await(self, _: core.Await) -> Any:
        while True:
            message = self.link.inbox.get()
            if isinstance(message, control.Group):
                self._marks.formed(message, monotonic())
                if not self.link.inbox.holds(_outdates_groups):
                    return self._formed(message)
                continue
            event = self._told(message)
            if event is not None or self._result is not None:
                return event

    def _told(self, message: Any) -> Any:
        """Return the event that a message of the agent is for the core."""
        if isinstance(message, control.Admission):
            self.group.rename(message.id)
            self.borrower.forget()
            return core.Admitted(message.id, message.min_workers)
        if isinstance(message, control.Candidates):
            return core.CandidatesSeen(message.candidates)
        if isinstance(message, control.LeaveRequest):
            return core.LeaveAsked(message.ids)
        if isinstance(message, (CopyHere, ResultHere, FeedEnded)):
            return self.borrower.told(message)
        if isinstance(message, core.NewcomerAt):
            return message
        if isinstance(message, control.JobDone):
            self._done(message)
        if isinstance(message, control.JobFailed):
            reason, _, _ = message.cause.partition("\n")
            _say(f"the job has failed: {reason}")
            self._exit(1)
        return None

    def _formed(self, told: control.Group) -> core.Formed:
        self._group_told = told
        ids = tuple(member.id for member in told.members)
        me = self.standing.id
        rank = ids.index(me) if me in ids else -1
        return core.Formed(told.generation, ids, rank, told.paused, self._newest_offer())

    def _newest_offer(self) -> tuple[int, int] | None:
        """A newcomer that had to wait may find a newer checkpoint than when it began."""
        if self.checkpoints is None or self.standing.lineage or os.environ.get(control.ENV_FRESH):
            return None
        if self._offer is None or self.checkpoints.newest_name() != self._offer.name:
            self._offer = self.checkpoints.newest(self.standing.identity["model"])
        if self._offer is None:
            return None
        return self._offer.name.step, self._offer.name.generation

    def _hear(self) -> None:
        if self.link.inbox.holds(_outdates_groups):
            return  # what follows was said to the group to come, whose core begins with nothing
        asides = (control.Candidates, control.LeaveRequest, core.NewcomerAt)
        for message in self.link.inbox.take(*asides):
            event = self._told(message)
            commands = self._decide(event)
            assert not commands, "at work, the core only remembers"

    def _done(self, message: control.JobDone) -> None:
        """The record says done. Whoever has the final State returns; who comes late goes (M10)."""
        steps, digest = message.result.get("steps"), message.result.get("digest")
        applied = self.phases.whole_steps(self.standing.applied)
        if not self.standing.lineage or steps != applied:
            _say(f"the job is done: {steps} steps, digest {digest}; --fresh starts it anew")
            self._exit(0)
        result = self._ended or self._final()
        if digest != result.digest and result.bits_promised:
            raise ProtocolError(
                f"the job ended with digest {digest}, this worker has {result.digest}"
            )
        self._result = result

    def _exit(self, code: int) -> None:
        self.group.close()
        raise SystemExit(code)

    # -- coming level --------------------------------------------------------------------------

    def _do_meet(self, command: core.Meet) -> core.Met:
        told = self._group_told
        assert told is not None
        rank = self.standing.rank
        self._tell_timing(monotonic())  # the ranks it speaks of change now
        self.world = GroupWorld(told.generation, told.members, rank, told.cause, self.group)
        self.group.enter(told.generation, told.members, rank)
        mine = [to_json(command.answer), self._machine, self._bits_promised]
        blobs = self.group.gather(json.dumps(mine).encode())
        self._tell("rendezvous", cause=told.cause, members=list(self.world.ids))
        answers, machines, promised = zip(*map(json.loads, blobs), strict=True)
        self._compare_machines(machines, all(promised))
        return core.Met(tuple(from_json(core.Answer, answer) for answer in answers))

    def _compare_machines(self, machines: Sequence[dict[str, str]], promised: bool) -> None:
        """Where machines are mixed, equal bits are not promised, for good (B6)."""
        found = differences(machines)
        if found and self._bits_promised and self.world.rank == 0:
            _say(f"warning: {found}: bits not promised (--allow-mixed)")
        self._bits_promised = promised and not found
        self.steps.compares_parameters = self._bits_promised

    def _do_move(self, command: core.Move) -> core.Moved:
        with self._hooks_undone(command.plan):
            return core.Moved(self._move(command.plan))

    @contextmanager
    def _hooks_undone(self, plan: core.Plan) -> Iterator[None]:
        """Take State back to before hooks that begin again, here completed or aborted (S7).

        If the plan comes to nothing, the next one need not have them begin again.
        """
        step, before = self._snapshot
        if not plan.rerun or step != plan.top:
            yield
            return
        after = self.state.capture(copy=True)
        self.state.restore(before)
        try:
            yield
        except Aborted:
            self.state.restore(after)
            raise

    def _move(self, plan: core.Plan) -> str:
        lineage = plan.lineage
        if not lineage and not plan.load and self.checkpoints and self._writes_for_its_host():
            self.checkpoints.set_aside()  # --fresh: the job begins, and an older one's would win
        if plan.load == self.standing.id:
            lineage = self._load()
        self._check_beginning(plan, lineage)
        mover = transfer.Mover(self.state, self.steps, self.standing, self.world)
        lineage = mover.move(self.group, plan, lineage)
        if plan.load or mover.took_state:
            self.steps.forget()
            self._forget(plan.load)
        return lineage

    def _check_beginning(self, plan: core.Plan, lineage: str) -> None:
        """Begin no job with State of another: ours, from before we were outside (M6).

        That is no failure of the script, so it is not told as one: two would end the job (S7).
        """
        if not lineage and self.standing.id not in plan.state and self.standing.applied:
            _say(
                f"the job begins anew, with a State of step 0, and this worker's is of step "
                f"{self.state.step}: its agent starts it again"
            )
            self._exit(1)

    def _forget(self, load: str = "") -> None:
        """State is another's now: what this process did before is no part of the job (M6)."""
        self._snapshot = 0, None
        if load or not self._opening:
            self._opening = "resume"

    def _load(self) -> str:
        assert self.checkpoints is not None
        assert self._offer is not None
        tree = self.checkpoints.load(self._offer)
        self.state.restore(tree["state"])
        self._bits_promised = tree["bits_promised"]
        return tree["lineage"]

    def _do_sync(self, _: core.Sync) -> core.Synced:
        turned, self._turned = self._turned, None
        if turned is not None:
            self._tell("turn", pause_s=monotonic() - turned)
        self.borrower.forget()
        self._open_audit()
        self._say_who_is_idle()
        if self.options.sync is not None:
            self._call_sync(self.options.sync)
        self._marks.synced(monotonic())
        self._tell("sync", total_steps=self.options.total_steps)
        self._tell_timing(monotonic())
        return core.Synced()

    def _call_sync(self, sync: Callable[..., Any]) -> None:
        """Call the hook; an aborted one begins again from the State before it (S7)."""
        before = self.state.capture(copy=True) if self.world.size > 1 else None
        try:
            self._call_hook("sync", sync, self.state, self.world)
        except Aborted:
            if before is not None:
                self.state.restore(before)
            raise

    def _open_audit(self) -> None:
        """The first of an agent's members opens or resumes its audit file (D2)."""
        if self.world.local_rank != 0:
            return
        step, lineage = self.standing.applied, self.standing.lineage
        if self.steps.last_line is not None:
            self._commit(self.steps.last_line)
        elif self._opening:
            self._commit(audit.opening(self._opening, step, lineage, self.phases))
        self._opening = ""

    def _say_who_is_idle(self) -> None:
        """Say once that more members than leaves bring no speed (S6)."""
        size, leaves = self.world.size, self.options.loader.micro_batches
        if size > leaves and self.world.rank == 0 and not self._has_said_idle:
            self._has_said_idle = True
            _say(
                f"{size} workers share {leaves} micro-batches a step: {size - leaves} compute "
                "nothing and only keep State warm; raise micro_batches=, or start fewer"
            )

    # -- a step --------------------------------------------------------------------------------

    def _do_compute(self, command: core.Compute) -> Any:
        if self.link.inbox.holds(_is_interruption):
            raise Aborted("others wait for the next group")  # what is held is kept
        step, leaf = command.step, command.leaf
        place = self.steps.leaf_name(step, leaf)
        with _placed(place), doing().user_code("train_step", self.phases.step(step), leaf):
            computed = self.steps.compute(step, leaf, self.standing.lineage)
        if computed.nonfinite and self.options.nonfinite == "warn":
            _say(f"warning: the loss is not finite at {computed.nonfinite}")
            self._tell("nonfinite", place=computed.nonfinite)
        self._hear()
        return computed

    def _do_reduce(self, command: core.Reduce) -> core.Reduced:
        lineage = self.standing.lineage
        with _placed(f"reduction of {self.phases.name(command.step)}"):
            flags = self.steps.reduce(self.group, command.step, lineage, command.flags)
        self._settle()
        return core.Reduced(flags)

    def _do_apply(self, command: core.Apply) -> core.Applied:
        result = self.steps.reduced
        assert result is not None
        assert result.step == command.step
        place = f"update of {self.phases.name(command.step)}"
        began = monotonic()
        with _placed(place), doing().user_code("update", self.phases.step(command.step)):
            lineage = self.steps.apply(result, self.world.generation, self.standing.lineage)
        line = self.steps.last_line if self.world.local_rank == 0 else None
        now = monotonic()
        self._commit(line, now)
        recovery = self._marks.committed(self.phases.step(command.step), now)
        if recovery is not None:
            self._tell("recovery", **to_json(recovery))
        self.group.account.applied(now - began)
        if self.group.account.is_due(now, _TIMING_S):
            self._tell_timing(now)
        return core.Applied(lineage)

    def _tell_timing(self, now: float) -> None:
        """Tell where the time went since this was told last, and who held the others up."""
        timing = self.group.account.take(now)
        if not timing.steps and not timing.collectives:
            return
        self._tell("timing", **to_json(timing))
        for late in stragglers(timing.paces, timing.steps, timing.seconds):
            accused = self.world.ids[late.accused_rank]
            self._tell("straggler", accused=accused, text=str(late), **to_json(late))

    def _commit(self, line: dict[str, Any] | None, t: float | None = None) -> None:
        step = self.state.step
        now = monotonic() if t is None else t
        self.link.send(control.Committed(step, now, dict(self.state.metrics), line))

    # -- newcomers (S9) ------------------------------------------------------------------------

    def _do_lend(self, command: core.Lend) -> None:
        began = monotonic()
        self.lender.lend(command.newcomers, self.standing, self.world)
        to = [each.id for each in command.newcomers]
        self._lent = {"to": to, "pause_s": monotonic() - began}

    def _settle(self) -> None:
        """State is to be written: what is lent of it must be copied first (S9)."""
        lent, self._lent = self._lent, None
        if lent is None:
            return
        began = monotonic()
        self.lender.settle()
        self._tell("lend", **lent | {"pause_s": lent["pause_s"] + monotonic() - began})

    def _do_feed(self, command: core.Feed) -> None:
        self.lender.feed(command.step, command.ids)

    def _do_discard(self, command: core.Discard) -> None:
        self.lender.end(command.ids, at_once=True)

    def _do_finish(self, command: core.Finish) -> None:
        self.lender.end(command.ids, at_once=False)

    def _do_restore(self, _: core.Restore) -> core.Copied:
        self._forget()
        copied = self.borrower.restore()
        self._tell("borrow", of=copied.step)
        return copied

    def _do_replay(self, _: core.Replay) -> core.Copied:
        return self.borrower.replay(self.standing.generation, self.standing.lineage)

    def _do_report(self, command: core.Report) -> None:
        self.borrower.report(command.step, self.standing.copy)

    def _do_catchup(self, command: core.CatchUp) -> core.Copied:
        def lost(reason: str) -> None:
            assert self.standing.copy is not None
            feeder = self.standing.copy.feeder
            generation = self.standing.generation
            self.link.send(control.Suspect(generation, feeder, reason, monotonic()))

        return self.borrower.catch_up(command, self.standing, _is_interruption, lost)

    # -- between steps -------------------------------------------------------------------------

    def _do_runhooks(self, command: core.RunHooks) -> core.Hooked:
        if self.phases.ends_step(command.step):
            self._run_hooks(command)
        self._hear()
        return core.Hooked()

    def _run_hooks(self, command: core.RunHooks) -> None:
        if self.world.size > 1:
            self._snapshot = command.step, self.state.capture(copy=True)
        if self.options.on_step is not None:
            self._call_hook("on_step", self.options.on_step, self.state, self.state.metrics)
        ends_epoch = self.options.loader.cursor.step == 0
        if self.options.on_epoch is not None and ends_epoch:
            self._call_hook("on_epoch", self.options.on_epoch, self.state, self.world)

    def _call_hook(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        telling = doing().user_code(name, self.state.step)
        with _placed(name), randomness.restored(), open_group(self.group), telling:
            hook(*arguments)

    def _do_save(self, command: core.Save) -> core.Saved:
        if self.checkpoints is not None and self._writes_for_its_host():
            generation = self.world.generation
            lineage, fingerprint = self.standing.lineage, self.standing.identity["model"]
            tree = {
                "state": self.state.capture(copy=False),
                "lineage": lineage,
                "bits_promised": self._bits_promised,
            }
            try:
                self.checkpoints.write(command.step, generation, tree, fingerprint, lineage)
                self._tell("checkpoint", saved=self.state.step)
            except CheckpointError as error:  # training is worth more than a checkpoint
                _say(f"warning: no checkpoint of step {self.state.step}: {error}")
                self._tell("checkpoint", failed=str(error))
        return core.Saved()

    def _writes_for_its_host(self) -> bool:
        assert self._group_told is not None  # the newest: a paused one has not been met
        members = self._group_told.members
        mine = next(member for member in members if member.id == self.standing.id)
        return next(member for member in members if _host(member) == _host(mine)) is mine

    def _do_turn(self, command: core.Turn) -> None:
        generation = self.world.generation
        turn = control.Boundary(generation, command.step, command.joins, command.leaves)
        self.link.send(turn)
        self._turned = monotonic()

    def _do_end(self, command: core.End) -> core.Ended:
        result = self._final()
        mine = [result.digest, result.state_digest]
        every = [json.loads(blob) for blob in self.group.gather(json.dumps(mine).encode())]
        if not result.bits_promised:  # the job's are those of rank 0
            result = replace(result, digest=every[0][0], state_digest=every[0][1])
            mine, every = every[0], []
        for rank, digests in enumerate(every):
            if digests != mine:
                raise ProtocolError(
                    f"rank {rank} ends with digest {digests[0]}, rank {self.world.rank} with "
                    f"{result.digest}: their bits have drifted apart"
                )
        self._tell_timing(monotonic())
        fields = {"steps": result.steps, "digest": result.digest}
        fields |= {"state_digest": result.state_digest, "metrics": result.metrics}
        fields["bits"] = "promised" if result.bits_promised else "not promised"
        self.link.send(control.Finished(self.world.generation, fields))
        self._ended = result
        return core.Ended()

    def _final(self) -> Result:
        return Result(
            self.phases.whole_steps(self.standing.applied),
            self.world,
            dict(self.state.metrics),
            self.state.digest(),
            self.state.state_digest(),
            self._bits_promised,
        )

    # -- going ---------------------------------------------------------------------------------

    def _do_quit(self, _: core.Quit) -> None:
        self._tell("leave")
        self._exit(control.EXIT_DONE)

    def _do_refuse(self, command: core.Refuse) -> None:
        self.group.close()
        raise RefusedError(command.reason)

    def _do_fail(self, command: core.Fail) -> None:
        error = NonFiniteError(
            f"the loss is not finite at {', '.join(command.places)} and nonfinite='error'; "
            "lower the learning rate, clip gradients, or look at that data"
        )
        error.elastic_place = command.places[0]  # type: ignore[attr-defined]
        raise error

    def _do_giveup(self, command: core.GiveUp) -> None:
        drift, step = command.drift, self.phases.name(command.step)
        told = explain(drift, self.world, step)
        if command.heal:
            _say(f"{told}; this worker ends, and its agent starts it again with their State")
            self._tell("drift", ranks=list(drift.ranks), parameter=drift.parameter)
            self._exit(1)
        error = DriftError(told)
        error.elastic_place = f"comparison of {step}"  # type: ignore[attr-defined]
        raise error


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Mark an exception of user code with where it was raised: the second there fails the job."""
    try:
        yield
    except Aborted:
        raise
    except Exception as error:
        error.elastic_place = place  # type: ignore[attr-defined]
        raise


def _is_interruption(message: Any) -> bool:
    """Whether the group that this worker computes for is no more."""
    if isinstance(message, control.Group):
        return not message.planned
    return isinstance(message, (control.Admission, control.JobFailed, control.JobDone))


def _outdates_groups(message: Any) -> bool:
    """Whether a group told before this one is over, or was for the member that we were (M6)."""
    return isinstance(message, (control.Group, control.Admission))


def _host(member: Member) -> str:
    return member.address.rpartition(":")[0]


def _say(text: str) -> None:
    print(f"elastic: {text}", file=sys.stderr, flush=True)
