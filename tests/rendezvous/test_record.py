"""The record, and a member's key beside it."""

from __future__ import annotations

import pytest

from elastic.rendezvous.record import DONE, Keys, Record, decode_member, encode_member
from elastic.world import Member

RECORD = Record(3, ("a", "b"), "b joined", joined=("b",))


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        Record(7, (), "a: killed", lost=("a",), left=("b",)),
        Record(9, ("a",), "done", status=DONE, result={"steps": 8, "metrics": {"loss": 0.5}}),
    ],
)
def test_bytes_both_ways(record):
    assert Record.decode(record.encode()) == record


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b'{"generation": 1}', b'{"generation": "1", "ids": [], "cause": ""}'],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError):
        Record.decode(data)


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({"joined": ("c",)}, True),
        ({"left": ("c",)}, True),
        ({"lost": ("c",)}, False),
        ({"lost": ("c",), "joined": ("d",)}, False),
        ({}, False),
    ],
)
def test_only_joins_and_leaves_are_planned(changes, planned):
    """PROTOCOL S4: a planned change aborts nothing; a loss or a reset ends what is in flight."""
    assert RECORD.after(**changes).planned is planned


def test_the_next_generation_carries_no_change_on():
    after = RECORD.after(ids=("a",), lost=("b",), cause="b: killed")
    assert after == Record(4, ("a",), "b: killed", lost=("b",))
    done = after.after(status=DONE, result={"steps": 1})
    assert done.after().result is None


def test_keys_lie_under_the_job():
    """PROTOCOL M2."""
    keys = Keys("job7")
    assert keys.record == "/elastic/job7/record"
    for key in (keys.record, keys.members, keys.failures, keys.token):
        assert key.startswith(keys.prefix)


def test_a_members_key_holds_its_addresses():
    member = Member("x-1", "host:1", "host:2")
    assert decode_member("x-1", encode_member(member)) == member
    assert decode_member("x-2", encode_member(member)).id == "x-2"


@pytest.mark.parametrize("data", [b"7", b'{"address": 7}', b'{"other": "x"}', b"{"])
def test_another_value_is_no_member(data):
    with pytest.raises(ValueError):
        decode_member("x", data)
