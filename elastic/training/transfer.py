"""State and results on their way between members, when a generation begins.

One round of the group carries it all: each member sends to whom the plan names it for, and expects
from whom it is named to. What arrives is verified by digest before anything is changed.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from elastic.checkpoint import format
from elastic.errors import ProtocolError
from elastic.training.agreement import Plan
from elastic.training.core import Standing
from elastic.training.state import State
from elastic.training.steps import Steps
from elastic.world import World

__all__ = ["Mover"]


class Mover:
    """Carries out a plan for one member."""

    def __init__(self, state: State, steps: Steps, standing: Standing, world: World):
        self.state, self.steps = state, steps
        self.standing, self.world = standing, world
        self.took_state = False
        """Whether State is now what another member has sent."""

    def move(self, group: Any, plan: Plan, lineage: str) -> str:
        """Send, receive and load as the plan says; return the job's lineage. May raise Aborted."""
        me = self.standing.id
        if not lineage and me not in plan.state:  # the job begins with this member's State
            lineage = self.state.state_digest()
        outgoing = self._outgoing(plan, lineage)
        sources = [self._rank(each[me]) for each in (plan.state, plan.result) if me in each]
        for message in group.round("move", outgoing, sources).values():
            lineage = self._take(message, lineage)
        return lineage

    def _rank(self, id: str) -> int:
        return self.world.ids.index(id)

    def _outgoing(self, plan: Plan, lineage: str) -> dict[int, list[Any]]:
        me = self.standing.id
        newcomers = [id for id, donor in plan.state.items() if donor == me]
        behind = [id for id, donor in plan.result.items() if donor == me]
        if self.steps.last is None:  # it has this step from another: all that it can send is State
            newcomers, behind = newcomers + behind, []
        outgoing: dict[int, list[Any]] = {}
        if newcomers:
            packed = self._pack_state(lineage)
            outgoing |= {self._rank(id): packed for id in newcomers}
        if behind:
            packed = self.steps.pack_last()
            outgoing |= {self._rank(id): packed for id in behind}
        return outgoing

    def _pack_state(self, lineage: str) -> list[Any]:
        tree = self.state.capture(copy=False)
        header, buffers = format.pack(tree)
        head = json.dumps({"lineage": lineage, "digest": format.tree_digest(tree)}).encode()
        return [head, header, *buffers]

    def _take(self, message: list[Any], lineage: str) -> str:
        head = json.loads(bytes(message[0]))
        if "digest" in head:
            return self._take_state(head, message)
        return self._take_result(message, lineage)

    def _take_state(self, head: dict[str, str], message: list[Any]) -> str:
        header = bytes(message[1])
        specs = format.sizes(header, sum(len(buffer) for buffer in message[2:]))
        buffers = [
            np.frombuffer(buffer, format.DTYPES[spec.dtype]).reshape(spec.shape)
            for spec, buffer in zip(specs, message[2:], strict=True)
        ]
        tree = format.unpack(header, buffers)
        if format.tree_digest(tree) != head["digest"]:
            raise ProtocolError("State arrived with another digest than it was sent with")
        self.state.restore(tree)
        self.took_state = True
        return head["lineage"]

    def _take_result(self, message: list[Any], lineage: str) -> str:
        result = self.steps.unpack(message)
        if result.step != self.standing.applied + 1:
            raise ProtocolError(f"got the result of step {result.step}, is at {self.standing}")
        after = self.steps.apply(result, self.world.generation, self.standing.lineage)
        if after != lineage:
            raise ProtocolError(f"step {result.step} as it was sent is not the one the job has")
        return after
