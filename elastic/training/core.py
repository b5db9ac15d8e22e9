"""What a worker does next: the deciding part of the training loop. Pure: events in, commands out.

The shell (`loop.py`) carries out one command at a time and comes back with the event that it gave;
the simulation (`elastic.testing`) does the same with many workers in virtual time. Who is ahead,
who sends State to whom and who computes which leaf are functions of what the members of a
generation told each other at its beginning (`decide`), so all reach the same verdict.

A *step's number* is the count of applied steps with it: `applied` is 0 at first, and step
`applied + 1` is in flight. Rules are those of docs/protocol.md, S.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from elastic.collectives.plan import deal, deal_missing
from elastic.control import Candidate
from elastic.errors import ProtocolError

__all__ = [
    "Answer",
    "Flags",
    "Job",
    "Phase",
    "Plan",
    "Standing",
    "combine",
    "decide",
    "invariants",
    "step",
]

# -- values that members exchange ---------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a member says at the beginning of a generation (S2)."""

    id: str
    applied: int
    lineage: str
    """Empty: its State is not the job's; it is a newcomer."""
    hooked: int
    held: tuple[int, ...] = ()
    stopped: bool = False
    offer: tuple[int, int] | None = None
    """Step and generation of the newest checkpoint that it can load."""
    identity: dict[str, str] = field(default_factory=dict)
    """What must be equal for equal bits (B6)."""


@dataclass(frozen=True)
class Flags:
    """What members ask for inside a step; all act on the combined value (S4)."""

    joins: tuple[Candidate, ...] = ()
    leaves: tuple[str, ...] = ()
    stop: bool = False
    nonfinite: tuple[str, ...] = ()
    """Where a loss was nan or inf."""


def combine(flags: Iterable[Flags]) -> Flags:
    """Return what all members act on: the union, in one order."""
    every = list(flags)
    return Flags(
        joins=tuple(sorted({join for f in every for join in f.joins})),
        leaves=tuple(sorted({leave for f in every for leave in f.leaves})),
        stop=any(f.stop for f in every),
        nonfinite=tuple(sorted({place for f in every for place in f.nonfinite})),
    )


@dataclass(frozen=True)
class Plan:
    """How the members of a generation come level: a pure function of their answers."""

    top: int
    """So many steps are applied once all are level."""
    lineage: str
    state: dict[str, str] = field(default_factory=dict)
    """Newcomer's id to the id of the member that sends it State."""
    result: dict[str, str] = field(default_factory=dict)
    """Who is one step behind, to the id of who sends the reduced gradient (S3)."""
    load: str = ""
    """The member that first loads its checkpoint."""
    rerun: bool = False
    """The hooks of step `top` begin again on all members (S7)."""
    stopped: bool = False
    held: tuple[tuple[int, ...], ...] = ()
    """The leaves of step top + 1 that each rank has already."""

    @property
    def moves(self) -> bool:
        """Whether State changes anywhere: it travels, is loaded, or is that before the hooks."""
        return bool(self.state or self.result or self.load or self.rerun)


def decide(answers: tuple[Answer, ...]) -> Plan:
    """Return how these members, in rank order, come level. Memory beats disk.

    Raises:
        ProtocolError: members with State of the job are further apart than one step can explain.
    """
    level = [a for a in answers if a.lineage]
    if not level:
        return _beginning(answers)
    top = max(a.applied for a in level)
    tops = [a for a in level if a.applied == top]
    _check_level(level, tops, top)
    behind = [a for a in level if a.applied < top]
    donors = [a.id for a in tops]
    return Plan(
        top,
        tops[0].lineage,
        state=_share([a.id for a in answers if not a.lineage], donors),
        result=_share([a.id for a in behind], donors),
        rerun=bool(behind) or any(a.hooked < top for a in tops),
        stopped=any(a.stopped for a in tops),
        held=tuple(a.held if a in tops else () for a in answers),
    )


def _beginning(answers: tuple[Answer, ...]) -> Plan:
    """Nobody has State of the job: the newest checkpoint, else the first member's own State."""
    offers = [a for a in answers if a.offer is not None]
    best = max(offers, key=lambda a: a.offer or (0, 0), default=None)
    source = best or answers[0]
    others = [a.id for a in answers if a is not source]
    top = best.offer[0] if best and best.offer else 0
    held = tuple(() for _ in answers)
    return Plan(top, "", _share(others, [source.id]), load=best.id if best else "", held=held)


