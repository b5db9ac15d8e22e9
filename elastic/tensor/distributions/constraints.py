"""Sets of values: what a distribution's parameters and samples have to be.

A constraint's `check(value)` gives a boolean for each value; the last `event_dim` dimensions of
`value` are one value together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import elastic.tensor as torch


class Constraint:
    """A set of values."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Any:
        """Which of the values belong to the set."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"


class _Rule(Constraint):
    """A set that one line describes: `test` of a value and of the set's bounds."""

    def __init__(
        self,
        name: str,
        test: Callable,
        event_dim: int = 0,
        discrete: bool = False,
        **bounds: Any,
    ):
        self._name, self._test, self._bounds = name, test, bounds
        self.event_dim, self.is_discrete = event_dim, discrete
        self.__dict__.update(bounds)

    def check(self, value: Any) -> Any:
        return self._test(value, *self._bounds.values())

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name}={value}" for name, value in self._bounds.items())
        return f"{self._name}({bounds})"


class _Dependent(Constraint):
    """A set that other parameters decide: nothing can be checked."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> _Dependent:
        return _Dependent(is_discrete=is_discrete, event_dim=event_dim)

    def check(self, value: Any) -> Any:
        raise ValueError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):
    """A property whose value is the constraint; on the class itself, a dependent one."""

    def __init__(
        self, fn: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0
    ):
        super().__init__(fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable) -> dependent_property:  # type: ignore[override]
        """The property, where it is a decorator with settings."""
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _IndependentConstraint(Constraint):
    """`base_constraint` for all values along the last dimensions together."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        result = self.base_constraint.check(value)
        if result.dim() < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        kept = result.dim() - self.reinterpreted_batch_ndims
        return result.reshape((*result.shape[:kept], -1)).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


def is_dependent(constraint: Any) -> bool:
    """Whether other parameters decide the set."""
    return isinstance(constraint, _Dependent)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    return _Rule("GreaterThan", lambda v, low: low < v, lower_bound=lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on."""
    return _Rule("GreaterThanEq", lambda v, low: low <= v, lower_bound=lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound."""
    return _Rule("LessThan", lambda v, high: v < high, upper_bound=upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, with these."""
    bounds = {"lower_bound": lower_bound, "upper_bound": upper_bound}
    return _Rule("Interval", lambda v, low, high: (low <= v) & (v <= high), **bounds)


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers from a bound to below another."""
    bounds = {"lower_bound": lower_bound, "upper_bound": upper_bound}
    return _Rule("HalfOpenInterval", lambda v, low, high: (low <= v) & (v < high), **bounds)


def _integers(name: str, test: Callable, **bounds: Any) -> Constraint:
    return _Rule(name, lambda v, *ends: (v % 1 == 0) & test(v, *ends), 0, True, **bounds)


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Integers between two bounds, with these."""
    bounds = {"lower_bound": lower_bound, "upper_bound": upper_bound}
    return _integers("IntegerInterval", lambda v, low, high: (low <= v) & (v <= high), **bounds)


class MixtureSameFamilyConstraint(Constraint):
    """`base_constraint` of the components, for values of the mixture."""

    def __init__(self, base_constraint: Any):
        self.base_constraint = base_constraint
        self.is_discrete, self.event_dim = base_constraint.is_discrete, base_constraint.event_dim

    def check(self, value: Any) -> Any:
        found = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return found.reshape((*value.shape[: value.dim() - self.event_dim], -1)).all(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_constraint!r})"


def multinomial(upper_bound: Any) -> Constraint:
    """Vectors of counts that add up to at most a bound."""

    def test(v: Any, high: Any) -> Any:
        return (v >= 0).all(-1) & (v.sum(-1) <= high)

    return _Rule("Multinomial", lambda v: test(v, upper_bound), 1, True)


def _is_lower(v: Any) -> Any:
    return (v.tril() == v).all(-1).all(-1)


def _is_cholesky(v: Any) -> Any:
    return _is_lower(v) & (v.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


def _is_symmetric(v: Any) -> Any:
    return torch.isclose(v, v.mT, atol=1e-6).all(-1).all(-1)


def _has_unit_rows(v: Any) -> Any:
    limit = torch.finfo(v.dtype).eps * v.size(-1) * 10
    return ((torch.linalg.norm(v, dim=-1) - 1).abs() <= limit).all(-1)


def _is_positive(v: Any) -> Any:
    return _is_symmetric(v) & (torch.linalg.cholesky_ex(v).info == 0)


dependent = _Dependent()
independent = _IndependentConstraint
boolean = _Rule("Boolean", lambda v: (v == 0) | (v == 1), 0, True)
one_hot = _Rule("OneHot", lambda v: ((v == 0) | (v == 1)).all(-1) & (v.sum(-1) == 1), 1, True)
nonnegative_integer = _integers("IntegerGreaterThan", lambda v, low: v >= low, lower_bound=0)
positive_integer = _integers("IntegerGreaterThan", lambda v, low: v >= low, lower_bound=1)
real = _Rule("Real", lambda v: v == v)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Rule("Simplex", lambda v: (v >= 0).all(-1) & ((v.sum(-1) - 1).abs() < 1e-6), 1)
lower_triangular = _Rule("LowerTriangular", _is_lower, 2)
lower_cholesky = _Rule("LowerCholesky", _is_cholesky, 2)
corr_cholesky = _Rule("CorrCholesky", lambda v: _is_cholesky(v) & _has_unit_rows(v), 2)
symmetric = _Rule("Symmetric", _is_symmetric, 2)
positive_semidefinite = _Rule(
    "PositiveSemidefinite",
    lambda v: _is_symmetric(v) & (torch.linalg.eigvalsh(v) >= 0).all(-1),
    2,
)
positive_definite = _Rule("PositiveDefinite", _is_positive, 2)

__all__ = [
    *("Constraint", "boolean", "corr_cholesky", "dependent", "dependent_property", "greater_than"),
    *(
        "MixtureSameFamilyConstraint",
        "greater_than_eq",
        "half_open_interval",
        "independent",
        "integer_interval",
        "interval",
    ),
    *("is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial"),
    *("nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_definite"),
    *("positive_integer", "positive_semidefinite", "real", "real_vector", "simplex", "symmetric"),
    "unit_interval",
]
