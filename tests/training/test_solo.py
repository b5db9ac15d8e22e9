"""The group of a world of one has every operation of the others'."""

from __future__ import annotations

import numpy as np
import pytest

from elastic.collectives.group import Group
from elastic.collectives.partial import Forest, Partial, SegmentMap
from elastic.errors import ConfigError
from elastic.training.solo import SoloGroup
from elastic.world import Member


@pytest.fixture
def group():
    return SoloGroup()


@pytest.mark.parametrize("op", ["sum", "mean", "max", "min"])
def test_reductions_return_what_went_in(group, op):
    array = np.array([[1.5, -0.0], [np.inf, 2.0]])
    assert group.allreduce(array, op).tobytes() == array.tobytes()
    assert group.reduce_scatter(array, op).tobytes() == array.tobytes()


def test_what_is_moved_comes_back(group):
    array = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert group.broadcast(array).tolist() == array.tolist()
    assert [each.tolist() for each in group.allgather(array)] == [array.tolist()]
    assert group.gather(b"blob") == [b"blob"]
    assert group.barrier() is None
    assert group.round("any", {0: [b"x", array]}, [0])[0][0] == b"x"
    assert group.round("any", {0: [b"x"]}, []) == {}


def test_a_step_is_reduced_along_the_tree(group):
    """S5, B2: the same additions as in any group, and nothing where there is no leaf."""
    map = SegmentMap.of([("float32", 3), ("float32", 1)])
    x = [np.random.default_rng(leaf).normal(size=3).astype("float32") for leaf in range(3)]
    forest = Forest(3, map)
    for leaf in (2, 0, 1):
        partial = Partial.empty(map)
        partial[0] = x[leaf]
        forest.put(leaf, partial)
    headers, total = group.reduce_tree("step 1", forest, b"header")
    assert headers == [b"header"]
    assert total[0].tobytes() == ((x[0] + x[1]) + x[2]).tobytes()
    assert total[1] is None
    assert group.reduce_tree("step 1", Forest(3, map)) == ([b""], None)


def test_what_no_group_can_do_is_refused(group):
    with pytest.raises(ConfigError, match="allreduce takes one of"):
        group.allreduce(np.ones(1), "product")
    with pytest.raises(ConfigError, match="broadcasts an array, got None"):
        group.broadcast(None)


def test_it_stands_where_a_group_stands(group):
    """Whatever the loop calls, it has."""
    group.rename("alone")
    group.enter(1, (Member("alone"),), 0)
    group.interrupt(2, "nothing waits")
    group.close()
    assert (group.address, group.rank, group.size) == ("", 0, 1)
    for name in ("rename", "enter", "interrupt", "round", "close"):
        assert callable(getattr(Group, name))
