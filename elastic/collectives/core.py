"""The mailbox of one member: what arrives is matched with what is awaited. Pure: no IO, no payload.

`step(standing, event)` returns the new standing and the commands to carry out, in order. A payload
is known by its name alone, `(generation, source, key)`; the shell keeps the bytes.

The fence (PROTOCOL: every message carries its generation; one from the past changes nothing) is
`standing.fence`: below it everything is refused and counted. What is early, of a generation to come
or of a later round of this one, is parked. A member that is lost, or a newer generation, ends every
wait at once, and every wait asked for later, until a generation at or above the fence is entered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from elastic.errors import ProtocolError

__all__ = [
    "Abort",
    "Arrived",
    "Awaited",
    "Closed",
    "Command",
    "Deliver",
    "Entered",
    "Event",
    "Forget",
    "Interrupted",
    "Key",
    "Left",
    "Park",
    "PeerLost",
    "Phase",
    "Refuse",
    "Standing",
    "Suspect",
    "TABLE",
    "invariants",
    "may_read",
    "missing",
    "step",
]

Key = tuple[str, int]
"""(channel, index): the index counts the messages of a channel within one generation. All rounds
are one channel; what a member sends to one other alone is a channel that bears its id."""


class Phase(Enum):
    """Where a member stands."""

    OUTSIDE = "outside"
    """In no generation yet."""
    INSIDE = "inside"
    """In a generation of which nobody is known to be lost."""
    BROKEN = "broken"
    """In a generation that has ended: only a newer one helps."""
    CLOSED = "closed"
    """Gone for good."""


# -- events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entered:
    """This member has joined `generation`; `peers` are the ids of the others."""

    generation: int
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A caller waits until every one of `sources` has sent `key`."""

    key: Key
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """The whole of a message is here."""

    generation: int
    source: str
    key: Key
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection to a peer broke, or was refused, while `generation` was entered here."""

    generation: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Left:
    """A peer said goodbye after all that it had to send: it is no suspect."""

    id: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """All below `generation` is over: a newer group was formed, or a deadline has passed."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """This member says goodbye."""


Event = Entered | Awaited | Arrived | PeerLost | Left | Interrupted | Closed

# -- commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give the payloads of `key` from all `sources` to the caller that awaits them."""

    generation: int
    key: Key
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """Keep this payload: it will be awaited."""

    generation: int
    source: str
    key: Key


