"""Moving host arrays between the members of a group, without losing a bit or a failure.

The room can be used alone. Two processes, each with its rank:

    import numpy as np
    from elastic.collectives import connect

    group = connect(["127.0.0.1:7001", "127.0.0.1:7002"], rank, token="secret")
    total = group.allreduce(np.ones(4) * rank)      # array([1., 1., 1., 1.]) on both
    group.close()

If a member dies, every waiting and later call raises `elastic.errors.Aborted` with its id. A group
that outlives its members is moved by `Group.enter(generation, members, rank)`; whoever decides who
the members are calls it, and `Group.interrupt` when that changes.

    plan             where each addition happens: the canonical tree (pure)
    core             the mailbox: accept, park, refuse, abort (pure)
    partial          partial sums, and the forest that a member holds of a step
    operations       allreduce and its kin, on one primitive: a round
    frames           messages as bytes
    mailbox          the core's shell
    admission        who may open a stream: hellos, and proofs of the token
    outbox           what is on its way to one member
    feeds            messages to newcomers, beside all rounds
    reader, service  the two ends of a stream
    connections      gRPC's listeners and channels
    grpc_transport   one member's streams, to and from all others
    group            all of it together
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elastic.collectives.group import Group, connect
    from elastic.collectives.partial import Forest, Partial, SegmentMap
    from elastic.collectives.settings import GroupSettings

__all__ = ["Forest", "Group", "GroupSettings", "Partial", "SegmentMap", "connect"]

_HOME = {
    "Forest": "partial",
    "Group": "group",
    "GroupSettings": "settings",
    "Partial": "partial",
    "SegmentMap": "partial",
    "connect": "group",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the pure files need neither numpy nor grpc."""
    if name not in _HOME:
        raise AttributeError(f"module 'elastic.collectives' has no attribute {name!r}")
    return getattr(importlib.import_module(f"elastic.collectives.{_HOME[name]}"), name)
