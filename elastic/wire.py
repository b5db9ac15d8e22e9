"""Frozen dataclasses to JSON and back: the one codec of events, commands and messages. No IO.

A vocabulary is a set of dataclasses known by name; `{"type": "Ready", "address": "…"}` is an
instance. Only what the annotations name is built: nothing is ever unpickled. Supported field
types: str, int, float, bool, None, Any (plain JSON), tuples, dicts with string keys, unions with
None, and other dataclasses.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

__all__ = ["Vocabulary", "from_json", "parsed", "to_json"]


_SCALARS = frozenset({str, int, float, bool, type(None)})
Decoder = Callable[[Any], Any]


def to_json(value: Any) -> Any:
    """Return plain JSON data for a dataclass, tuple, dict or scalar."""
    kind: Any = type(value)
    if kind in _SCALARS:
        return value
    names = _names(kind)
    if names is not None:
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, (list, tuple)):
        plain = _SCALARS.issuperset(map(type, value))
        return list(value) if plain else [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


@cache
def _names(cls: Any) -> tuple[str, ...] | None:
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else None
    return None if fields is None else tuple(f.name for f in fields)


@cache
def _fields(cls: type) -> dict[str, Decoder]:
    hints = typing.get_type_hints(cls)
    return {f.name: _decoder(hints[f.name]) for f in dataclasses.fields(cls)}


def from_json(kind: Any, data: Any) -> Any:
    """Return the value of type `kind` that `data` describes.

    Raises:
        ValueError: the data does not fit the type; the message names both.
    """
    return _decoder(kind)(data)


@cache
def _decoder(kind: Any) -> Decoder:
    """What reads data as `kind`: looked up once, because a step's messages have many values."""
    if kind is Any:
        return lambda data: data
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        choices = [each for each in typing.get_args(kind) if each is not type(None)]
        optional = len(choices) < len(typing.get_args(kind))
        return partial(_from_union, kind, optional, tuple(map(_decoder, choices)))
    if origin is tuple:
        return _tuple_decoder(typing.get_args(kind))
    if origin is dict:
        return partial(_from_dict, _decoder(typing.get_args(kind)[1]))
    if dataclasses.is_dataclass(kind):
        return partial(_from_object, kind)
    return _from_float if kind is float else partial(_from_scalar, kind)


def _from_scalar(kind: Any, data: Any) -> Any:
    if kind in _SCALARS and type(data) is kind:
        return data
    raise ValueError(f"expected {getattr(kind, '__name__', kind)}, got {type(data).__name__}")


def _from_float(data: Any) -> float:
    if type(data) is not int:
        return _from_scalar(float, data)
    try:
        return float(data)
    except OverflowError:
        raise ValueError("expected a float, got a whole number beyond its range") from None


def _from_union(kind: Any, optional: bool, choices: tuple[Decoder, ...], data: Any) -> Any:
    if optional and data is None:
        return None
    for choice in choices:
        try:
            return choice(data)
        except ValueError:
            continue
    raise ValueError(f"expected {kind}, got {type(data).__name__}")


def _from_dict(item: Decoder, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"expected an object, got {type(data).__name__}")
    return {key: item(value) for key, value in data.items()}


def _tuple_decoder(args: tuple[Any, ...]) -> Decoder:
    if len(args) == 2 and args[1] is Ellipsis:
        return partial(_from_many, args[0], _decoder(args[0]))
    return partial(_from_tuple, tuple(map(_decoder, args)))


def _from_many(kind: Any, item: Decoder, data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"expected a list, got {type(data).__name__}")
    if kind in (int, str) and set(map(type, data)) <= {kind}:
        return tuple(data)
    return tuple(map(item, data))


def _from_tuple(items: tuple[Decoder, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"expected a list, got {type(data).__name__}")
    if len(items) != len(data):
        raise ValueError(f"expected {len(items)} items, got {len(data)}")
    return tuple(item(value) for item, value in zip(items, data, strict=True))


def _from_object(kind: Any, data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} expects an object, got {type(data).__name__}")
    known = _fields(kind)
    unknown = data.keys() - known.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}")
    try:
        return kind(**{name: known[name](item) for name, item in data.items()})
    except TypeError as error:  # a field is missing
        raise ValueError(f"{kind.__name__}: {error}") from None


def parsed(line: bytes) -> Any:
    """Return what JSON says. Raises ValueError, whatever the bytes."""
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("a message is not nested so deeply") from None


class Vocabulary:
    """A closed set of dataclasses that may appear on a wire, by name."""

    def __init__(self, kinds: Iterable[type]):
        self.kinds = {kind.__name__: kind for kind in kinds}

    def encode(self, message: Any) -> bytes:
        """Return one line of JSON, without its newline."""
        name = type(message).__name__
        if self.kinds.get(name) is not type(message):
            raise ValueError(f"{name} is not in this vocabulary")
        body = {"type": name, **to_json(message)}
        return json.dumps(body, separators=(",", ":")).encode()

    def decode(self, line: bytes) -> Any:
        """Return the message of a line.

        Raises:
            ValueError: not JSON, an unknown type, or fields that do not fit.
        """
        body = parsed(line)
        if not isinstance(body, dict) or not isinstance(body.get("type"), str):
            raise ValueError("a message is an object with a type")
        kind = self.kinds.get(body.pop("type"))
        if kind is None:
            raise ValueError("unknown message type")
        return from_json(kind, body)
