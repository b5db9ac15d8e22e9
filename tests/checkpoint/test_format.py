"""Trees to header and buffers and back: exact, bounded, never a pickle (PROTOCOL P4, B5)."""

from __future__ import annotations

import json
import math
import struct
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from elastic.checkpoint import format
from elastic.checkpoint.format import ArraySpec, pack, sizes, tree_digest, unpack
from elastic.errors import CheckpointError, StateError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("fff8000000000abc"))[0]


def round_trip(tree):
    return unpack(*pack(tree))


def assert_same(got, wanted):
    """Equal in type, value and bits."""
    assert type(got) is type(wanted)
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key in wanted:
            assert_same(got[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, (np.ndarray, np.generic)):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert got.tobytes() == wanted.tobytes()
    elif isinstance(wanted, float):
        assert struct.pack(">d", got) == struct.pack(">d", wanted)
    else:
        assert got == wanted


@pytest.mark.parametrize(
    "tree",
    [
        None,
        True,
        0,
        -(2**63),
        2**128 - 1,
        0.1,
        -0.0,
        1e308,
        5e-324,
        1e22,
        math.inf,
        -math.inf,
        math.nan,
        NAN_WITH_PAYLOAD,
        "",
        "é\n\x00\ud800",
        b"",
        b"\x00\xff",
        [],
        (),
        {},
        [1, (2, [3, ()])],
        {"b": 1, "a": {7: 2, -1: None, "7": "text"}},
        {"": {"": 1}},
        [1, 1.0, True],
    ],
    ids=lambda tree: ascii(tree)[:30],
)
def test_plain_values_come_back_exactly(tree):
    assert_same(round_trip(tree), tree)


@pytest.mark.parametrize("dtype", format.DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (5,), (2, 3, 4), (1,) * 12], ids=str)
def test_arrays_of_every_dtype_come_back_exactly(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    assert_same(round_trip({"x": array}), {"x": array})


def test_special_values_of_arrays_come_back_exactly():
    array = np.array([math.nan, NAN_WITH_PAYLOAD, -0.0, math.inf, 5e-324])
    assert_same(round_trip([array, array.astype(BFLOAT16)]), [array, array.astype(BFLOAT16)])


@pytest.mark.parametrize("scalar", [np.float64(0.1), np.float32(0.1), np.int8(3), np.bool_(True)])
def test_numpy_scalars_stay_numpy_scalars(scalar):
    assert_same(round_trip([scalar]), [scalar])


def test_a_dict_of_another_class_comes_back_as_a_dict():
    assert_same(round_trip(OrderedDict(b=1, a=2)), {"b": 1, "a": 2})


def test_buffers_are_in_c_order_and_native():
    """B5: one canonical memory layout on every member."""
    array = np.arange(12.0).reshape(3, 4)
    swapped = array.astype(">f8")
    _, buffers = pack([array.T, array[:, ::2], swapped])
    assert all(buffer.flags.c_contiguous and buffer.dtype.isnative for buffer in buffers)
    assert_same(buffers, [np.array(array.T, order="C"), array[:, ::2].copy(), array])


def test_buffers_of_contiguous_arrays_are_not_copied():
    array = np.zeros(8)
    _, (buffer,) = pack([array])
    assert buffer is array
    header, _ = pack([array])
    assert unpack(header, [buffer])[0] is array


def test_arrays_are_named_by_their_path_and_each_once():
    x = np.zeros(1)
    tree = {"model": {"0.weight": x}, "a/b": x, "a": {"b": x}, "__metadata__": x, "list": [x]}
    names = [spec.name for spec in sizes(pack(tree)[0], limit_bytes=100)]
    assert names == ["model/0.weight", "a/b", "a/b#2", "__metadata__#3", "list/0"]
    assert sizes(pack(x)[0], limit_bytes=8)[0].name == "state"


def test_a_receiver_learns_sizes_before_data_arrives():
    header, buffers = pack({"w": np.ones((2, 3), BFLOAT16), "n": np.int64(4)})
    specs = sizes(header, limit_bytes=20)
    assert specs == [ArraySpec("w", "bfloat16", (2, 3)), ArraySpec("n", "int64", ())]
    assert [spec.nbytes for spec in specs] == [12, 8]
    received = [spec.allocate() for spec in specs]
    for empty, buffer in zip(received, buffers, strict=True):
        empty[...] = buffer
    assert_same(unpack(header, received), {"w": np.ones((2, 3), BFLOAT16), "n": np.int64(4)})


def test_more_than_the_limit_is_refused_before_anything_is_allocated():
    """P4: sizes are bounded before anything is allocated."""
    with pytest.raises(CheckpointError, match="asks for 64 bytes of 63 allowed"):
        sizes(pack([np.zeros(8)])[0], limit_bytes=63)


class Model:
    pass


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"m": [Model()]}, r"state\['m'\]\['0'\] is Model"),
        ({"s": {1}}, r"state\['s'\] is set"),
        ({"o": np.array([None])}, r"state\['o'\] is an array of object"),
        ({"u": np.array(["text"])}, "is an array of str"),
        ({"t": np.array([0], "M8[s]")}, "is an array of datetime64"),
        ({"r": np.zeros(1, [("a", "f4")])}, "is an array of void"),
        ({"z": 1j}, r"state\['z'\] is complex"),
        ({"a": {1.5: 0}}, r"state\['a'\] is a dict with the key 1.5"),
        ({True: 0}, "is a dict with the key True"),
        ({(1, 2): 0}, "is a dict with the key"),
        ([10**5000], r"state\['0'\] is an int of more than 8192 bits"),
        (np.ma.masked_array([1]), "state is MaskedArray"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(tree, place):
    with pytest.raises(StateError, match=place + ".*put it into a state_dict"):
        pack(tree)


def test_what_is_nested_too_deep_is_refused():
    tree = 0
    for _ in range(format.MAX_DEPTH):
        tree = [tree]
    with pytest.raises(StateError, match="nested 64 deep"):
        pack(tree)
    assert_same(round_trip(tree[0]), tree[0])


# -- the digest ----------------------------------------------------------------------------------


def test_equal_trees_have_equal_digests_in_any_order_and_layout():
    """B7: the digest is of the values, not of how they came to lie in memory."""
    x = np.arange(6.0).reshape(2, 3)
    one = tree_digest({"a": x, "b": {2: (1, "t"), "1": [None]}})
    other = tree_digest({"b": {"1": [None], 2: (1, "t")}, "a": np.asfortranarray(x)})
    assert one == other
    assert one.startswith("sha256:")
    assert len(one) == 71


def test_every_difference_changes_the_digest():
    x = np.zeros(4, np.float32)
    trees = [
        {"a": x},
        {"b": x},
        [x],
        (x,),
        {"a": x.reshape(2, 2)},
        {"a": x.view(np.int32)},
        {"a": -x},
        {"a": np.float32(0)},
        {"a": np.zeros((), np.float32)},
        {"a": None},
        {"a": 0},
        {"a": 0.0},
        {"a": -0.0},
        {"a": "0"},
        {"a": b"0"},
        {"a": False},
        {"a": math.nan},
        {"a": math.inf},
        {0: x},
        {"0": x},
    ]
    assert len({tree_digest(tree) for tree in trees}) == len(trees)


# -- hostile headers -----------------------------------------------------------------------------


def header_of(skeleton=None, arrays=(), version=1):
    body = {"format": version, "arrays": list(arrays), "skeleton": skeleton}
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "not JSON"),
        (b"\x80\x04\x95pickle", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "has format, arrays and skeleton"),
        (b"[]", "has format, arrays and skeleton"),
        (header_of(version=2), "reads header format 1, got 2"),
        (header_of()[:-1] + b', "skeleton": NaN}', "NaN is written as hex digits"),
        (header_of(arrays=[7]), "an array is"),
        (header_of(arrays=[["x", "float32"]]), "an array is"),
        (header_of(arrays=[["x", "object", [1]]]), "an array is"),
        (header_of(arrays=[["x", "float32", [-1]]]), "an array is"),
        (header_of(arrays=[["x", "float32", [1.0]]]), "an array is"),
        (header_of(arrays=[["x", "float32", [True]]]), "an array is"),
        (header_of(arrays=[["x", "float32", [1 << 60]]]), "an array is"),
        (header_of(arrays=[["x", "float32", [1] * 33]]), "an array is"),
        (header_of(arrays=[["x", "float32", [1 << 40, 1 << 40]]]), "bytes of 1000 allowed"),
        (header_of(arrays=[["x", "int8", [1]]] * 2), "two arrays of the header have one name"),
        (header_of(arrays={}).replace(b"[]", b"{}"), "are a list"),
    ],
)
def test_a_hostile_header_is_refused_before_data(header, message):
    with pytest.raises(CheckpointError, match=message):
        sizes(header, limit_bytes=1000)


