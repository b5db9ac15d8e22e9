"""What an agent answers others about its members, and what it asks other agents about theirs."""

from __future__ import annotations

from typing import Any

from elastic.agent.board import Board
from elastic.agent.members import Members
from elastic.agent.ping import STATUS, probe
from elastic.agent.settings import AgentSettings
from elastic.clock import monotonic
from elastic.rendezvous import commands as do
from elastic.rendezvous import events as ev
from elastic.telemetry.events import plain
from elastic.wire import to_json

__all__ = ["Answers"]

_IMPATIENT_S, _PATIENT_S = 0.3, 1.0
"""How long who is probed may be silent: with a sign of its death, and without (M6)."""


class Answers:
    """Called from the threads of the ping server and of the rendezvous."""

    def __init__(self, settings: AgentSettings, members: Members, board: Board):
        self._settings, self._members, self._board = settings, members, board

    def answer(self, id: str) -> dict[str, Any]:
        """Answer whether a member of ours lives (M6), or how the run stands."""
        if id == STATUS:
            return plain(to_json(self._board.snapshot(monotonic())))
        ours = list(self._members.ids.items())
        worker = next((worker for worker, other in ours if other == id), None)
        if worker is None:
            return {"alive": False, "reason": "its agent knows of its end"}
        state = worker.state
        activity = str(worker.activity or "")
        return {
            "alive": state not in "XZ",
            "pid": worker.pid,
            "state": state,
            "activity": activity,
        }

    def probe(self, command: do.Probe) -> ev.Verdict:
        """Ask the agent of a member whether it lives."""
        member = command.member
        timeout_s = _PATIENT_S if command.patient else _IMPATIENT_S
        token, tls = self._settings.token, self._settings.tls is not None
        found = probe(member.address, member.agent, member.id, token, timeout_s, tls=tls)
        return ev.Verdict(
            command.generation, member.id, command.by, found.dead, found.reason, found.silent
        )
