"""etcd's messages, rebuilt from the descriptors inside the `etcd3` package.

The stubs of `etcd3` were generated before protobuf 4 and fail to import beside a newer one. But
each holds its .proto file, serialized, in one line, and that has not aged:

    serialized_pb=_b('\\n\\trpc.proto\\x12\\x0c\\x65tcdserverpb…')

So this file reads that line from `kv_pb2.py`, `auth_pb2.py` and `rpc_pb2.py`, without importing
them, into a descriptor pool of its own (private: another user of etcd3 in this process may have
registered the same names), and lets protobuf build the classes.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory

from elastic.errors import ConfigError

__all__ = ["Method", "message", "method"]

_STUBS = ("kv_pb2.py", "auth_pb2.py", "rpc_pb2.py")  # in the order of their imports
_SERIALIZED = re.compile(r"^  serialized_pb=_b\((?P<literal>'.*')\),?$", re.MULTILINE)


@dataclass(frozen=True)
class Method:
    """A gRPC method: its path, and the message classes it takes and gives."""

    path: str
    request: Any
    response: Any


@cache
def message(name: str) -> Any:
    """Return the message class, such as `etcdserverpb.TxnRequest` or `mvccpb.Event`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


@cache
def method(service: str, name: str) -> Method:
    """Return a method of an etcd service, such as `KV`, `Txn`."""
    full_name = f"etcdserverpb.{service}"
    found = _pool().FindServiceByName(full_name).methods_by_name[name]
    types = (found.input_type, found.output_type)
    return Method(f"/{full_name}/{name}", *map(message_factory.GetMessageClass, types))


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for stub in _STUBS:
        pool.AddSerializedFile(serialized_descriptor(_stub_folder() / stub))
    return pool


def _stub_folder() -> Path:
    package = importlib.util.find_spec("etcd3")  # finds a package without running it
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            "the etcd store expects the package etcd3, found none; cure: pip install etcd3"
        )
    return Path(package.submodule_search_locations[0]) / "etcdrpc"


def serialized_descriptor(stub: Path) -> bytes:
    """Return the serialized FileDescriptorProto that a generated stub embeds.

    Raises:
        ConfigError: the stub is not of the form that etcd3 0.12 has.
    """
    found = _SERIALIZED.search(stub.read_text()) if stub.is_file() else None
    if found is None:
        raise ConfigError(
            f"the etcd store expects the stubs of etcd3 0.12, got {stub} without its "
            "descriptor; cure: pip install 'etcd3==0.12.*'"
        )
    # The generator wrote bytes as the text of their Latin-1 characters.
    return bytes(ast.literal_eval(found["literal"]), "latin-1")