def _share(receivers: list[str], donors: list[str]) -> dict[str, str]:
    return {id: donors[i % len(donors)] for i, id in enumerate(receivers)}


def _check_level(level: list[Answer], tops: list[Answer], top: int) -> None:
    far = [a for a in level if a.applied < top - 1]
    apart = [a for a in tops if a.lineage != tops[0].lineage]
    if far or apart:
        told = ", ".join(f"{a.id}: step {a.applied} of {a.lineage[:8]}" for a in level)
        raise ProtocolError(f"members are further apart than one step: {told}")


# -- what the shell does ------------------------------------------------------------------------


@dataclass(frozen=True)
class Await:
    """Wait for the next generation: Formed. Between two steps nothing else is waited for."""


@dataclass(frozen=True)
class Meet:
    """Exchange answers with all members: Met, or Interrupted."""

    answer: Answer


@dataclass(frozen=True)
class Move:
    """Send and receive State and results as the plan says: Moved, or Interrupted."""

    plan: Plan


@dataclass(frozen=True)
class Sync:
    """Call the user's `sync`: Synced, or Interrupted."""


@dataclass(frozen=True)
class Compute:
    """Run `train_step` and backward on one leaf of the step: Computed, or Interrupted."""

    step: int
    leaf: int


@dataclass(frozen=True)
class Reduce:
    """Add up the step over all members: Reduced, or Interrupted."""

    step: int
    flags: Flags


@dataclass(frozen=True)
class Apply:
    """Run `update` on the reduced gradient, advance the data: Applied. Never interrupted."""

    step: int


@dataclass(frozen=True)
class RunHooks:
    """Call `on_step`, and `on_epoch` at its end: Hooked, or Interrupted."""

    step: int


@dataclass(frozen=True)
class Save:
    """Write a checkpoint, if this member writes for its host: Saved."""

    step: int