@pytest.mark.parametrize(
    "node",
    [
        {"array": 0},
        {"array": -1},
        {"scalar": 5},
        {"pickle": "gASV"},
        {"tuple": [], "dict": []},
        {"tuple": {}},
        {"dict": [["a"]]},
        {"dict": [["a", 1], ["a", 2]]},
        {"dict": [[True, 1]]},
        {"dict": [[None, 1]]},
        {"bytes": "*"},
        {"bytes": 3},
        {"float": "7ff8"},
        {"float": "zz"},
        {},
    ],
    ids=str,
)
def test_a_hostile_skeleton_is_refused(node):
    with pytest.raises(CheckpointError):
        unpack(header_of(node), [])


def test_a_skeleton_nested_too_deep_is_refused():
    node = 0
    for _ in range(200):
        node = [node]
    with pytest.raises(CheckpointError, match="nested deeper than 64"):
        unpack(header_of(node), [])


def test_a_huge_header_is_refused_before_it_is_parsed():
    with pytest.raises(CheckpointError, match="a header has at most"):
        sizes(bytes(format.MAX_HEADER_BYTES + 1), limit_bytes=1)


@pytest.mark.parametrize(
    ("buffers", "message"),
    [
        ([], "asks for 8 bytes of 0 allowed"),
        ([np.zeros(2, np.float32)] * 2, "a header of 1 arrays, got 2 buffers"),
        ([np.zeros(2, np.int32)], "should be float32 of shape .2,., got int32"),
        ([np.zeros((2, 1), np.float32)], "should be float32 of shape .2,., got float32 of shape"),
    ],
)
def test_buffers_that_are_not_what_the_header_says_are_refused(buffers, message):
    header, _ = pack([np.zeros(2, np.float32)])
    with pytest.raises(CheckpointError, match=message):
        unpack(header, buffers)
