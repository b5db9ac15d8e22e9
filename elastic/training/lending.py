"""State on its way to newcomers while the group trains on (docs/protocol.md, S9).

`Lender` is a member's part: it copies its share of State between two steps, and all else happens in
a thread of its own. `Borrower` is the newcomer's: shares arrive in threads of the transport and are
verified there; State is written in the training thread only.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from elastic.checkpoint import format
from elastic.collectives.feeds import Source
from elastic.collectives.frames import Message
from elastic.control import Candidate
from elastic.errors import Aborted, ElasticError, ProtocolError
from elastic.tensor import Tensor
from elastic.tensor.optim import Optimizer
from elastic.training import events as ev
from elastic.training.commands import CatchUp
from elastic.training.core import Standing
from elastic.training.link import Inbox
from elastic.training.newcomers import Copy, Pace
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.wire import from_json, to_json
from elastic.world import World

__all__ = ["Borrower", "CopyHere", "FeedEnded", "Lender", "ResultHere", "cut", "pace"]

WARM_FROM_BYTES = 512 << 10
"""Below this much in a step's result, State is sent at a step boundary: that takes no time."""
LEVEL_BYTES = 4 << 20
PATIENCE_BYTES = 1 << 30
"""Results that a newcomer may be behind when it joins, and when it is no longer waited for."""
PATIENCE_STEPS = (8, 64)
"""It is waited for at least and at most so long: what it was told may have been lost."""
STATE, RESULT = "state", "result"


