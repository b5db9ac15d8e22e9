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
from collections.abc import Iterable
from functools import cache
from typing import Any

__all__ = ["Vocabulary", "from_json", "parsed", "to_json"]


def to_json(value: Any) -> Any:
    """Return plain JSON data for a dataclass, tuple, dict or scalar."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


@cache
def _fields(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def from_json(kind: Any, data: Any) -> Any:
    """Return the value of type `kind` that `data` describes.

    Raises:
        ValueError: the data does not fit the type; the message names both.
    """
    if kind is Any:
        return data
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _from_union(kind, data)
    if origin is tuple:
        return _from_tuple(kind, data)
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"expected an object, got {type(data).__name__}")
        return {key: from_json(typing.get_args(kind)[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _from_object(kind, data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return _float(data)
    if kind in (str, int, float, bool) and type(data) is kind:
        return data
    if kind is type(None) and data is None:
        return None
    raise ValueError(f"expected {getattr(kind, '__name__', kind)}, got {type(data).__name__}")


def _float(data: int) -> float:
    try:
        return float(data)
    except OverflowError:
        raise ValueError("expected a float, got a whole number beyond its range") from None


def _from_union(kind: Any, data: Any) -> Any:
    for choice in typing.get_args(kind):
        try:
            return from_json(choice, data)
        except ValueError:
            continue
    raise ValueError(f"expected {kind}, got {type(data).__name__}")


def _from_tuple(kind: Any, data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"expected a list, got {type(data).__name__}")
    args = typing.get_args(kind)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(from_json(args[0], item) for item in data)
    if len(args) != len(data):
        raise ValueError(f"expected {len(args)} items, got {len(data)}")
    return tuple(from_json(arg, item) for arg, item in zip(args, data, strict=True))


def _from_object(kind: type, data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} expects an object, got {type(data).__name__}")
    known = _fields(kind)
    unknown = data.keys() - known.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}")
    try:
        return kind(**{name: from_json(known[name], item) for name, item in data.items()})
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
