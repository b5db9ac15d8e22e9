"""All events that a run tells, with their fields: what `docs/observability.md` is made from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALWAYS", "EVENTS", "WHO", "EventKind"]

ALWAYS = ("t", "event", "host", "pid")
"""In every line: wall time (s), name, host of the agent, process that it is about."""
WHO = ("worker", "local_rank", "rank", "world_size", "generation")
"""In every line about a worker: its member id ('local N' before it has one), its place on its
host, and its place in the group; `rank` is null in no group."""


@dataclass(frozen=True)
class EventKind:
    """What an event tells, and its fields besides `ALWAYS` and, if it is a worker's, `WHO`."""

    meaning: str
    fields: tuple[str, ...] = ()
    of_a_worker: bool = True


EVENTS: dict[str, EventKind] = {
    "start": EventKind("a worker process was started"),
    "ready": EventKind("it has entered elastic.train and waits for its group"),
    "rendezvous": EventKind(
        "it has met its group in the first exchange of a generation", ("step", "cause", "members")
    ),
    "sync": EventKind(
        "all are level and `sync` has returned: training goes on", ("step", "total_steps")
    ),
    "step": EventKind(
        "a step was committed; with the step's loss and metrics by their names", ("step", "*")
    ),
    "timing": EventKind(
        "where a worker's time went, every 5 s: sums in seconds over `steps` steps; bytes and time "
        "of each collective; `paces`: how late each rank was, and its leaves",
        (
            "step",
            "steps",
            "seconds",
            "compute_s",
            "reduce_s",
            "update_s",
            "collectives",
            "paces",
        ),
    ),
    "straggler": EventKind(
        "this worker loses over 20 % of its time waiting for one rank alone; `reason`: leaves "
        "(it computes more slowly) or messages (it does not)",
        (
            "step",
            "accused",
            "accused_rank",
            "late_s",
            "share",
            "leaf_s",
            "others_leaf_s",
            "reason",
            "text",
        ),
    ),
    "turn": EventKind("it stood still for a planned change so long", ("step", "pause_s")),
    "lend": EventKind(
        "it has lent its State to newcomers (`to`), and stood still for it so long",
        ("step", "to", "pause_s"),
    ),
    "borrow": EventKind("a newcomer has a copy of the State of step `of`", ("step", "of")),
    "nonfinite": EventKind("a loss was nan or infinite", ("step", "place")),
    "drift": EventKind(
        "its parameters differ from the majority's (`ranks`: who else's; `parameter`: the first), "
        "so it ends and is started again with theirs",
        ("step", "ranks", "parameter"),
    ),
    "checkpoint": EventKind(
        "a checkpoint was written (`saved`: its step) or could not be (`failed`: why)",
        ("step", "saved", "failed"),
    ),
    "refused": EventKind(
        "a door of a process refused a caller; told at the 1st, 2nd, 4th, 8th, … for a reason",
        ("door", "reason", "count", "step"),
    ),
    "suspect": EventKind("it was failed by a peer, whom it accuses", ("accused", "reason")),
    "abort": EventKind("it gave up the step in flight", ("step", "reason", "peer")),
    "recovery": EventKind(
        "it has committed the first step after a loss; phases in seconds, `total_s` their sum",
        (
            "step",
            "cause",
            "lost",
            "detect_s",
            "rendezvous_s",
            "sync_s",
            "first_step_s",
            "total_s",
        ),
    ),
    "exit": EventKind(
        "a worker process ended; `how`: a signal's name or 'code N'", ("reason", "how")
    ),
    "failure": EventKind(
        "a worker ended before its time: who, how, where its code raised and the traceback or its "
        "last lines, a hint with its evidence, what was done about it",
        ("who", "how", "step", "place", "text", "hint", "done"),
    ),
    "restart": EventKind(
        "a worker will be started again", ("local_rank", "delay_s"), of_a_worker=False
    ),
    "fenced": EventKind("a stopped worker counts as dead", ("reason",)),
    "readmitted": EventKind("a fenced worker goes on, and returns as a newcomer"),
    "chaos": EventKind(
        "the agent made a fault (`--chaos`); the fields of a fault follow its kind",
        ("seed", "step", "fault", "*"),
        of_a_worker=False,
    ),
    "leave-asked": EventKind(
        "the agent was asked to leave (SIGTERM, SIGINT)", ("reason",), of_a_worker=False
    ),
    "leave": EventKind("a worker has left as it was asked to", ("step",)),
    "over": EventKind(
        "the job is over; `status`: done or failed", ("status", "cause"), of_a_worker=False
    ),
}
