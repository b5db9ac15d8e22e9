"""Going back to State before a hook that was aborted (PROTOCOL S7).

A copy of State before every hook would cost as much as an update. A hook that has left alone what
modules and optimizers hold is therefore run without a copy of that: it is locked meanwhile. Should
the hook write there after all, it meets the lock before anything has changed; it is run again from
State before it, and from then on with copies. State before a hook that was not copied is good for
going back until the next `update`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elastic.training.guard import refused_by_lock, set_writeable
from elastic.training.state import State, is_trained

__all__ = ["Undo"]

Tree = dict[str, Any]


class Undo:
    """Runs hooks, and gives out what State was before them."""

    def __init__(self, state: State):
        self._state = state
        self._writes: dict[str, bool] = {}
        """Whether a hook has ever written to what modules or optimizers hold."""

    def run(self, name: str, hook: Callable[[], None], keep: Callable[[Tree], None]) -> None:
        """Run a hook; `keep` is given State before it, for `State.restore`."""
        if self._writes.get(name) is False:
            before = self._state.capture_lightly()
            keep(before)
            if self._left_alone(hook, before):
                return
            self._state.restore(before)
            self._writes[name] = True
        before = self._state.capture(copy=True)
        keep(before)
        hook()
        if name not in self._writes:
            self._writes[name] = not self._is_as(before)

    def _left_alone(self, hook: Callable[[], None], before: Tree) -> bool:
        """Run a hook with what is not copied locked; return whether it got by without that."""
        grads = [(param, param.grad) for param in self._state.named_parameters().values()]
        theirs = (grad.detach()._array for _, grad in grads if grad is not None)
        arrays = [a for a in (*self._trained(before), *theirs) if _is_lockable(a)]
        set_writeable(arrays, False)
        try:
            hook()
        except (ValueError, RuntimeError) as error:
            if not refused_by_lock(error):
                raise
            for param, grad in grads:  # no part of State, but what the hook found
                param.grad = grad
            return False
        finally:
            set_writeable(arrays, True)
        return True

    def _is_as(self, before: Tree) -> bool:
        now = self._trained(self._state.capture_lightly())
        pairs = zip(self._trained(before), now, strict=False)
        return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)

    def _trained(self, tree: Tree) -> Iterator[np.ndarray]:
        """Yield the arrays that modules and optimizers have in a tree."""
        names = [name for name, part in self._state.parts() if is_trained(part)]
        return _arrays([tree["parts"][name] for name in names])


def _is_lockable(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.writeable


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _arrays(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)
