"""Anomaly detection: where in the forward pass the node was made whose backward went wrong.

Nothing of it is on the way of an op while it is off: `on` puts another maker of order numbers into
the modules that make nodes, and its numbers carry the traceback.
"""

from __future__ import annotations

import importlib
import threading
import traceback
import warnings
from typing import Any

from elastic.tensor import _autograd


class _Mode(threading.local):
    enabled = False
    check_nan = True


mode = _Mode()
_plain_next_order = _autograd.next_order


class Traced(int):
    """An order number that knows which lines of the program made its node."""

    stack: str


def _traced_order() -> int:
    number = _plain_next_order()
    if not mode.enabled:
        return number
    traced = Traced(number)
    traced.stack = "".join(traceback.format_list(traceback.extract_stack()[:-2]))
    return traced


def set_mode(enabled: bool, check_nan: bool = True) -> None:
    """Turns detection on or off for this thread."""
    mode.enabled, mode.check_nan = enabled, check_nan
    if enabled:
        for name in ("_autograd", "_dispatch", "_function", "_inplace"):
            module = importlib.import_module(f"elastic.tensor.{name}")
            vars(module)["next_order"] = _traced_order


class Watched:
    """A node whose gradients are looked at before they go on."""

    def __init__(self, node: Any):
        self.node, self.hooks, self.fits = node, node.hooks, node.fits

    def gradients(self, g: Any, edges: tuple, keep: bool) -> Any:
        """The node's gradients. Raises: RuntimeError when one has a nan."""
        try:
            results = self.node.gradients(g, edges, keep)
        except Exception:
            self._warn()
            raise
        results = list(results)
        if mode.check_nan and not isinstance(self.node, _autograd.Output):
            for k, result in enumerate(results):
                if result is not None and _has_nan(result):
                    self._warn()
                    raise RuntimeError(
                        f"Function '{self.node.name()}' returned nan values in its {k}th output."
                    )
        return results

    def _warn(self) -> None:
        stack = getattr(self.node._order, "stack", None)
        if stack is None:
            text = (
                "No forward pass information available. Enable detect anomaly during forward pass "
                "for more information."
            )
        else:
            text = f"Traceback of forward call that caused the error:\n{stack}"
        name = self.node.name() if hasattr(self.node, "name") else type(self.node).__name__
        warnings.warn(f"Error detected in {name}. {text}", UserWarning, stacklevel=6)


def _has_nan(result: Any) -> bool:
    array = getattr(result, "_array", result)
    return array.dtype.kind in "fcV" and bool((array != array).any())
