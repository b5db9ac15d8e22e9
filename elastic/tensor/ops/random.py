"""Drawn numbers in the graph: they do not depend on what they were drawn with, so slopes are 0."""

from __future__ import annotations

from functools import partial
from typing import Any

from elastic.tensor._dispatch import op


def _zero(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


one = partial(op, operands=(), wide=False)
one("_drawn", lambda xp, x, values: values, _zero, title="RandomBackward0")
one("_bernoulli", lambda xp, x, values: values, _zero, title="BernoulliBackward0")
one("_poisson", lambda xp, x, values: values, _zero, title="PoissonBackward0")
one("_normal", lambda xp, mean, std, values: values, _zero, _zero, title="NormalBackward0")
