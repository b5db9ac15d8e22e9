"""The codec of events, commands and messages: round trips, and one test per way to be wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from elastic.wire import Vocabulary, from_json, to_json


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True)
class Shape:
    name: str
    corners: tuple[Point, ...] = ()
    pair: tuple[int, str] = (0, "")
    closed: bool = False
    middle: Point | None = None
    marks: dict[str, Point] = field(default_factory=dict)
    anything: Any = None
    size: int | str = 0


WORDS = Vocabulary([Point, Shape])
FULL = Shape(
    name="é\n",
    corners=(Point(1, 2.5), Point(-(10**30))),
    pair=(3, "c"),
    closed=True,
    middle=Point(0),
    marks={"a": Point(7)},
    anything={"plain": [1, None, "x"]},
    size="big",
)


@pytest.mark.parametrize("message", [Point(1), Shape("empty"), FULL])
def test_a_message_comes_back_equal(message):
    line = WORDS.encode(message)
    assert b"\n" not in line
    assert WORDS.decode(line) == message


def test_a_line_is_plain_json_with_a_type():
    assert json.loads(WORDS.encode(Point(1))) == {"type": "Point", "x": 1, "y": 0.0}


def test_a_whole_number_may_stand_for_a_float():
    point = WORDS.decode(b'{"type": "Point", "x": 1, "y": 2}')
    assert point == Point(1, 2.0)
    assert type(point.y) is float


def test_absent_fields_take_their_defaults():
    assert WORDS.decode(b'{"type": "Shape", "name": "s"}') == Shape("s")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"no json", "Expecting value"),
        (b"", "Expecting value"),
        (b"\xff\xfe", "decode|Expecting"),
        (b"[1]", "an object with a type"),
        (b'{"x": 1}', "an object with a type"),
        (b'{"type": 3}', "an object with a type"),
        (b'{"type": "Circle"}', "unknown message type"),
        (b'{"type": "Point"}', "Point: .*'x'"),
        (b'{"type": "Point", "x": 1, "z": 2}', "Point has no field 'z'"),
        (b'{"type": "Point", "x": "1"}', "expected int, got str"),
        (b'{"type": "Point", "x": 1.5}', "expected int, got float"),
        (b'{"type": "Point", "x": true}', "expected int, got bool"),
        (b'{"type": "Point", "x": 1, "y": true}', "expected float, got bool"),
        (b'{"type": "Point", "x": 1, "y": 1' + b"0" * 400 + b"}", "beyond its range"),
        (b'{"type": "Point", "x": null}', "expected int, got NoneType"),
        (b'{"type": "Shape", "name": 1}', "expected str, got int"),
        (b'{"type": "Shape", "name": "s", "closed": 1}', "expected bool, got int"),
        (b'{"type": "Shape", "name": "s", "corners": {}}', "expected a list, got dict"),
        (b'{"type": "Shape", "name": "s", "corners": [1]}', "Point expects an object, got int"),
        (b'{"type": "Shape", "name": "s", "pair": [1]}', "expected 2 items, got 1"),
        (b'{"type": "Shape", "name": "s", "marks": []}', "expected an object, got list"),
        (b'{"type": "Shape", "name": "s", "middle": 3}', "expected .*Point.*, got int"),
        (b'{"type": "Shape", "name": "s", "size": 1.5}', "expected int . str, got float"),
    ],
)
def test_each_way_to_be_wrong_is_a_value_error(line, message):
    with pytest.raises(ValueError, match=message):
        WORDS.decode(line)


def test_a_stranger_is_not_encoded():
    @dataclass(frozen=True)
    class Stranger:
        x: int

    with pytest.raises(ValueError, match="Stranger is not in this vocabulary"):
        WORDS.encode(Stranger(1))


def test_a_namesake_is_not_encoded():
    namesake = type("Point", (), {})()
    with pytest.raises(ValueError, match="Point is not in this vocabulary"):
        WORDS.encode(namesake)


def test_to_json_and_from_json_are_inverse_for_a_field():
    assert from_json(tuple[Point, ...], to_json((Point(1), Point(2)))) == (Point(1), Point(2))
