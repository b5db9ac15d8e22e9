"""A newcomer's part when State is lent to it while the group trains (docs/protocol.md, S9).

Shares of State and results arrive in threads of the transport and are verified there; State is
written in the training thread only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from elastic.collectives.feeds import Source
from elastic.collectives.frames import Message
from elastic.errors import Aborted, ElasticError, ProtocolError
from elastic.training import events as ev
from elastic.training.commands import CatchUp
from elastic.training.link import Inbox
from elastic.training.newcomers import Copy
from elastic.training.shares import STATE, Head, join, verify
from elastic.training.standing import Standing
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.wire import from_json

__all__ = ["Borrower", "CopyHere", "FeedEnded", "ResultHere"]


@dataclass(frozen=True, eq=False)
class CopyHere:
    """A whole copy of State, verified."""

    generation: int
    head: Head
    tree: Any

    @property
    def event(self) -> ev.Offered:
        """What the core is told."""
        return ev.Offered(self.generation, self.head.step, self.head.feeder, self.head.identity)


@dataclass(frozen=True, eq=False)
class ResultHere:
    """The result of a step, as the feeder has packed it."""

    generation: int
    step: int
    message: list[Any]

    @property
    def event(self) -> ev.Fed:
        """What the core is told."""
        return ev.Fed(self.generation, self.step)


@dataclass(frozen=True)
class FeedEnded:
    """Nothing more comes; if it is `broken`, without all that was to come."""

    generation: int
    reason: str
    broken: bool = False

    @property
    def event(self) -> ev.FeedLost | None:
        """What the core is told."""
        return ev.FeedLost(self.generation) if self.broken else None


class Borrower:
    """A newcomer's part: takes shares of State and results, and writes State."""

    def __init__(self, state: State, steps: Steps, group: Any, inbox: Inbox):
        self.state, self.steps, self.group, self.inbox = state, steps, group, inbox
        self._addresses: dict[str, str] = {}
        self._gathered = _Shares(0)
        self._lock = threading.Lock()
        self._copy: CopyHere | None = None
        self._result: ResultHere | None = None

    # -- in the transport's threads ------------------------------------------------------------

    def heard(self, note: Any) -> None:
        """Take a note: an invitation to a feed, or a newcomer's word of its step."""
        if not note.address:
            self.inbox.put(ev.NewcomerAt(note.generation, note.source, note.step))
            return
        with self._lock:
            if note.generation > self._gathered.generation:
                self._gathered = _Shares(note.generation)
            shares = self._gathered
            self._addresses[note.source] = note.address
        if note.generation == shares.generation:
            self.group.feeds.read(note, _Feed(self, shares, note.source))

    def take_share(self, shares: _Shares, blobs: list[Any]) -> None:
        """Take a share of State; the last one makes a copy."""
        head = from_json(Head, json.loads(bytes(blobs[0])))
        verify(head, blobs[2:])
        with self._lock:
            shares.found[head.share] = head, blobs
            complete = len(shares.found) == head.shares
        if complete:
            first, _ = shares.found[0]
            copy = CopyHere(shares.generation, first, join(shares.found))
            with self._lock:
                shares.found, shares.feeder = {}, first.feeder
                for message in (copy, *shares.early):
                    self.put(shares, message)

    def take_result(self, shares: _Shares, result: ResultHere) -> None:
        """Take a step's result; those that overtake a share wait for the State that they follow."""
        with self._lock:
            if shares.feeder:
                self.put(shares, result)
            else:
                shares.early.append(result)

    def put(self, shares: _Shares, message: Any) -> None:
        """Have the training thread take it, unless it is of the past."""
        if shares is self._gathered:
            self.inbox.put(message)

    # -- in the training thread ----------------------------------------------------------------

    def forget(self) -> None:
        """Drop what was lent and is not used: this process is another member, or in the group."""
        self._gathered = _Shares(self._gathered.generation)
        self.inbox.take(CopyHere, ResultHere, FeedEnded)
        self._copy = self._result = None

    def told(self, message: Any) -> Any:
        """Return the event that one of this class's messages is for the core."""
        if isinstance(message, CopyHere):
            self._copy = message
        elif isinstance(message, ResultHere):
            self._result = message
        return message.event

    def restore(self) -> ev.Copied:
        """Load the copy that has arrived."""
        assert self._copy is not None
        copy, self._copy = self._copy, None
        self.steps.forget()
        self.state.restore(copy.tree)
        return ev.Copied(copy.head.step, copy.head.lineage)

    def replay(self, generation: int, lineage: str) -> ev.Copied:
        """Run `update` on the result that has arrived."""
        assert self._result is not None
        result, self._result = self.steps.unpack(self._result.message), None
        after = self.steps.apply(result, generation, lineage)
        self.steps.last_line = None  # no evidence of this worker: it is not in the group yet
        return ev.Copied(result.step, after)

    def report(self, step: int, copy: Copy | None) -> None:
        """Tell the feeder at which step this newcomer stands."""
        generation = copy.generation if copy else self._gathered.generation
        for feeder in [copy.feeder] if copy else self._addresses:
            self.group.feeds.report(feeder, self._addresses[feeder], generation, step)

    def catch_up(
        self,
        command: CatchUp,
        standing: Standing,
        over: Callable[[Any], bool],
        lost: Callable[[str], None],
    ) -> ev.Copied:
        """Replay what the feed brings until this step; `over` knows the end of the generation.

        Raises: Aborted when it is over first; ProtocolError if the feed leads to another State.
        """
        now = ev.Copied(standing.applied, standing.lineage)
        while now.step < command.step:
            message = self.inbox.get_first((ResultHere, FeedEnded), over)
            if message is None:
                raise Aborted("the generation is over")
            if isinstance(message, FeedEnded):
                lost(message.reason)
            elif self.told(message).step == now.step + 1:
                now = self.replay(standing.generation, now.lineage)
        if now.lineage != command.lineage:
            raise ProtocolError(f"step {now.step} as it was fed is not the one the job has")
        return now


class _Shares:
    """What has arrived of a generation's State."""

    def __init__(self, generation: int):
        self.generation = generation
        self.found: dict[int, tuple[Head, list[Any]]] = {}
        self.feeder = ""
        """Known when all is here."""
        self.early: list[ResultHere] = []
        """Results that came before."""


class _Feed(Source):
    """One member's feed on its way into the training thread's inbox."""

    def __init__(self, borrower: Borrower, shares: _Shares, source: str):
        self._borrower, self._shares, self._source = borrower, shares, source

    def message(self, source: str, message: Message) -> None:
        """A share of State, or a result."""
        if message.header.tag == STATE:
            try:
                self._borrower.take_share(self._shares, message.blobs)
            except (ElasticError, ValueError) as error:
                self._put(FeedEnded(self._shares.generation, str(error), broken=True))
        else:
            step, *packed = message.blobs
            result = ResultHere(self._shares.generation, int(bytes(step)), packed)
            self._borrower.take_result(self._shares, result)

    def left(self, id: str) -> None:
        """The feed is complete."""
        if self._shares.feeder == self._source:
            self._put(FeedEnded(self._shares.generation, "it is complete"))

    def ended(self, why: str) -> None:
        """Nothing more comes: that matters as long as State is not whole, or from the feeder."""
        if self._shares.feeder in ("", self._source):
            self._put(FeedEnded(self._shares.generation, why, broken=True))

    def _put(self, message: Any) -> None:
        self._borrower.put(self._shares, message)
