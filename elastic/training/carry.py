"""What `train_step` hands on to itself: the carry of a micro-batch (PROTOCOL U1).

A carry is a tree of tensors, arrays and plain values. It travels and is kept as bytes, so it is the
same bits whoever computed the leaf, and each reader gets a copy of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from elastic.checkpoint import format
from elastic.errors import ConfigError, StateError
from elastic.training.trees import decode, encode

__all__ = ["Carries", "capture_carries", "pack", "restore_carries", "unpack"]

Carries = Mapping[int, bytes]
"""Leaf to its packed carry."""

_LENGTH = struct.Struct("<Q")


def pack(carry: Any) -> bytes:
    """Return a carry as bytes; tensors are detached.

    Raises:
        ConfigError: it holds something that cannot travel.
    """
    numpy_paths: list[list[Any]] = []
    try:
        tree = encode(carry, ["carry"], numpy_paths, copy=False)
        header, buffers = format.pack({"tree": tree, "numpy": numpy_paths})
    except StateError as error:
        raise ConfigError(
            f"train_step expects to carry tensors, arrays and plain values, and lists, tuples and "
            f"dicts of these; got: {error}"
        ) from None
    return b"".join([_LENGTH.pack(len(header)), header, *(each.tobytes() for each in buffers)])


def unpack(packed: bytes) -> Any:
    """Return the carry that was packed; tensors come back in host memory."""
    start = _LENGTH.size + _LENGTH.unpack_from(packed)[0]
    header = packed[_LENGTH.size : start]
    buffers = []
    for spec in format.sizes(header, len(packed) - start):
        flat = np.frombuffer(packed, format.DTYPES[spec.dtype], _count(spec.shape), start)
        buffers.append(flat.reshape(spec.shape))
        start += spec.nbytes
    body = format.unpack(header, buffers)
    return decode(body["tree"], ("carry",), {tuple(path) for path in body["numpy"]})


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def capture_carries(carries: Mapping[int, Carries]) -> dict[int, dict[int, np.ndarray]]:
    """Return the carries of all phases as part of a State's tree."""
    return {
        phase: {leaf: np.frombuffer(packed, np.uint8) for leaf, packed in of.items()}
        for phase, of in carries.items()
    }


def restore_carries(tree: Mapping[int, Mapping[int, np.ndarray]]) -> dict[int, Carries]:
    """Return what was captured."""
    return {
        phase: {leaf: array.tobytes() for leaf, array in of.items()} for phase, of in tree.items()
    }