def pace(result_bytes: int) -> Pace | None:
    """Return how far newcomers may be behind in a job with results of this size."""
    if result_bytes < WARM_FROM_BYTES:
        return None
    least, most = PATIENCE_STEPS
    patience = min(most, max(least, PATIENCE_BYTES // result_bytes))
    return Pace(max(1, LEVEL_BYTES // result_bytes), patience)


@dataclass(frozen=True)
class Piece:
    """Bytes `start` to `stop` of the array of this name."""

    name: str
    start: int
    stop: int


def cut(sizes: dict[str, int], shares: int) -> list[list[Piece]]:
    """Return what each of so many donors sends of arrays of these sizes, in bytes.

    Shares are equal but for a byte; the order of `sizes` does not matter.
    """
    cuts: list[list[Piece]] = [[] for _ in range(shares)]
    total, begin = sum(sizes.values()), 0
    for name in sorted(sizes):
        end = begin + sizes[name]
        for share, pieces in enumerate(cuts):
            start = max(begin, total * share // shares)
            stop = min(end, total * (share + 1) // shares)
            if start < stop:
                pieces.append(Piece(name, start - begin, stop - begin))
        begin = end
    return cuts


@dataclass(frozen=True)
class Head:
    """What a share of State says of itself."""

    step: int
    lineage: str
    share: int
    shares: int
    feeder: str
    identity: dict[str, str]
    pieces: tuple[Piece, ...]
    digests: tuple[str, ...]
    """sha256 of each piece."""


class Lender:
    """A member's part: its share of State, and the results that follow if it is the feeder."""

    def __init__(self, state: State, steps: Steps, group: Any):
        self.state, self.steps, self.group = state, steps, group
        self._generation = 0
        self._copied = threading.Event()
        self._copied.set()
        self._todo: deque[Callable[[], None]] = deque()
        self._changing = threading.Lock()

    def lend(self, newcomers: tuple[Candidate, ...], standing: Standing, world: World) -> None:
        """Send this member's share of State as it is now.

        What `update` alone writes is copied in the background, while the next leaves are computed:
        whoever writes State calls `settle` first.
        """
        self._generation = world.generation
        for each in newcomers:
            self.group.feeds.open(each.id, world.generation)
        header, arrays = format.pack(self.state.capture(copy=False))
        names = [spec.name for spec in format.sizes(header, sum(a.nbytes for a in arrays))]
        by_name = dict(zip(names, arrays, strict=True))
        sizes = {name: array.nbytes for name, array in by_name.items()}
        pieces = cut(sizes, world.size)[world.rank]
        steady = _addresses_written_in_update(self.state)
        blobs = [_bytes_of(by_name[p.name], p) for p in pieces]
        blobs = [
            blob if _address(by_name[p.name]) in steady else blob.copy()
            for p, blob in zip(pieces, blobs, strict=True)
        ]
        head = _head(standing, world, pieces)
        self._copied.clear()
        self._later(lambda: self._send_share(newcomers, world.generation, head, header, blobs))

    def settle(self) -> None:
        """Return when State may be written: all that is lent of it is copied."""
        self._copied.wait()

    def _send_share(
        self,
        newcomers: tuple[Candidate, ...],
        generation: int,
        head: Head,
        header: bytes,
        blobs: Sequence[np.ndarray],
    ) -> None:
        try:
            copies = [blob.copy() for blob in blobs]
        finally:
            self._copied.set()
        for each in newcomers:  # it connects while we hash
            self.group.feeds.invite(each.id, each.address, generation, head.step)
        digests = [sha256(blob.data).hexdigest() for blob in copies]
        told = json.dumps(to_json(replace(head, digests=tuple(digests)))).encode()
        ids = [each.id for each in newcomers]
        self.group.feeds.send(ids, generation, STATE, [told, header, *copies])

    def feed(self, step: int, ids: tuple[str, ...]) -> None:
        """Send the result of the last step, which is this one, to these."""
        generation, packed = self._generation, [b"%d" % step, *self.steps.pack_last()]
        self._later(lambda: self.group.feeds.send(ids, generation, RESULT, packed))

    def end(self, ids: tuple[str, ...], at_once: bool) -> None:
        """End the feeds to these: at once, or after all that was sent."""
        self.settle()
        self._later(lambda: self.group.feeds.end(ids, at_once))

    def _later(self, act: Callable[[], None]) -> None:
        """Do it in the background, after what was asked before."""
        with self._changing:
            self._todo.append(act)
            if len(self._todo) == 1:
                threading.Thread(target=self._run, name="elastic-lend", daemon=True).start()

    def _run(self) -> None:
        """Do all that is to be done; the first stays in the queue while it is being done."""
        while True:
            try:
                self._todo[0]()
            except Exception as error:  # noqa: BLE001 - a newcomer that gets nothing joins without
                print(f"elastic: could not lend State: {error}", file=sys.stderr, flush=True)
            with self._changing:
                self._todo.popleft()
                if not self._todo:
                    return


def _head(standing: Standing, world: World, pieces: list[Piece]) -> Head:
    return Head(
        standing.applied,
        standing.lineage,
        world.rank,
        world.size,
        world.ids[0],
        standing.identity,
        tuple(pieces),
        (),
    )


def _bytes_of(array: np.ndarray, piece: Piece) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)[piece.start : piece.stop]


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _addresses_written_in_update(state: State) -> set[int]:
    """Return where arrays lie that `train_step` cannot write: parameters, and what optimizers keep.

    Buffers it can, and of other parts nobody knows what their `state_dict` shares with them.
    """
    optimizers = [part for _, part in state.parts() if isinstance(part, Optimizer)]
    kept = [each for part in optimizers for each in part.state.values()]
    tensors = [value for each in kept for value in each.values() if isinstance(value, Tensor)]
    tensors += state.named_parameters().values()
    return {_address(t.detach().numpy()) for t in tensors if t.device.type == "cpu"}


# -- the newcomer --------------------------------------------------------------------------------


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
        _verify(head, blobs[2:])
        with self._lock:
            shares.found[head.share] = head, blobs
            complete = len(shares.found) == head.shares
        if complete:
            first, _ = shares.found[0]
            copy = CopyHere(shares.generation, first, _join(shares.found))
            shares.found, shares.feeder = {}, first.feeder
            self.put(shares, copy)

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
            self._put(ResultHere(self._shares.generation, int(bytes(step)), packed))

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


def _verify(head: Head, pieces: Sequence[Any]) -> None:
    for blob, digest in zip(pieces, head.digests, strict=True):
        if sha256(blob).hexdigest() != digest:
            raise ProtocolError(
                "a share of State arrived with another digest than it was sent with"
            )


def _join(shares: dict[int, tuple[Head, list[Any]]]) -> Any:
    """Return the tree that shares make together.

    Raises: ProtocolError or CheckpointError if they are not of one State, or do not cover it.
    """
    first, blobs = shares[0]
    found: dict[str, list[tuple[int, Any]]] = {}
    for head, parts in shares.values():
        if (head.step, head.lineage, head.shares) != (first.step, first.lineage, first.shares):
            raise ProtocolError(f"shares of two States: of step {head.step} and {first.step}")
        for piece, part in zip(head.pieces, parts[2:], strict=True):
            found.setdefault(piece.name, []).append((piece.start, part))
    header, total = (
        bytes(blobs[1]),
        sum(p.stop - p.start for h, _ in shares.values() for p in h.pieces),
    )
    specs = format.sizes(header, total)
    return format.unpack(header, [_array(spec, found.get(spec.name, [])) for spec in specs])


def _array(spec: format.ArraySpec, parts: list[tuple[int, Any]]) -> np.ndarray:
    ordered = sorted(parts, key=lambda part: part[0])
    flat = [np.frombuffer(part, np.uint8) for _, part in ordered]
    whole = flat[0] if len(flat) == 1 else np.concatenate([np.empty(0, np.uint8), *flat])
    ends = np.cumsum([0, *map(len, flat)])[:-1]
    if whole.nbytes != spec.nbytes or [start for start, _ in ordered] != ends.tolist():
        raise ProtocolError(f"State arrived without all of {spec.name!r}")
    return whole.view(format.DTYPES[spec.dtype]).reshape(spec.shape)
