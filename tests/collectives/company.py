"""Members of one job in one process, over real loopback connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from elastic.collectives.group import Group
from elastic.collectives.settings import GroupSettings
from elastic.world import Member

TOKEN = "a secret of the job"


def in_background(act: Callable[..., Any], *args: Any) -> Future:
    """The future of a call that waits in a daemon thread: a hang is one failed test."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(act(*args))
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def free_addresses(count: int) -> list[str]:
    """Addresses on which nothing listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return [f"127.0.0.1:{port}" for port in ports]


class Company:
    """Members of one job in this process, and what they suspect."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.suspicions: list[tuple[str, int, str]] = []
        """(who, generation, whom)"""

    def add(self, *ids: str, settings: GroupSettings | None = None, **options: Any) -> list[Group]:
        """Groups that listen and have entered nothing yet."""
        made = []
        for id in ids:

            def suspect(generation: int, whom: str, reason: str, id: str = id) -> None:
                self.suspicions.append((id, generation, whom))

            known = {"job": "job", "token": TOKEN, **options}
            made.append(Group(me=id, settings=settings, on_suspect=suspect, **known))
        self.groups += made
        return made

    def form(self, *ids: str, settings: GroupSettings | None = None) -> list[Group]:
        """Groups that have entered generation 1 together."""
        groups = self.add(*ids, settings=settings)
        self.enter(1, ids, groups)
        return groups

    def enter(self, generation: int, ids: tuple[str, ...], groups: list[Group]) -> None:
        members = [Member(id, group.address) for id, group in zip(ids, groups, strict=True)]
        for rank, group in enumerate(groups):
            group.enter(generation, members, rank)

    def together(self, groups: list[Group], act: Callable[[Group], Any]) -> list[Any]:
        """What `act(group)` returns in each group, all at the same time."""
        futures = [in_background(act, group) for group in groups]
        return [future.result(20) for future in futures]