@dataclass(frozen=True, slots=True)
class Refuse:
    """Drop this payload: it changes nothing."""

    generation: int
    source: str
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the parked payloads for which `(generation, source, key)` is named here."""

    names: tuple[tuple[int, str, Key], ...]


@dataclass(frozen=True, slots=True)
class Abort:
    """End every wait: `peer` is at fault if known, `generation` the newer one if there is one."""

    reason: str
    peer: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """Tell whoever judges: this peer failed us in this generation. Once per peer and generation."""

    generation: int
    id: str
    reason: str


Command = Deliver | Park | Refuse | Forget | Abort | Suspect

# -- standing ----------------------------------------------------------------------------------

Parked = Mapping[tuple[int, str, Key], int]
STORY_LENGTH = 32


class Standing(NamedTuple):
    """All that the mailbox knows. Its mappings are never changed in place.

    A named tuple, because a message costs two changes of it: 1 µs each instead of 6.
    """

    phase: Phase = Phase.OUTSIDE
    generation: int = -1
    """The last one entered."""
    fence: int = 0
    """The oldest generation whose messages still mean something here."""
    peers: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    suspects: frozenset[str] = frozenset()
    """Reported in this generation."""
    waits: Mapping[Key, tuple[str, ...]] = MappingProxyType({})
    parked: Parked = MappingProxyType({})
    """The payloads that are here and not delivered, by name, with their sizes in bytes."""
    delivered: Mapping[str, int] = MappingProxyType({})
    """The last index delivered, by channel."""
    refused: int = 0
    abort: Abort | None = None
    """Why this generation is broken."""
    story: tuple[tuple[Phase, Event], ...] = ()
    """The last events and the phases they met."""


Result = tuple[Standing, list[Command]]


def step(standing: Standing, event: Event) -> Result:
    """Return the standing after `event`, and the commands to carry out in order.

    Raises:
        ProtocolError: the table forbids this event in this phase.
    """
    rule = TABLE.get((standing.phase, type(event)))
    if rule is None:
        raise _illegal(standing, event, "the table has no such transition")
    after, commands = rule(standing, event)
    story = (*standing.story[1 - STORY_LENGTH :], (standing.phase, event))
    return after._replace(story=story), commands


def may_read(standing: Standing, source: str, limit_bytes: int) -> bool:
    """Return whether to take more from `source`, which is how parked data is bounded.

    Beyond the limit a source is read only while somebody awaits it, so nobody waits for ever
    behind data that nobody wants yet.
    """
    if standing.phase is Phase.CLOSED or sum(standing.parked.values()) < limit_bytes:
        return True
    return any(
        source in sources and (standing.generation, source, key) not in standing.parked
        for key, sources in standing.waits.items()
    )


def missing(standing: Standing, key: Key) -> set[str]:
    """Return who has not sent `key` yet, of those whom a caller awaits it from."""
    return _missing(standing, key, standing.waits.get(key, ()))


def invariants(standing: Standing) -> None:
    """Raise AssertionError if the standing contradicts itself."""
    s = standing
    assert s.fence >= s.generation, "the fence fell behind the generation entered"
    assert all(name[0] >= s.fence for name in s.parked), "a payload from the past is parked"
    assert not s.waits or s.phase is Phase.INSIDE, "somebody waits in a generation that is over"
    assert (s.abort is not None) == (s.phase in (Phase.BROKEN, Phase.CLOSED)), "no reason to abort"
    assert s.suspects <= s.peers, "a stranger is suspected"
    assert len({channel for channel, _ in s.waits}) == len(s.waits), "two wait on one channel"
    for key, sources in s.waits.items():
        missing = _missing(s, key, sources)
        assert missing, f"{key} is complete and was not delivered"
        assert not missing & s.left, f"{key} waits for a member that has left"
        assert key[1] > s.delivered.get(key[0], -1), f"{key} is awaited a second time"
    for generation, source, key in s.parked:
        if generation == s.generation:
            assert source in s.peers, f"a payload of {source}, no member, is parked"
            assert key[1] > s.delivered.get(key[0], -1), f"{key} is parked after its delivery"


# -- rules -------------------------------------------------------------------------------------


def _enter(s: Standing, e: Entered) -> Result:
    if e.generation <= s.generation:
        raise _illegal(s, e, f"generation {s.generation} was entered before")
    peers, fence = frozenset(e.peers), max(s.fence, e.generation)
    keep = {
        name: nbytes
        for name, nbytes in s.parked.items()
        if name[0] > e.generation or (name[0] == e.generation == fence and name[1] in peers)
    }
    commands: list[Command] = []
    if len(keep) < len(s.parked):
        commands.append(Forget(tuple(name for name in s.parked if name not in keep)))
    behind = e.generation < s.fence  # a still newer generation has interrupted this one already
    return Standing(
        phase=Phase.BROKEN if behind else Phase.INSIDE,
        generation=e.generation,
        fence=fence,
        peers=peers,
        left=s.left & peers,
        parked=keep,
        refused=s.refused + len(s.parked) - len(keep),
        abort=s.abort if behind else None,
    ), commands


def _await(s: Standing, e: Awaited) -> Result:
    channel, index = e.key
    strangers = set(e.sources) - s.peers
    if strangers:
        raise _illegal(s, e, f"{sorted(strangers)} are no peers")
    if index <= s.delivered.get(channel, -1) or any(channel == key[0] for key in s.waits):
        raise _illegal(s, e, f"channel {channel} is awaited in order, by one caller at a time")
    waiting = s._replace(waits={**s.waits, e.key: e.sources})
    missing = _missing(s, e.key, e.sources)
    if not missing:
        return _deliver(waiting, e.key)
    if gone := sorted(missing & s.left):
        return _break(waiting, Abort(f"member {gone[0]} has left", peer=gone[0]))
    return waiting, []


def _await_in_vain(s: Standing, e: Awaited) -> Result:
    assert s.abort is not None
    return s, [s.abort]


def _arrive(s: Standing, e: Arrived) -> Result:
    if reason := _why_refuse(s, e):
        refusal = Refuse(e.generation, e.source, e.key, reason)
        return s._replace(refused=s.refused + 1), [refusal]
    here = s._replace(parked={**s.parked, (e.generation, e.source, e.key): e.nbytes})
    sources = s.waits.get(e.key, ()) if e.generation == s.generation else ()
    if e.source in sources and not _missing(here, e.key, sources):
        return _deliver(here, e.key)
    return here, [Park(e.generation, e.source, e.key)]


def _why_refuse(s: Standing, e: Arrived) -> str:
    if s.phase is Phase.CLOSED:
        return "this member is closed"
    if e.generation < s.fence:
        return f"generation {e.generation} is over, {s.fence} is now"
    if (e.generation, e.source, e.key) in s.parked:
        return "it is here already"
    if e.generation > s.generation:
        return ""
    if e.source not in s.peers:
        return f"{e.source} is no member of generation {e.generation}"
    return "it was delivered before" if e.key[1] <= s.delivered.get(e.key[0], -1) else ""


def _lose(s: Standing, e: PeerLost) -> Result:
    if e.generation != s.generation or e.id not in s.peers - s.left - s.suspects:
        return s, []
    suspecting = s._replace(suspects=s.suspects | {e.id})
    report = Suspect(e.generation, e.id, e.reason)
    if s.phase is Phase.BROKEN:
        return suspecting, [report]
    after, commands = _break(suspecting, Abort(e.reason, peer=e.id))
    return after, [*commands, report]


def _leave(s: Standing, e: Left) -> Result:
    after = s._replace(left=s.left | {e.id})
    for key, sources in s.waits.items():
        if e.id in _missing(s, key, sources):
            return _break(after, Abort(f"member {e.id} has left", peer=e.id))
    return after, []


def _interrupt(s: Standing, e: Interrupted) -> Result:
    known = s.abort.generation if s.abort and s.abort.generation else 0
    if e.generation <= max(s.generation, known):
        return s, []
    return _break(s, Abort(e.reason, generation=e.generation))


def _close(s: Standing, e: Closed) -> Result:
    after, commands = _break(s, Abort("this member is closed"))
    return after._replace(phase=Phase.CLOSED), commands


def _ignore(s: Standing, e: Event) -> Result:
    return s, []


def _deliver(s: Standing, key: Key) -> Result:
    """A wait is complete: nothing of its channel up to its index is wanted any more."""
    channel, index = key
    sources = s.waits[key]
    over = [
        name
        for name in s.parked
        if name[0] == s.generation and name[2][0] == channel and name[2][1] <= index
    ]
    taken = {(s.generation, source, key) for source in sources}
    commands: list[Command] = [Deliver(s.generation, key, sources)]
    if unwanted := tuple(name for name in over if name not in taken):
        commands.append(Forget(unwanted))
    return s._replace(
        waits={other: waited for other, waited in s.waits.items() if other != key},
        parked={name: nbytes for name, nbytes in s.parked.items() if name not in over},
        delivered={**s.delivered, channel: index},
        refused=s.refused + len(unwanted),
    ), commands


def _break(s: Standing, abort: Abort) -> Result:
    """This generation is over: nobody waits, and the fence stands above it."""
    fence = max(s.fence, abort.generation or 0, s.generation + 1)
    keep = {name: nbytes for name, nbytes in s.parked.items() if name[0] >= fence}
    commands: list[Command] = [abort]
    if len(keep) < len(s.parked):
        commands.append(Forget(tuple(name for name in s.parked if name not in keep)))
    return s._replace(phase=Phase.BROKEN, fence=fence, parked=keep, waits={}, abort=abort), commands


def _missing(s: Standing, key: Key, sources: tuple[str, ...]) -> set[str]:
    return {source for source in sources if (s.generation, source, key) not in s.parked}


def _illegal(s: Standing, event: Event, why: str) -> ProtocolError:
    lines = "\n  ".join(f"{phase.value}: {past}" for phase, past in s.story)
    return ProtocolError(
        f"the mailbox, {s.phase.value} in generation {s.generation}, cannot take {event}: {why}."
        f"\nStanding: {s}\nStory:\n  {lines}"
    )


Rule = Callable[[Standing, Any], Result]

TABLE: Mapping[tuple[Phase, type], Rule] = {
    (Phase.OUTSIDE, Entered): _enter,
    (Phase.OUTSIDE, Arrived): _arrive,
    (Phase.OUTSIDE, PeerLost): _ignore,
    (Phase.OUTSIDE, Left): _leave,
    (Phase.OUTSIDE, Interrupted): _interrupt,
    (Phase.OUTSIDE, Closed): _close,
    (Phase.INSIDE, Entered): _enter,
    (Phase.INSIDE, Awaited): _await,
    (Phase.INSIDE, Arrived): _arrive,
    (Phase.INSIDE, PeerLost): _lose,
    (Phase.INSIDE, Left): _leave,
    (Phase.INSIDE, Interrupted): _interrupt,
    (Phase.INSIDE, Closed): _close,
    (Phase.BROKEN, Entered): _enter,
    (Phase.BROKEN, Awaited): _await_in_vain,
    (Phase.BROKEN, Arrived): _arrive,
    (Phase.BROKEN, PeerLost): _lose,
    (Phase.BROKEN, Left): _leave,
    (Phase.BROKEN, Interrupted): _interrupt,
    (Phase.BROKEN, Closed): _close,
    (Phase.CLOSED, Awaited): _await_in_vain,
    (Phase.CLOSED, Arrived): _arrive,
    (Phase.CLOSED, PeerLost): _ignore,
    (Phase.CLOSED, Left): _ignore,
    (Phase.CLOSED, Interrupted): _ignore,
    (Phase.CLOSED, Closed): _ignore,
}
