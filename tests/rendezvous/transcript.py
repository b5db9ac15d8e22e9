"""Transcripts of a rendezvous core: what it is told, `----`, what it wants done.

A transcript begins with `agent X min=2 max=4`: it is agent X's core. Every line above `----` is one
event, at the time of the last `at 1.5` line; those below `at once` are one burst. Below `----` are
all commands that followed, as they are written here by `render`. A member is written `a@Y` (id a,
of agent Y; X if not said), one with the revision of its key `7:a@Y`, one that is the same worker as
a was `b=a`, a record `3[a b c] +c -b <d` (generation, ids, joined, lost, left), with `done` or
`failed` if it is over.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from elastic.control import Candidate
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.rendezvous.core import step
from elastic.rendezvous.record import RUNNING, Record
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Standing, invariants
from elastic.world import Member

__all__ = ["Transcript"]


@dataclass
class Transcript:
    """One core and what happens to it."""

    agent: str = "X"
    settings: Settings = field(default_factory=Settings)
    now: float = 0.0
    revision: int = 0
    proposal: do.Propose | None = None

    def __post_init__(self) -> None:
        self.standing = Standing(self.agent)

    def play(self, text: str) -> str:
        """Return the transcript with the commands as they are now."""
        blocks = re.split(r"\n\s*\n", text.strip())
        return "\n\n".join(self._block(block) for block in blocks) + "\n"

    def _block(self, block: str) -> str:
        told, _, _ = block.partition("----")
        lines = told.strip().splitlines()
        if all(line.startswith("#") for line in lines):
            return block
        single, _, burst = told.partition("at once\n")
        wanted = [c for line in single.splitlines() for c in self._line(line)]
        wanted += self._at_once(burst.splitlines())
        return "\n".join([*lines, "----", *map(render, wanted)])

    def _at_once(self, lines: list[str]) -> tuple[Any, ...]:
        events = tuple(self._event(line) for line in lines)
        return self._step(ev.Burst(events)) if events else ()

    def _line(self, line: str) -> tuple[Any, ...]:
        verb, *words = line.split()
        if verb == "#":
            return ()
        if verb == "agent":
            options = dict(word.split("=") for word in words[1:])
            self.settings = Settings(
                int(options.get("min", 1)), int(options["max"]) if "max" in options else None
            )
            self.agent, self.standing = words[0], Standing(words[0])
            return ()
        if verb == "at":
            self.now = float(words[0])
            return ()
        return self._step(self._event(line))

    def _event(self, line: str) -> Any:
        verb, *words = line.split()
        return getattr(self, "_" + verb.replace("-", "_"))(words)

    def _step(self, event: Any) -> tuple[Any, ...]:
        self.standing, commands = step(self.standing, event, self.now, self.settings)
        invariants(self.standing)
        for command in commands:
            self.proposal = command if isinstance(command, do.Propose) else self.proposal
        return commands

    # -- events --------------------------------------------------------------------------------

    def _member(self, word: str) -> tuple[int, Member]:
        created, _, rest = word.rpartition(":")
        name, _, agent = rest.partition("@")
        id, _, worker = name.partition("=")
        return int(created or 0), Member(id, f"{worker or id}:1", agent or self.agent)

    def _candidate(self, word: str) -> Candidate:
        created, member = self._member(word)
        return Candidate(created, member.id)

    def _listed(self, words: list[str]) -> ev.Listed:
        """listed 5 2[a b] +b | 3:a 4:b@Y — or: listed nothing | 3:a"""
        before, _, after = " ".join(words).partition("|")
        record, revision = self._record_of(before.split())
        members = tuple(self._member(word) for word in after.split())
        return ev.Listed(record, revision, members)

    def _found(self, words: list[str]) -> ev.Found:
        """found d e | 7:d@Y — of these two only one has a key"""
        asked, _, after = " ".join(words).partition("|")
        return ev.Found(tuple(asked.split()), tuple(self._member(word) for word in after.split()))

    def _record_of(self, words: list[str]) -> tuple[Record | None, int]:
        if words[0] == "nothing":
            return None, 0
        return parse_record(" ".join(words[1:])), int(words[0])

    def _record(self, words: list[str]) -> ev.RecordSeen:
        return ev.RecordSeen(*self._record_of(words))

    def _seen(self, words: list[str]) -> ev.MemberSeen:
        return ev.MemberSeen(*self._member(words[0]))

    def _gone(self, words: list[str]) -> ev.MemberGone:
        return ev.MemberGone(words[0])

    def _ready(self, words: list[str]) -> ev.WorkersReady:
        return ev.WorkersReady(tuple(self._member(word)[1] for word in words))

    def _written(self, words: list[str]) -> ev.KeysWritten:
        return ev.KeysWritten(tuple(self._candidate(word) for word in words))

    def _exited(self, words: list[str]) -> ev.WorkerExited:
        return ev.WorkerExited(words[0], " ".join(words[1:]))

    def _suspected(self, words: list[str]) -> ev.Suspected:
        """suspected 3 c by a"""
        by = words[3].replace("-", "")
        return ev.Suspected(int(words[0]), words[1], by, "broke the connection")

    def _verdict(self, words: list[str]) -> ev.Verdict:
        """verdict 3 c by a dead — 'by -' if only its key was gone"""
        by, silent = words[3].replace("-", ""), words[4] == "silent"
        dead = silent or words[4] == "dead"
        return ev.Verdict(int(words[0]), words[1], by, dead, f"it is {words[4]}", silent)

    def _greeted(self, words: list[str]) -> ev.Greeted:
        """greeted Y Z but W"""
        reached, _, failed = " ".join(words).partition("but")
        why = "no route" if failed else ""
        return ev.Greeted(tuple(reached.split()), tuple(failed.split()), why)

    def _boundary(self, words: list[str]) -> ev.BoundaryReached:
        """boundary 3 step 7 +9:d <b"""
        joins = tuple(self._candidate(word[1:]) for word in words[3:] if word[0] == "+")
        leaves = tuple(word[1:] for word in words[3:] if word[0] == "<")
        return ev.BoundaryReached(int(words[0]), int(words[2]), joins, leaves)

    def _leave(self, words: list[str]) -> ev.LeaveAsked:
        return ev.LeaveAsked(" ".join(words))

    def _finished(self, words: list[str]) -> ev.WorkersFinished:
        return ev.WorkersFinished(int(words[0]), {"steps": int(words[1])})

    def _failure(self, words: list[str]) -> ev.FailureNoted:
        return ev.FailureNoted(words[0], "again" in words, f"failed twice at {words[0]}")

    def _won(self, words: list[str]) -> ev.Proposed:
        assert self.proposal is not None
        return ev.Proposed(True, self.proposal.record, int(words[0]))

    def _lost(self, words: list[str]) -> ev.Proposed:
        return ev.Proposed(False, *self._record_of(words))

    def _store_failed(self, words: list[str]) -> ev.StoreFailed:
        return ev.StoreFailed("no answer")

    def _lease_lost(self, words: list[str]) -> ev.LeaseLost:
        return ev.LeaseLost()

    def _tick(self, words: list[str]) -> ev.Tick:
        return ev.Tick()


def parse_record(text: str) -> Record:
    """Return the record that is written '3[a b c] +c -b <d done'."""
    found = re.fullmatch(r"(\d+)\[(.*?)\](.*)", text)
    assert found is not None, f"not a record: {text}"
    marks = found[3].split()
    joined, lost, left = (
        tuple(mark[1:] for mark in marks if mark[0] == sign) for sign in ("+", "-", "<")
    )
    status = next((mark for mark in marks if mark in ("done", "failed")), RUNNING)
    result = {"steps": 8} if status == "done" else None
    ids = tuple(found[2].split())
    return Record(int(found[1]), ids, "told", joined, left, lost, status, result)


def render_record(record: Record) -> str:
    """Return a record as it is written in a transcript, with its cause."""
    marks = [f"+{id}" for id in record.joined] + [f"-{id}" for id in record.lost]
    marks += [f"<{id}" for id in record.left]
    marks += [record.status] if record.status != RUNNING else []
    marks += [json.dumps(record.result)] if record.result else []
    ids = " ".join(record.ids)
    return " ".join([f"{record.generation}[{ids}]", *marks, f'"{record.cause}"'])


def render(command: Any) -> str:
    """Return a command as one line."""
    name = type(command).__name__
    match command:
        case do.Propose(record, revision, own, drops):
            text = f"{render_record(record)} if {revision} and {own or 'nobody'}"
            text += f", dropping {' '.join(drops)}" if drops else ""
        case do.TellGroup(record, members, ids, paused):
            group = " ".join(member.id for member in members)
            text = f"{' '.join(ids)}: {record.generation}[{group}]{' paused' if paused else ''}"
        case do.Probe(generation, member, by, patient):
            text = f"{member.id} by {by or '-'} in {generation}{' patiently' * patient}"
        case do.Greet(agents):
            text = " ".join(agents)
        case do.PutMembers(members):
            text = " ".join(member.id for member in members)
        case do.DropMembers(ids) | do.Readmit(ids) | do.Read(ids):
            text = " ".join(ids)
        case do.TellCandidates(candidates):
            text = " ".join(f"{c.created}:{c.id}" for c in candidates) or "nobody"
        case do.TellOver(result, cause):
            text = f'{json.dumps(result)} "{cause}"'
        case do.Watch(members):
            text = "members" if members else "record"
        case do.WakeAt(t):
            text = f"{t:g}"
        case do.Say(text):
            pass
        case _:
            text = ""
    return f"{name} {text}".rstrip()
