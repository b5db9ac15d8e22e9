"""Metrics: numbers of any kind, and means whose bits do not depend on who computed what."""

from __future__ import annotations

import math

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.errors import ConfigError
from elastic.training.metrics import as_float, tree_sum, weighted_mean


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2), torch.tensor([2.0]), True])
def test_numbers_of_any_kind(value):
    assert as_float("m", value) == float(value)
    assert type(as_float("m", value)) is float


@pytest.mark.parametrize("value", ["high", None, [1.0], np.ones(2), {}])
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(ConfigError, match="metric 'm' expects a number or a tensor of one element"):
        as_float("m", value)


def test_the_sum_follows_the_tree():
    """S5: splits at the largest power of two below n."""
    a, b, c, d, e = values = [1e16, 1.0, -1e16, 3.0, 1e-3]
    assert tree_sum(values) == ((a + b) + (c + d)) + e
    assert tree_sum(values) != sum(values)


def test_absent_is_skipped_never_zero():
    """B2: adding zeros would turn -0.0 into 0.0."""
    assert math.copysign(1, tree_sum([None, -0.0, None])) == -1
    assert tree_sum([None, None]) is None
    assert tree_sum([]) is None


def test_means_are_weighted_over_the_parts_that_have_them():
    """B1."""
    parts = [(1.0, {"a": 1.0}), (3.0, {"a": 2.0, "b": 5.0})]
    assert weighted_mean(parts) == {"a": 1.75, "b": 5.0}
    assert weighted_mean([]) == {}


def test_no_weight_has_no_mean():
    assert math.isnan(weighted_mean([(0.0, {"a": 1.0})])["a"])
