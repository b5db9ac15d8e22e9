"""A tree of plain values and arrays, as a JSON header and raw buffers; never a pickle. No IO.

A tree is made of dict (keys str or int), list, tuple, str, int, float, bool, None, bytes, numpy
arrays and numpy scalars. The header is one JSON object:

    {"format": 1,
     "arrays": [["model/0.weight", "float32", [128, 64]], …],      name, dtype, shape
     "skeleton": node}

where a node is a JSON null, bool, string, whole number, finite float or list of nodes (a list), or
an object with one key: {"dict": [[key, node], …]}, {"tuple": [node, …]}, {"bytes": base64},
{"float": the 16 hex digits of a nan or inf}, {"array": index}, {"scalar": index of a 0-d array}.
Buffers are the arrays in order: C-contiguous, in this machine's (little-endian) byte order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from elastic.errors import CheckpointError, StateError

__all__ = ["MAX_HEADER_BYTES", "ArraySpec", "pack", "sizes", "tree_digest", "unpack"]

FORMAT = 1
MAX_HEADER_BYTES = 64 << 20
MAX_DEPTH = 64
MAX_DIMENSIONS = 32

DTYPES: dict[str, np.dtype[Any]] = {
    dtype.name: dtype for dtype in map(np.dtype, [*"?bhilBHIL", *"efdFD", ml_dtypes.bfloat16])
}
"""What may be saved, by numpy's name."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What a receiver must know of an array before its bytes arrive."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of its buffer."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize

    def allocate(self) -> np.ndarray:
        """Return an uninitialised array for the bytes."""
        return np.empty(self.shape, DTYPES[self.dtype])


# -- packing -------------------------------------------------------------------------------------


def pack(tree: Any) -> tuple[bytes, list[np.ndarray]]:
    """Return the header and buffers of a tree. Buffers share memory with its contiguous arrays.

    Raises:
        StateError: the tree holds something else; the message names its place.
    """
    packer = _Packer()
    skeleton = packer.node(tree, ())
    arrays = [[spec.name, spec.dtype, list(spec.shape)] for spec in packer.specs]
    body = {"format": FORMAT, "arrays": arrays, "skeleton": skeleton}
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode(), packer.buffers


class _Packer:
    def __init__(self) -> None:
        self.specs: list[ArraySpec] = []
        self.buffers: list[np.ndarray] = []
        self._names = {"__metadata__"}  # safetensors keeps this one for itself

    def node(self, value: Any, path: tuple[str, ...]) -> Any:
        if len(path) >= MAX_DEPTH:
            raise StateError(f"State can be nested {MAX_DEPTH} deep, {_place(path)} is deeper")
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return _whole(value, path)
        if kind is float:
            return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if kind in (list, tuple):
            nodes = [self.node(item, (*path, str(i))) for i, item in enumerate(value)]
            return nodes if kind is list else {"tuple": nodes}
        if isinstance(value, dict):
            return {"dict": [self._item(key, item, path) for key, item in value.items()]}
        if kind is np.ndarray:
            return {"array": self._array(value, path)}
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value), path)}
        raise _cannot_save(path, kind.__name__)

    def _item(self, key: Any, value: Any, path: tuple[str, ...]) -> list[Any]:
        if type(key) is int:
            _whole(key, path)
        elif type(key) is not str:
            raise _cannot_save(path, f"a dict with the key {key!r}")
        return [key, self.node(value, (*path, str(key)))]

    def _array(self, array: np.ndarray, path: tuple[str, ...]) -> int:
        if DTYPES.get(array.dtype.name) is None:
            raise _cannot_save(path, f"an array of {array.dtype.name}")
        native = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
        self.specs.append(ArraySpec(self._name(path), array.dtype.name, array.shape))
        self.buffers.append(native)
        return len(self.buffers) - 1

    def _name(self, path: tuple[str, ...]) -> str:
        name = "/".join(path) or "state"
        if name in self._names:
            name = f"{name}#{len(self.buffers)}"
        self._names.add(name)
        return name


def _whole(value: int, path: tuple[str, ...]) -> int:
    if value.bit_length() > 8192:
        raise _cannot_save(path, "an int of more than 8192 bits")
    return value


def _place(path: tuple[str, ...]) -> str:
    return "state" + "".join(f"[{part!r}]" for part in path)


def _cannot_save(path: tuple[str, ...], what: str) -> StateError:
    return StateError(
        "State saves dict, list, tuple, str, int, float, bool, None, bytes and numpy arrays of "
        f"numbers; {_place(path)} is {what}; put it into a state_dict() made of these"
    )


