"""What a user may set about the collectives."""

from __future__ import annotations

from dataclasses import dataclass

from elastic.collectives.plan import DIRECT_BELOW_BYTES

__all__ = ["GroupSettings"]


@dataclass(frozen=True)
class GroupSettings:
    """Limits and deadlines of a group. There is none on waiting for a live peer: slow is not dead.

    Attributes:
        chunk_bytes: the most payload in one frame.
        max_message_bytes: a larger message is refused before anything is allocated for it.
        parked_limit_bytes: above this a peer is read only while somebody awaits it.
        direct_below_bytes: reductions of less than this, times the peers, take one round.
        connect_timeout_s: how long a peer may take to answer a connection.
        keepalive_s: a silent connection is probed this often, and is dead after as long again.
        patient: peers may start later than this one: a refused connection is tried again until
            `connect_timeout_s` has passed. Without it a refusal means that the peer is dead.
    """

    chunk_bytes: int = 4 << 20
    max_message_bytes: int = 16 << 30
    parked_limit_bytes: int = 256 << 20
    direct_below_bytes: int = DIRECT_BELOW_BYTES
    connect_timeout_s: float = 5.0
    keepalive_s: float = 5.0
    patient: bool = False
