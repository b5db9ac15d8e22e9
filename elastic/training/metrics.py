"""Weighted means of metrics, added along the canonical tree so that their bits do not depend on
who computed what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elastic.collectives.plan import children, root
from elastic.errors import ConfigError

__all__ = ["as_float", "tree_sum", "weighted_mean"]


def as_float(name: str, value: Any) -> float:
    """Return a metric as a number. Raises ConfigError if it is none."""
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"metric {name!r} expects a number or a tensor of one element, got "
            f"{_named(value)}; reduce it first, for example with .mean()"
        ) from None


def _named(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


def tree_sum(values: Sequence[float | None]) -> float | None:
    """Return the sum along the canonical tree over `values`; None is skipped, never zero."""

    def add(node: tuple[int, int]) -> float | None:
        if node[1] - node[0] == 1:
            return values[node[0]]
        left, right = (add(child) for child in children(node))
        return right if left is None else left if right is None else left + right

    return add(root(len(values))) if values else None


def weighted_mean(parts: Sequence[tuple[float, dict[str, float]]]) -> dict[str, float]:
    """Return each metric's mean over the parts that have it, weighted."""
    means = {}
    for name in dict.fromkeys(name for _, metrics in parts for name in metrics):
        total = tree_sum([w * m[name] if name in m else None for w, m in parts])
        weight = tree_sum([w if name in m else None for w, m in parts])
        means[name] = total / weight if total is not None and weight else float("nan")
    return means