@dataclass(frozen=True)
class Turn:
    """Tell the agent what all agreed on after this step; the record will follow."""

    step: int
    joins: tuple[Candidate, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class End:
    """Compare digests with all members and tell the agent: Ended, or Interrupted."""

    step: int


@dataclass(frozen=True)
class Quit:
    """This member has left as it was asked to."""


@dataclass(frozen=True)
class Refuse:
    """This member would compute other bits: say why and go."""

    reason: str


@dataclass(frozen=True)
class Fail:
    """A loss was nan or inf, and the user wants an error."""

    places: tuple[str, ...]


# -- what happens -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formed:
    """A generation was formed; rank -1: without this member, which has left."""

    generation: int
    ids: tuple[str, ...]
    rank: int
    paused: bool = False


@dataclass(frozen=True)
class Admitted:
    """This process is member `id` now. If it was another, its State is no longer the job's."""

    id: str
    min_workers: int = 1


@dataclass(frozen=True)
class Met:
    """All members' answers, in rank order."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Moved:
    """This member is level; `lineage` is the job's."""

    lineage: str


@dataclass(frozen=True)
class Synced:
    """`sync` has returned."""


@dataclass(frozen=True)
class Computed:
    """The leaf is computed and held, unless `train_step` raised StopIteration."""

    leaf: int
    stop: bool = False
    nonfinite: str = ""


@dataclass(frozen=True)
class Reduced:
    """The step is reduced; these are the flags of all."""

    flags: Flags


@dataclass(frozen=True)
class Applied:
    """The step is applied here; `lineage` is the new one."""

    lineage: str


@dataclass(frozen=True)
class Hooked:
    """The hooks of the last step have returned."""


@dataclass(frozen=True)
class Saved:
    """The checkpoint is written, or somebody else writes it."""


@dataclass(frozen=True)
class Ended:
    """All digests are equal, and the agent knows: nobody leaves before the record says done."""


@dataclass(frozen=True)
class Interrupted:
    """A collective ended early: the generation is over."""


@dataclass(frozen=True)
class CandidatesSeen:
    """These newcomers are ready."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class LeaveAsked:
    """The agent wants this member to leave, and with it those that leave for the same reason."""

    ids: tuple[str, ...] = ()


# -- where a worker stands ----------------------------------------------------------------------


class Phase(Enum):
    """What the shell is doing."""

    WAITING = "waiting for a generation"
    MEETING = "exchanging answers"
    MOVING = "moving State"
    SYNCING = "in the user's sync"
    COMPUTING = "computing leaves"
    REDUCING = "reducing the step"
    APPLYING = "in the user's update"
    HOOKING = "in the user's hooks"
    SAVING = "writing a checkpoint"
    ENDING = "comparing the end"
    OVER = "out"


@dataclass(frozen=True)
class Job:
    """What is known of the job before it begins, equal on all members."""

    total_steps: int
    leaves: Callable[[int], int]
    """How many leaves the step of this number has."""
    hooks: bool = False
    checkpoint_every: int = 0
    """0: only at the end, and when too few remain."""
    checkpoints: bool = False
    nonfinite_is_error: bool = False


@dataclass(frozen=True)
class Standing:
    """Where one worker stands."""

    identity: dict[str, str] = field(default_factory=dict)
    offer: tuple[int, int] | None = None
    phase: Phase = Phase.WAITING
    id: str = ""
    min_workers: int = 1
    generation: int = 0
    ids: tuple[str, ...] = ()
    rank: int = -1
    paused: bool = False
    applied: int = 0
    lineage: str = ""
    hooked: int = 0
    saved: int = -1
    stopped: bool = False
    held: frozenset[int] = frozenset()
    todo: tuple[int, ...] = ()
    plan: Plan | None = None
    flags: Flags = Flags()
    """What this member will ask for in the step in flight."""
    agreed: Flags = Flags()
    """What all agreed on in the last step."""
    candidates: tuple[Candidate, ...] = ()
    leaving: tuple[str, ...] = ()
    """Who leaves with this member, itself among them."""
    story: tuple[tuple[Phase, Any], ...] = ()
    """The last events and the phases they came in; told only when something is wrong."""


Move_ = tuple[Standing, tuple[Any, ...]]


def step(s: Standing, event: Any, job: Job) -> Move_:
    """Return the standing after `event`, and the commands to carry out in order.

    Raises:
        ProtocolError: the event means nothing in this phase, or members cannot be level.
    """
    s = replace(s, story=(*s.story[-20:], (s.phase, event)))
    handler = TABLE.get((s.phase, type(event)))
    if handler is None:
        name = type(event).__name__
        raise ProtocolError(f"{name} means nothing when {s.phase.value}:{_story(s)}")
    return handler(s, event, job)


def _story(s: Standing) -> str:
    return "".join(f"\n  {phase.name} {event}" for phase, event in s.story)


def _to(s: Standing, phase: Phase, *commands: Any, **changes: Any) -> Move_:
    return replace(s, phase=phase, **changes), commands


def _go_on(s: Standing, *commands: Any) -> Move_:
    """Remember; what the shell is doing goes on, and waiting is taken up again."""
    return s, (*commands, Await()) if s.phase is Phase.WAITING else commands


def _wait(s: Standing, event: Any, job: Job) -> Move_:
    return _to(s, Phase.WAITING, Await())


def _on_admitted(s: Standing, event: Admitted, job: Job) -> Move_:
    """A second admission: we were outside for a while; our State is no longer the job's (M6)."""
    s = replace(s, id=event.id, min_workers=event.min_workers, lineage="", held=frozenset())
    return _go_on(s)


def _on_formed(s: Standing, event: Formed, job: Job) -> Move_:
    s = replace(
        s,
        phase=Phase.WAITING,
        generation=event.generation,
        ids=event.ids,
        rank=event.rank,
        plan=None,
    )
    s = replace(s, candidates=(), agreed=Flags(), paused=event.paused)
    if event.rank < 0:
        return _to(s, Phase.OVER, Quit())
    if event.paused:
        return _to(s, Phase.WAITING, *_save_while_paused(s, job), Await())
    answer = Answer(
        s.id,
        s.applied,
        s.lineage,
        s.hooked,
        tuple(sorted(s.held)),
        s.stopped,
        None if s.lineage else s.offer,
        s.identity,
    )
    return _to(s, Phase.MEETING, Meet(answer))


def _on_met(s: Standing, event: Met, job: Job) -> Move_:
    answers = event.answers
    reference = next((a for a in answers if a.lineage), answers[0])
    other = [a for a in answers if a.identity != reference.identity]
    if any(a.id == s.id for a in other):
        return _to(s, Phase.OVER, Refuse(_difference(s.identity, reference)))
    if other:  # they go by themselves, and the next generation is without them
        return _to(s, Phase.WAITING, Await())
    plan = decide(answers)
    s = replace(s, plan=plan)
    if plan.moves or not plan.lineage:
        return _to(s, Phase.MOVING, Move(plan))
    return _level(s, plan, plan.lineage)


def _difference(mine: dict[str, str], reference: Answer) -> str:
    theirs = reference.identity
    name = next(k for k in sorted({*mine, *theirs}) if mine.get(k) != theirs.get(k))
    return (
        f"this worker has {name} {mine.get(name)!r}, the group (member {reference.id}) has "
        f"{theirs.get(name)!r}: other bits would result; make them equal"
    )


def _on_moved(s: Standing, event: Moved, job: Job) -> Move_:
    assert s.plan is not None
    return _level(s, s.plan, event.lineage)


def _level(s: Standing, plan: Plan, lineage: str) -> Move_:
    was_level = s.lineage != "" and s.applied == plan.top
    return _to(
        s,
        Phase.SYNCING,
        Sync(),
        applied=plan.top,
        lineage=lineage,
        hooked=plan.top - 1 if plan.rerun else plan.top,
        stopped=plan.stopped,
        held=s.held if was_level else frozenset(),
        saved=max(s.saved, plan.top) if plan.load else s.saved,
    )


def _on_synced(s: Standing, event: Synced, job: Job) -> Move_:
    if s.hooked < s.applied:
        return _to(s, Phase.HOOKING, RunHooks(s.applied))
    return _onward(s, job)


def _onward(s: Standing, job: Job) -> Move_:
    """Between two steps: the end, an agreed change, or the next step."""
    if s.stopped or s.applied >= job.total_steps:
        return _to(s, Phase.ENDING, End(s.applied))
    if s.agreed.joins or s.agreed.leaves:
        turn = Turn(s.applied, s.agreed.joins, s.agreed.leaves)
        return _to(s, Phase.WAITING, turn, Await(), agreed=Flags())
    n = job.leaves(s.applied + 1)
    if s.plan is not None:
        mine = deal_missing(n, [set(held) for held in s.plan.held])[s.rank]
    else:
        mine = tuple(deal(n, len(s.ids))[s.rank])
    s = replace(s, todo=tuple(mine), plan=None, flags=Flags())
    return _next_leaf(s)


def _next_leaf(s: Standing) -> Move_:
    if s.todo:
        return _to(s, Phase.COMPUTING, Compute(s.applied + 1, s.todo[0]))
    joins = tuple(join for join in s.candidates if join.id not in s.ids)
    flags = replace(s.flags, joins=joins, leaves=s.leaving)
    return _to(s, Phase.REDUCING, Reduce(s.applied + 1, flags), flags=flags)


def _on_computed(s: Standing, event: Computed, job: Job) -> Move_:
    places = (*s.flags.nonfinite, *([event.nonfinite] if event.nonfinite else []))
    flags = replace(s.flags, stop=s.flags.stop or event.stop, nonfinite=places)
    held = s.held if event.stop else s.held | {event.leaf}
    todo = () if event.stop else s.todo[1:]
    return _next_leaf(replace(s, flags=flags, held=held, todo=todo))


def _on_reduced(s: Standing, event: Reduced, job: Job) -> Move_:
    if event.flags.nonfinite and job.nonfinite_is_error:
        return _to(s, Phase.OVER, Fail(event.flags.nonfinite))
    if event.flags.stop:  # the step is not applied: training ended before its update
        s = replace(s, stopped=True, held=frozenset())
        return _after_hooks(s, job)
    return _to(s, Phase.APPLYING, Apply(s.applied + 1), agreed=event.flags)


def _on_applied(s: Standing, event: Applied, job: Job) -> Move_:
    s = replace(s, applied=s.applied + 1, lineage=event.lineage, held=frozenset())
    if job.hooks:
        return _to(s, Phase.HOOKING, RunHooks(s.applied))
    return _after_hooks(replace(s, hooked=s.applied), job)


def _on_hooked(s: Standing, event: Hooked, job: Job) -> Move_:
    return _after_hooks(replace(s, hooked=s.applied), job)


def _after_hooks(s: Standing, job: Job) -> Move_:
    if _save_is_due(s, job):
        return _to(s, Phase.SAVING, Save(s.applied))
    return _onward(s, job)


def _on_saved(s: Standing, event: Saved, job: Job) -> Move_:
    return _onward(replace(s, saved=s.applied), job)


def _save_is_due(s: Standing, job: Job) -> bool:
    if not _worth_saving(s, job):
        return False
    if s.stopped or s.applied >= job.total_steps:
        return True
    if job.checkpoint_every and s.applied % job.checkpoint_every == 0:
        return True
    stay = len(set(s.ids) - set(s.agreed.leaves)) + len(s.agreed.joins)
    return bool(s.agreed.leaves) and stay < max(1, s.min_workers)


def _worth_saving(s: Standing, job: Job) -> bool:
    return job.checkpoints and s.applied > s.saved and s.lineage != ""


def _on_paused_saved(s: Standing, event: Saved, job: Job) -> Move_:
    return replace(s, saved=s.applied), ()


def _on_candidates(s: Standing, event: CandidatesSeen, job: Job) -> Move_:
    return _go_on(replace(s, candidates=event.candidates))


def _on_leave_asked(s: Standing, event: LeaveAsked, job: Job) -> Move_:
    s = replace(s, leaving=tuple(sorted({s.id, *event.ids})))
    return _go_on(s, *_save_while_paused(s, job))


def _save_while_paused(s: Standing, job: Job) -> tuple[Any, ...]:
    """Whoever leaves a group below its minimum leaves a checkpoint (S4)."""
    due = s.leaving and s.paused and s.phase is Phase.WAITING and _worth_saving(s, job)
    return (Save(s.applied),) if due else ()


def invariants(s: Standing, job: Job) -> None:
    """Raise ProtocolError if a standing cannot be: checked after every step of every test."""
    n = job.leaves(s.applied + 1) if s.applied < job.total_steps else 0
    checks = [
        (s.hooked in (s.applied, s.applied - 1), "hooks are more than one step behind"),
        (s.stopped or all(0 <= leaf < n for leaf in s.held), "a leaf is held that no step has"),
        (not (s.held & set(s.todo)), "a held leaf is to be computed again"),
        (s.phase is not Phase.REDUCING or not s.todo, "a step is reduced before its leaves are"),
        (s.applied <= job.total_steps, "more steps are applied than there are"),
        (s.phase in (Phase.WAITING, Phase.OVER) or s.rank >= 0, "at work outside a group"),
    ]
    for holds, text in checks:
        if not holds:
            raise ProtocolError(f"{text}:{_story(s)}")


# -- the table: which event means what in which phase -------------------------------------------

_ANYWHERE: dict[type, Callable[..., Move_]] = {
    CandidatesSeen: _on_candidates,
    LeaveAsked: _on_leave_asked,
    Admitted: _on_admitted,
}
_ROWS: dict[Phase, dict[type, Callable[..., Move_]]] = {
    Phase.WAITING: {Formed: _on_formed, Saved: _on_paused_saved, Interrupted: _wait},
    Phase.MEETING: {Met: _on_met, Interrupted: _wait},
    Phase.MOVING: {Moved: _on_moved, Interrupted: _wait},
    Phase.SYNCING: {Synced: _on_synced, Interrupted: _wait},
    Phase.COMPUTING: {Computed: _on_computed, Interrupted: _wait},
    Phase.REDUCING: {Reduced: _on_reduced, Interrupted: _wait},
    Phase.APPLYING: {Applied: _on_applied},
    Phase.HOOKING: {Hooked: _on_hooked, Interrupted: _wait},
    Phase.SAVING: {Saved: _on_saved},
    Phase.ENDING: {Ended: _wait, Interrupted: _wait},
    Phase.OVER: {},
}
TABLE: dict[tuple[Phase, type], Callable[..., Move_]] = {
    (phase, kind): handler
    for phase, row in _ROWS.items()
    for kind, handler in (row | _ANYWHERE).items()
}
