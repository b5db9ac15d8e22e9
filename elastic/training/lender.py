"""A member's part when State is lent to newcomers while the group trains (docs/protocol.md, S9).

Its share of State is copied between two steps; all else happens in a thread of its own.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from elastic.checkpoint import format
from elastic.collectives.background import step_back
from elastic.control import Candidate
from elastic.tensor import Tensor
from elastic.tensor.optim import Optimizer
from elastic.training import memory
from elastic.training.context import say
from elastic.training.shares import RESULT, STATE, Head, Piece, bytes_of, cut
from elastic.training.standing import Standing
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.wire import to_json
from elastic.world import World

__all__ = ["Lender"]

_NO_ROOM = np.empty(0, np.uint8)


class Lender:
    """A member's part: its share of State, and the results that follow if it is the feeder."""

    def __init__(self, state: State, steps: Steps, group: Any):
        self.state, self.steps, self.group = state, steps, group
        self._generation = 0
        self._room = _NO_ROOM
        """Memory for the next copy."""
        self._copied = threading.Event()
        self._copied.set()
        self._todo: deque[Callable[[], None]] = deque()
        self._changing = threading.Lock()

    def make_room(self, world: World) -> None:
        """Begin to have memory ready for this member's share of State, and for results to wait in.

        What the training thread uses again and again is not taken from it.
        """
        pieces, _, _ = self._share(world)
        share_bytes = sum(piece.stop - piece.start for piece in pieces)
        self._later(lambda: self._make_room(share_bytes))

    def _make_room(self, share_bytes: int) -> None:
        self._room = memory.apart(share_bytes)

    def _share(self, world: World) -> tuple[list[Piece], bytes, dict[str, np.ndarray]]:
        header, arrays = self._packed()
        sizes = {name: array.nbytes for name, array in arrays.items()}
        return cut(sizes, world.size)[world.rank], header, arrays

    def lend(self, newcomers: tuple[Candidate, ...], standing: Standing, world: World) -> None:
        """Send this member's share of State as it is now.

        What `update` alone writes is copied in the background, while the next leaves are computed:
        whoever writes State calls `settle` first.
        """
        self._generation = world.generation
        for each in newcomers:
            self.group.feeds.open(each.id, world.generation)
        pieces, header, arrays = self._share(world)
        steady = _addresses_written_in_update(self.state)
        blobs = [bytes_of(arrays[piece.name], piece) for piece in pieces]
        blobs = [
            blob if _address(arrays[piece.name]) in steady else blob.copy()
            for piece, blob in zip(pieces, blobs, strict=True)
        ]
        head = _head(standing, world, pieces)
        self._copied.clear()
        self._later(lambda: self._send_share(newcomers, world.generation, head, header, blobs))

    def _packed(self) -> tuple[bytes, dict[str, np.ndarray]]:
        header, arrays = format.pack(self.state.capture(copy=False))
        specs = format.sizes(header, sum(array.nbytes for array in arrays))
        return header, {spec.name: array for spec, array in zip(specs, arrays, strict=True)}

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
            copies = _copies(blobs, self._room)
        finally:
            self._copied.set()
            self._room = _NO_ROOM
        for each in newcomers:  # it connects while we hash
            self.group.feeds.invite(each.id, each.address, generation, head.step)
        digests = [sha256(blob.data).hexdigest() for blob in copies]
        told = json.dumps(to_json(replace(head, digests=tuple(digests)))).encode()
        ids = [each.id for each in newcomers]
        self.group.feeds.send(ids, generation, STATE, [told, header, *copies])

    def feed(self, step: int, ids: tuple[str, ...]) -> None:
        """Send the result that has just been reduced or applied, of this step, to these."""
        generation, packed = self._generation, [b"%d" % step, *self.steps.pack_newest()]
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
        step_back()
        while True:
            try:
                self._todo[0]()
            except Exception as error:  # noqa: BLE001 - a newcomer that gets nothing joins without
                say(f"could not lend State: {error}")
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


def _copies(blobs: Sequence[np.ndarray], room: np.ndarray) -> list[np.ndarray]:
    """Return copies of blobs of bytes, one behind the other in this memory if it is enough."""
    ends = list(accumulate((blob.nbytes for blob in blobs), initial=0))
    if room.nbytes < ends[-1]:
        room = memory.apart(ends[-1])
    copies = [room[start:stop] for start, stop in pairwise(ends)]
    for copy, blob in zip(copies, blobs, strict=True):
        copy[:] = blob
    return copies


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
