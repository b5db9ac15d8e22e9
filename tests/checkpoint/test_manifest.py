"""The manifest: JSON with its own digest, and each way in which it can be wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from elastic.checkpoint.manifest import Manifest, Part, _digest
from elastic.checkpoint.policy import Name
from elastic.errors import CheckpointError

MANIFEST = Manifest(12, 3, "model é", "9f", 1767225600.5, {"a": Part(10, "sha256:00")})


def test_a_manifest_comes_back_equal():
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert MANIFEST.name == Name(12, 3)


def test_the_file_is_json_that_people_can_read():
    body = json.loads(MANIFEST.to_bytes())
    assert body["step"] == 12
    assert body["parts"] == {"a": {"size_bytes": 10, "digest": "sha256:00"}}


def test_same_state_ignores_only_when_it_was_written():
    assert MANIFEST.same_state(replace(MANIFEST, created=0.0))
    for change in ({"step": 1}, {"generation": 1}, {"fingerprint": ""}, {"lineage": ""}):
        assert not MANIFEST.same_state(replace(MANIFEST, **change))
    assert not MANIFEST.same_state(replace(MANIFEST, parts={}))


def test_every_flipped_bit_is_found():
    data = MANIFEST.to_bytes()
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        try:
            assert Manifest.from_bytes(flipped) == MANIFEST, at  # white space may differ
        except CheckpointError:
            continue


def test_every_truncation_is_found():
    data = MANIFEST.to_bytes()
    for size in range(len(data)):
        with pytest.raises(CheckpointError, match="torn"):
            Manifest.from_bytes(data[:size])


def resealed(**changes):
    """Return a manifest with other fields and a digest that fits them."""
    body = json.loads(MANIFEST.to_bytes())
    del body["digest"]
    body |= changes
    return json.dumps({**body, "digest": _digest(body)}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "not an object"),
        (b"{}", "digest does not fit"),
        (b"[" * 100_000, "torn"),
        (b"\xff\xfe", "torn"),
        (MANIFEST.to_bytes().replace(b'"step": 12', b'"step": 13'), "digest does not fit"),
        (resealed(format=2), "reads checkpoints of format 1, got 2; use the version"),
        (resealed(step="12"), "malformed: expected int, got str"),
        (resealed(surplus=1), "malformed: Manifest has no field 'surplus'"),
        (resealed(parts={"a": 1}), "malformed: Part expects an object"),
        (resealed(parts=[]), "malformed: expected an object"),
    ],
)
def test_each_way_to_be_wrong_is_named(data, message):
    with pytest.raises(CheckpointError, match=message):
        Manifest.from_bytes(data)
