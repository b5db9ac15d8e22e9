"""Drawn numbers in the graph.

Most do not depend on what they were drawn with: slopes are 0. Those of gamma's family do: a number
moves with its parameter so that the probability of less stays what it is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._dispatch import op


def _zero(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


one = partial(op, operands=(), wide=False)
one("_drawn", lambda xp, x, values: values, _zero, title="RandomBackward0")
one("_bernoulli", lambda xp, x, values: values, _zero, title="BernoulliBackward0")
one("_poisson", lambda xp, x, values: values, _zero, title="PoissonBackward0")
one("_normal", lambda xp, mean, std, values: values, _zero, _zero, title="NormalBackward0")


def _slope(cdf: Any, shape: Any) -> Any:
    """The derivative of `cdf` at `shape`, from float64 differences of fourth order."""
    h = 1e-3 * shape
    near, far = cdf(shape + h) - cdf(shape - h), cdf(shape + 2 * h) - cdf(shape - 2 * h)
    return (8 * near - far) / (12 * h)


def _gamma_grad(xp: Any, shape: Any, value: Any) -> Any:
    special = backend.special(xp)
    a, x = shape.astype(np.float64), value.astype(np.float64)
    a, x = xp.broadcast_arrays(a, x)
    low = _slope(lambda each: special.gammainc(each, x), a)
    high = -_slope(lambda each: special.gammaincc(each, x), a)  # keeps its digits in the tail
    log_density = (a - 1) * xp.log(x) - x - special.gammaln(a)
    return (-xp.where(x < a, low, high) / xp.exp(log_density)).astype(value.dtype)


def _beta_grad(xp: Any, value: Any, first: Any, total: Any) -> Any:
    special = backend.special(xp)
    x, a, t = (each.astype(np.float64) for each in (value, first, total))
    b = t - a
    low = _slope(lambda each: special.betainc(each, b, x), a)
    high = -_slope(lambda each: special.betainc(b, each, 1 - x), a)
    log_density = (a - 1) * xp.log(x) + b * xp.log1p(-x) - special.betaln(a, b)
    return (-xp.where(x * t < a, low, high) / xp.exp(log_density)).astype(value.dtype)


def _dirichlet_vjp(F: Any, g: Any, x: Any, out: Any) -> Any:
    total = F.expand(F.sum(x, (-1,), True), tuple(x.shape))
    return F._dirichlet_grad(out, x, total) * (g - F.sum(out * g, (-1,), True))


op("_standard_gamma_grad", _gamma_grad, None, None, operands=(), wide=False)
op("_dirichlet_grad", _beta_grad, None, None, None, operands=(), wide=False)
one(
    "_standard_gamma",
    lambda xp, x, values: values,
    lambda F, g, x, out: g * F._standard_gamma_grad(x, out),
)
one("_sample_dirichlet", lambda xp, x, values: values, _dirichlet_vjp)
