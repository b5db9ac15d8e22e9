"""The cure for etcd3's old stubs: message classes from the descriptors that they embed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elastic.errors import ConfigError
from elastic.rendezvous._etcd_messages import message, method, serialized_descriptor

STUB = "DESCRIPTOR = _descriptor.FileDescriptor(\n  name='a.proto',\n  serialized_pb={}\n"


def test_a_message_survives_the_wire() -> None:
    request = message("etcdserverpb.TxnRequest")
    compare = {"key": b"k", "target": message("etcdserverpb.Compare").MOD, "mod_revision": 1 << 40}
    sent = request(compare=[compare], success=[{"request_put": {"key": b"\xff", "value": b"\0"}}])
    received = request.FromString(sent.SerializeToString())
    assert received == sent
    assert received.compare[0].mod_revision == 1 << 40
    assert received.success[0].WhichOneof("request") == "request_put"


def test_the_bytes_are_those_of_etcd() -> None:
    """Field numbers of rpc.proto: RangeRequest.key is 1, range_end is 2, both bytes."""
    request = message("etcdserverpb.RangeRequest")(key=b"a", range_end=b"b")
    assert request.SerializeToString() == b"\x0a\x01a\x12\x01b"


def test_a_method_knows_its_path_and_its_messages() -> None:
    watch = method("Watch", "Watch")
    assert watch.path == "/etcdserverpb.Watch/Watch"
    assert watch.request.DESCRIPTOR.full_name == "etcdserverpb.WatchRequest"
    assert watch.response.DESCRIPTOR.full_name == "etcdserverpb.WatchResponse"


def test_nothing_of_etcd3_is_run() -> None:
    """Its modules fail beside protobuf 4 and later; and its name is left to who wants it."""
    code = (
        "import sys, elastic.rendezvous._etcd_messages as m; m.method('KV', 'Txn');"
        "print([name for name in sys.modules if name.startswith('etcd3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stub_yields_the_bytes_of_its_descriptor(tmp_path: Path) -> None:
    stub = tmp_path / "a_pb2.py"
    stub.write_text(STUB.format(r"_b('\n\x07\x61.proto\x12\"\xff\'')"))
    assert serialized_descriptor(stub) == b"\n\x07a.proto\x12\"\xff'"


@pytest.mark.parametrize("text", [None, "", STUB.format("b'a.proto',"), STUB.format("_b(name)")])
def test_a_stub_of_another_form_is_named_with_the_cure(tmp_path: Path, text: str | None) -> None:
    stub = tmp_path / "a_pb2.py"
    if text is not None:
        stub.write_text(text)
    with pytest.raises(ConfigError, match=r"etcd3 0.12, got .*a_pb2.py .*pip install"):
        serialized_descriptor(stub)