def tree_digest(tree: Any) -> str:
    """Return 'sha256:…' over all names, values, dtypes and bytes; the order of dicts is ignored."""
    header, buffers = pack(_sorted(tree))
    digest = hashlib.sha256(header)
    for buffer in buffers:
        digest.update(buffer.reshape(-1).view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        keys = sorted(tree, key=lambda key: (type(key).__name__, key))
        return {key: _sorted(tree[key]) for key in keys}
    if type(tree) in (list, tuple):
        return type(tree)(_sorted(item) for item in tree)
    return tree


# -- unpacking -----------------------------------------------------------------------------------


def sizes(header: bytes, limit_bytes: int) -> list[ArraySpec]:
    """Return what each buffer must be, so that a receiver can allocate before data arrives.

    Raises:
        CheckpointError: a malformed header, or one that asks for more than `limit_bytes` in all.
    """
    return _specs(_parsed(header), limit_bytes)


def unpack(header: bytes, buffers: Sequence[np.ndarray]) -> Any:
    """Return the tree; its arrays are the buffers.

    Raises:
        CheckpointError: a malformed header, or buffers that are not what it says.
    """
    body = _parsed(header)
    specs = _specs(body, sum(buffer.nbytes for buffer in buffers))
    if len(specs) != len(buffers):
        raise CheckpointError(f"a header of {len(specs)} arrays, got {len(buffers)} buffers")
    for spec, buffer in zip(specs, buffers, strict=True):
        if (buffer.dtype, buffer.shape) != (DTYPES[spec.dtype], spec.shape):
            raise CheckpointError(
                f"array {spec.name!r} should be {spec.dtype} of shape {spec.shape}, "
                f"got {buffer.dtype} of shape {buffer.shape}"
            )
    return _tree(body["skeleton"], list(buffers), 0)


def _parsed(header: bytes) -> dict[str, Any]:
    if len(header) > MAX_HEADER_BYTES:
        raise CheckpointError(f"a header has at most {MAX_HEADER_BYTES} bytes, got {len(header)}")
    try:
        body = json.loads(header, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header is not JSON: {error}") from None
    if not isinstance(body, dict) or body.keys() != {"format", "arrays", "skeleton"}:
        raise CheckpointError("a header has format, arrays and skeleton, got something else")
    if body["format"] != FORMAT:
        raise CheckpointError(f"this version reads header format {FORMAT}, got {body['format']!r}")
    return body


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is written as hex digits")


def _specs(body: dict[str, Any], limit_bytes: int) -> list[ArraySpec]:
    if not isinstance(body["arrays"], list):
        raise CheckpointError("the arrays of a header are a list")
    specs = [_spec(item) for item in body["arrays"]]
    if len({spec.name for spec in specs}) != len(specs):
        raise CheckpointError("two arrays of the header have one name")
    total = sum(spec.nbytes for spec in specs)
    if total > limit_bytes:
        raise CheckpointError(f"the header asks for {total} bytes of {limit_bytes} allowed")
    return specs


def _spec(item: Any) -> ArraySpec:
    match item:
        case [str(name), str(dtype), [*shape]] if (
            dtype in DTYPES
            and len(shape) <= MAX_DIMENSIONS
            and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
        ):
            return ArraySpec(name, dtype, tuple(shape))
    raise CheckpointError(f"an array is [name, dtype, shape], got {str(item)[:80]}")


def _tree(node: Any, buffers: list[np.ndarray], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CheckpointError(f"the skeleton is nested deeper than {MAX_DEPTH}")
    match node:
        case None | bool() | str() | int() | float():
            return node
        case [*items]:
            return [_tree(item, buffers, depth + 1) for item in items]
        case {"tuple": [*items], **rest} if not rest:
            return tuple(_tree(item, buffers, depth + 1) for item in items)
        case {"dict": [*items], **rest} if not rest:
            return _dict(items, buffers, depth)
        case {"bytes": str(text), **rest} if not rest:
            return _bytes(text)
        case {"float": str(digits), **rest} if not rest:
            return _float(digits)
        case {"array": int(index), **rest} if not rest and 0 <= index < len(buffers):
            return buffers[index]
        case {"scalar": int(index), **rest} if not rest and 0 <= index < len(buffers):
            return buffers[index][()]
    raise CheckpointError(f"the skeleton has an unknown node: {str(node)[:80]}")


def _dict(items: list[Any], buffers: list[np.ndarray], depth: int) -> dict[Any, Any]:
    tree: dict[Any, Any] = {}
    for item in items:
        match item:
            case [str() | int() as key, value] if type(key) is not bool and key not in tree:
                tree[key] = _tree(value, buffers, depth + 1)
            case _:
                raise CheckpointError(f"a dict holds [key, node] once, got {str(item)[:80]}")
    return tree


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise CheckpointError("the skeleton has bytes that are not base64") from None


def _float(digits: str) -> float:
    try:
        (value,) = struct.unpack(">d", bytes.fromhex(digits))
    except (ValueError, struct.error):
        raise CheckpointError(f"the skeleton has a malformed float: {digits[:80]!r}") from None
    return value
