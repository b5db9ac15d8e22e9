"""What agent and worker say to each other over their socketpair. Pure: no IO.

One JSON object a line. The worker never speaks to the store: its agent does, and tells it who is
in the group. Everything an agent must know of training travels here and nowhere else.

Worker to agent: Ready, Suspect, Boundary, Committed, Event, Failure, Finished.
Agent to worker: Admission, Group, Candidates, LeaveRequest, JobDone, JobFailed, CutOff.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from elastic.wire import Vocabulary
from elastic.world import Member

__all__ = [
    "FROM_AGENT",
    "FROM_WORKER",
    "Admission",
    "Boundary",
    "Candidate",
    "Candidates",
    "Committed",
    "CutOff",
    "Event",
    "Failure",
    "Finished",
    "Group",
    "JobDone",
    "JobFailed",
    "LeaveRequest",
    "Ready",
    "Suspect",
]

# The environment by which an agent introduces itself to its worker.
ENV_CONTROL_FD = "ELASTIC_CONTROL_FD"
"""The worker's end of the socketpair, an inherited file descriptor."""
ENV_AGENT_PID = "ELASTIC_AGENT_PID"
"""The worker ends at once if its parent is another process (PROTOCOL P1)."""
ENV_ACTIVITY_FD = "ELASTIC_ACTIVITY_FD"
"""A page of memory in which the worker tells what it does (elastic.telemetry.activity)."""
ENV_TOKEN = "ELASTIC_TOKEN"
ENV_JOB = "ELASTIC_JOB"
"""The job's name (`--rdzv-id`)."""
ENV_BIND = "ELASTIC_BIND"
"""The host that the worker's collectives listen on."""
ENV_TLS = {"ca": "ELASTIC_TLS_CA", "cert": "ELASTIC_TLS_CERT", "key": "ELASTIC_TLS_KEY"}
"""The files of mutual TLS between workers: paths, never what is in them."""
ENV_THREADS = "ELASTIC_THREADS"
"""BLAS threads for each worker: part of the job's identity (PROTOCOL B6)."""
ENV_FRESH = "ELASTIC_FRESH"
"""Set when the job starts anew: checkpoints of an earlier job are set aside."""
ENV_ALLOW_MIXED = "ELASTIC_ALLOW_MIXED"
"""Set when workers may compute other bits than each other (PROTOCOL B6)."""

# Exit codes of a worker that its agent understands; anything else is a crash.
EXIT_DONE = 0
EXIT_REFUSED = 78
"""The group refused it: another version, model or script. Starting it again cannot help."""


@dataclass(frozen=True, order=True)
class Candidate:
    """A ready newcomer: its member id, and the store's revision at which its key was created."""

    created: int
    id: str
    address: str = ""
    """Where its collectives listen, for those who send it State before it is in (S9)."""


# -- worker to agent ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """I have entered elastic.train and my collectives listen at `address` (host:port)."""

    address: str


@dataclass(frozen=True)
class Suspect:
    """In `generation` the member `id` failed me: a broken connection, a refusal, a deadline."""

    generation: int
    id: str
    reason: str
    t: float
    """When I noticed, on CLOCK_MONOTONIC."""


@dataclass(frozen=True)
class Boundary:
    """After `step` all members agreed on this change (PROTOCOL S4); we wait for the record."""

    generation: int
    step: int
    joins: tuple[Candidate, ...] = ()
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Committed:
    """Step `step` is committed and applied here.

    `line` is the audit line (elastic.audit), only from the lowest rank of each agent.
    `metrics` are the step's loss and the user's, for the progress line.
    """

    step: int
    t: float
    metrics: dict[str, float] = field(default_factory=dict)
    line: dict[str, Any] | None = None


@dataclass(frozen=True)
class Event:
    """Something happened; it goes to `--events`. `t` is on CLOCK_MONOTONIC."""

    event: str
    t: float
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """The user's code raised at `place` ('step 12 micro-batch 3', 'sync', 'import', …)."""

    place: str
    traceback: str


@dataclass(frozen=True)
class Finished:
    """The last step is committed, the final exchange was equal; `result` is for the record."""

    generation: int
    result: dict[str, Any]
    """steps, digest, state_digest, metrics."""


# -- agent to worker ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Admission:
    """You are member `id` from now on. A later one means: you were outside; return as new."""

    id: str
    min_workers: int = 1
    max_workers: int | None = None


@dataclass(frozen=True)
class Group:
    """Generation `generation` is formed of `members`, in rank order.

    A worker that is not among them has left, as it asked to, and exits 0. `paused` says that they
    are fewer than the minimum: keep the state, run no step. `planned` says that all agreed on
    this after a step (S4): nothing in flight is aborted for it.
    """

    generation: int
    members: tuple[Member, ...]
    cause: str
    paused: bool = False
    planned: bool = False
    lost: tuple[str, ...] = ()
    first_sign: float = 0.0
    """When this agent saw the first sign of a loss, on CLOCK_MONOTONIC; 0: it saw none."""
    decided: float = 0.0
    """When it knew who is lost."""


@dataclass(frozen=True)
class Candidates:
    """All newcomers now ready: name them in the flags of your next step (PROTOCOL S4)."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class LeaveRequest:
    """Leave the group after a step that all members finish, then exit 0.

    `ids` leave together, so that it takes one change of the group.
    """

    reason: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobDone:
    """The job's record says done: here is its result."""

    result: dict[str, Any]


@dataclass(frozen=True)
class JobFailed:
    """The job's record says failed: stop."""

    cause: str


@dataclass(frozen=True)
class CutOff:
    """For `duration_s` have no connection to the other members (`--chaos`)."""

    duration_s: float


FROM_WORKER = Vocabulary([Ready, Suspect, Boundary, Committed, Event, Failure, Finished])
FROM_AGENT = Vocabulary([Admission, Group, Candidates, LeaveRequest, JobDone, JobFailed, CutOff])
