"""The world that hooks are given: who is in the group, and collectives among them.

The collectives work while a hook runs (`sync`, `on_step`, `on_epoch`), because only then do all
members stand at the same place. An aborted one begins again on all members with the whole hook.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from elastic.errors import ConfigError
from elastic.training.solo import SoloGroup
from elastic.world import World

if TYPE_CHECKING:
    from elastic.collectives.group import Group

__all__ = ["AnyGroup", "GroupWorld", "current_group", "open_group"]

AnyGroup = Union["Group", SoloGroup]
_open: list[AnyGroup] = []


@contextmanager
def open_group(group: AnyGroup) -> Iterator[None]:
    """Allow collectives among user code until the block ends."""
    _open.append(group)
    try:
        yield
    finally:
        _open.remove(group)


def current_group() -> AnyGroup | None:
    """Return the group whose hooks run now, if any."""
    return _open[-1] if _open else None


@dataclass(frozen=True)
class GroupWorld(World):
    """A World with collectives, for hooks. Arrays are numpy arrays or tensors; results numpy."""

    _group: AnyGroup | None = field(default=None, repr=False, compare=False)

    def allreduce(self, array: Any, op: str = "sum") -> np.ndarray:
        """Return the sum (or mean, max, min) over all members, added in canonical tree order."""
        return self._members().allreduce(np.asarray(array), op)

    def broadcast(self, array: Any, root: int = 0) -> np.ndarray:
        """Return the array of rank `root`."""
        return self._members().broadcast(np.asarray(array), root)

    def allgather(self, array: Any) -> list[np.ndarray]:
        """Return the arrays of all ranks, in rank order."""
        return self._members().allgather(np.asarray(array))

    def barrier(self) -> None:
        """Return when all members are here."""
        self._members().barrier()

    def _members(self) -> Any:
        if self._group is None or current_group() is not self._group:
            raise ConfigError(
                "collectives of a world work inside sync, on_step and on_epoch only: elsewhere "
                "the members do not stand at the same place; move the call into a hook"
            )
        return self._group
