"""The world of hooks: collectives while a hook runs, and a clear no elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.errors import ConfigError
from elastic.training.groups import GroupWorld, current_group, open_group
from elastic.training.solo import SoloGroup
from elastic.world import Member, World

CALLS = [
    ("allreduce", lambda world: world.allreduce(np.ones(2))),
    ("broadcast", lambda world: world.broadcast(np.ones(2))),
    ("allgather", lambda world: world.allgather(np.ones(2))),
    ("barrier", lambda world: world.barrier()),
]


@pytest.fixture
def world():
    return GroupWorld(3, (Member("a"),), 0, "why", SoloGroup())


def test_collectives_take_arrays_and_tensors(world):
    """U4."""
    with open_group(world._group):
        for value in (np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]), [1.0, 2.0]):
            assert world.allreduce(value).tolist() == [1, 2]
            assert world.broadcast(value).tolist() == [1, 2]
            assert [each.tolist() for each in world.allgather(value)] == [[1, 2]]
        assert world.allreduce(np.array([3.0]), "max").tolist() == [3]
        assert world.barrier() is None


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_elsewhere_they_are_refused(world, name, call):
    """S7: members do not stand at the same place there."""
    text = "collectives of a world work inside sync, on_step and on_epoch only"
    with pytest.raises(ConfigError, match=text):
        call(world)
    with open_group(SoloGroup()), pytest.raises(ConfigError, match=text):  # another group's hook
        call(world)
    with pytest.raises(ConfigError, match=text):
        call(GroupWorld())


def test_the_group_is_open_until_the_hook_ends_however_it_does():
    group = SoloGroup()

    def fail():
        with open_group(group):
            assert current_group() is group
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert current_group() is None


def test_it_is_a_world_and_shows_no_group(world):
    assert isinstance(world, World)
    assert (world.generation, world.size, world.ids, world.cause) == (3, 1, ("a",), "why")
    assert "_group" not in repr(world)
