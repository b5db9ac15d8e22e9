"""`elastic-run status`: how a job stands, from any machine that reaches its store.

Who is in the job stands in the store; what changes with each step does not, and is asked of the
agents themselves, which answer whoever proves that he knows the job's token (`agent/ping.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from elastic.agent.board import Snapshot
from elastic.agent.ping import ask_status
from elastic.errors import ConfigError
from elastic.rendezvous.record import DONE, FAILED, RUNNING, Keys, Record, decode_member
from elastic.rendezvous.store import Store
from elastic.wire import from_json, to_json
from elastic.world import Member

__all__ = ["GONE", "WAITING", "JobView", "UnknownJob", "look"]

WAITING, GONE = "waiting", "gone"
_MAX_ASKED_AT_ONCE = 32
_NEWS = 12


class UnknownJob(LookupError):
    """The store holds nothing of this job."""


@dataclass(frozen=True)
class JobView:
    """A job at one moment, as the store and its agents tell it."""

    job: str
    record: Record | None
    members: tuple[Member, ...]
    """Those with a key: in the group or waiting, in the order in which their keys were made."""
    failures: dict[str, str] = field(default_factory=dict)
    """Where the user's code has failed, and its traceback."""
    token_fits: bool = True
    agents: dict[str, Snapshot | str] = field(default_factory=dict)
    """What each agent says, by address, or why it says nothing."""

    @property
    def status(self) -> str:
        """running, waiting, gone (its agents died together), done or failed."""
        if self.record is not None and self.record.status == RUNNING and not self.members:
            return GONE
        if self.record is None or (self.record.status == RUNNING and not self.record.ids):
            return WAITING
        if self.record.status == RUNNING and any(s.state == WAITING for s in self.snapshots):
            return WAITING
        return self.record.status

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in (DONE, FAILED)

    @property
    def snapshots(self) -> list[Snapshot]:
        """What the agents that answered say, who is furthest first."""
        said = [each for each in self.agents.values() if isinstance(each, Snapshot)]
        return sorted(said, key=lambda snapshot: -snapshot.step)

    @property
    def ranked(self) -> list[tuple[int | None, Member]]:
        """All members: those of the group by rank, then those that wait (None)."""
        ids = self.record.ids if self.record else ()
        ranks = {id: rank for rank, id in enumerate(ids)}
        both = [(ranks.get(member.id), member) for member in self.members]
        return sorted(both, key=lambda each: (each[0] is None, each[0] or 0))

    @property
    def stragglers(self) -> dict[str, str]:
        """Rank to evidence, as any agent has it."""
        return {rank: why for each in self.snapshots for rank, why in each.stragglers.items()}

    @property
    def news(self) -> list[dict[str, Any]]:
        """The last events of all agents, oldest first."""
        every = [
            {"host": snapshot.host, **event}
            for snapshot in self.snapshots
            for event in snapshot.events
        ]
        return sorted(every, key=lambda event: event["t"])[-_NEWS:]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        front = self.snapshots[0] if self.snapshots else None
        return {
            "job": self.job,
            "status": self.status,
            "generation": self.record.generation if self.record else None,
            "cause": self.record.cause if self.record else None,
            "result": self.record.result if self.record else None,
            "world_size": len(self.record.ids) if self.record else 0,
            "step": front.step if front else None,
            "total_steps": front.total_steps if front else None,
            "steps_per_s": front.steps_per_s if front else None,
            "members": [{"rank": rank, **to_json(member)} for rank, member in self.ranked],
            "agents": {
                address: {"error": said} if isinstance(said, str) else to_json(said)
                for address, said in self.agents.items()
            },
            "stragglers": self.stragglers,
            "failures": self.failures,
        }


def look(store: Store, job: str, token: str) -> JobView:
    """Return the job as it stands.

    Raises:
        UnknownJob: the store holds nothing of it.
        ConfigError: what it holds is not of this version.
        StoreUnavailable: the store does not answer.
    """
    try:
        return _look(store, job, token)
    except ValueError as error:
        raise ConfigError(
            f"job {job!r} expects keys that an elastic-run of this version has written, got "
            f"others: {error}; use the status command of that version"
        ) from None


def _look(store: Store, job: str, token: str) -> JobView:
    keys = Keys(job)
    items = {item.key: item for item in store.range(keys.prefix, prefix=True).items}
    if not items:
        raise UnknownJob(
            f"the store knows no job {job!r}: it has not begun, or has another --rdzv-id"
        )
    record = items.get(keys.record)
    keyed = [item for key, item in items.items() if key.startswith(keys.members)]
    members = tuple(
        decode_member(item.key.removeprefix(keys.members), item.value)
        for item in sorted(keyed, key=lambda item: item.created)
    )
    return JobView(
        job,
        Record.decode(record.value) if record else None,
        members,
        {
            key.removeprefix(keys.failures): item.value.decode(errors="replace")
            for key, item in items.items()
            if key.startswith(keys.failures)
        },
        keys.token not in items or _fits(items[keys.token].value, job, token),
        ask_all(dict.fromkeys(member.agent for member in members), token),
    )


def _fits(written: bytes, job: str, token: str) -> bool:
    mine = hmac.new(token.encode(), job.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(written.partition(b" ")[0], mine.encode())


def ask_all(addresses: Any, token: str) -> dict[str, Snapshot | str]:
    """Return what each agent says, or why it says nothing."""
    asked = [address for address in addresses if address]
    if not asked:
        return {}
    with ThreadPoolExecutor(min(len(asked), _MAX_ASKED_AT_ONCE)) as pool:
        return dict(zip(asked, _answers(pool, asked, token), strict=True))


def _answers(pool: ThreadPoolExecutor, asked: list[str], token: str) -> Iterator[Snapshot | str]:
    def ask(address: str) -> Snapshot | str:
        try:
            return from_json(Snapshot, ask_status(address, token))
        except PermissionError:
            return "it answers to the job's token only"
        except OSError as error:
            return f"silent ({error})"
        except ValueError as error:
            return f"another version of elastic-run ({error})"

    return pool.map(ask, asked)
