"""Objects between two ends: equal on arrival, large arrays without a copy through the socket."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import channel
from elastic.data.channel import Channel

LARGE = 100_000


@pytest.fixture
def ends():
    """Both ends, in one process."""
    here, there = Channel.pair()
    other = Channel(there)
    yield here, other
    channel.share_through(None)
    here.close()
    other.close()


def sent(ends, value):
    ends[0].send(value)
    return ends[1].receive()


def memory_of(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (4, LARGE)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "bfloat16", "complex64"])
def test_tensors_arrive_as_they_were(ends, shape, dtype):
    tensor = torch.ones(shape, dtype=getattr(torch, dtype))
    got = sent(ends, tensor)
    assert (got.dtype, got.shape) == (tensor.dtype, tensor.shape)
    assert np.array_equal(got.numpy() if dtype != "bfloat16" else got._array, tensor._array)
    got.zero_()  # also what came within the message may be written


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, "text", None], "b": (2.5, b"bytes")},
        "x" * 300_000,
        np.arange(LARGE).reshape(10, -1).T,
        [np.arange(3), np.array(["text"])],
    ],
    ids=["plain", "long", "array", "small arrays"],
)
def test_other_values_arrive_equal(ends, value):
    np.testing.assert_equal(sent(ends, value), value)


def test_a_large_message_with_arrays_arrives(ends):
    text, array = sent(ends, ["x" * 300_000, np.full(LARGE, 7)])
    assert len(text) == 300_000
    assert set(array.tolist()) == {7}


def test_a_leaf_keeps_its_wish_for_a_gradient(ends):
    assert sent(ends, torch.ones(2, requires_grad=True)).requires_grad
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        ends[0].send(torch.ones(2, requires_grad=True) * 2)


def test_memory_is_used_again_only_when_nobody_holds_it(ends):
    here, there = ends
    first = sent(ends, np.zeros(LARGE))
    second = sent(ends, np.ones(LARGE))
    assert set(first.tolist()) == {0}
    address, part = memory_of(first), second[5:]
    del first, second
    gc.collect()
    there.send("which tells what was let go of")
    here.receive()
    third, fourth = sent(ends, np.full(LARGE, 3.0)), sent(ends, np.full(LARGE, 4.0))
    assert memory_of(third) == address
    assert set(part.tolist()) == {1}
    assert set(fourth.tolist()) == {4}


def test_what_is_made_in_shared_memory_is_not_copied(ends):
    channel.share_through(ends[0])
    array = channel.shared_empty((2, LARGE), np.float32)
    array[:] = 5
    got = sent(ends, torch.from_numpy(array))
    array[:] = 6
    assert set(got.flatten().tolist()) == {6}
    del got, array
    gc.collect()
    ends[1].send("which tells what was let go of")
    ends[0].receive()
    again = channel.shared_empty((2, LARGE), np.float32)
    assert set(again.flatten().tolist()) == {6}


def test_small_memory_is_not_shared(ends):
    assert channel.shared_empty((2, LARGE), np.float32) is None
    channel.share_through(ends[0])
    assert channel.shared_empty((2,), np.float32) is None


def test_sending_later_never_waits_and_keeps_the_order(ends):
    here, there = ends
    for i in range(3000):
        here.send_later([i, "x" * 1000])
    got = []
    while len(got) < 3000:
        got.append(there.receive(wait=False)[0])
        here.flush()
    assert got == list(range(3000))


def test_nothing_there_and_nobody_there_differ(ends):
    here, there = ends
    with pytest.raises(BlockingIOError):
        there.receive(wait=False)
    here.send(1)
    here.finish()
    assert there.receive() == 1
    with pytest.raises(EOFError):
        there.receive()
    there.close()
    with pytest.raises(EOFError):
        here.receive()
    here.send_later("to nobody")


def test_memory_has_no_name_and_outlives_the_channel(ends):
    before = os.listdir("/dev/shm")
    array = sent(ends, np.full(LARGE, 2))
    for end in ends:
        end.close()
    assert set(array.tolist()) == {2}
    assert os.listdir("/dev/shm") == before
