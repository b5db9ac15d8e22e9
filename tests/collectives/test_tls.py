"""Mutual TLS between members: who has another CA's certificate is refused by name. PROTOCOL P3."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from elastic.agent.ping import probe
from elastic.collectives.group import Group
from elastic.errors import Aborted, ConfigError
from elastic.tls import TLSFiles
from elastic.world import Member
from tests.certificates import Authority
from tests.collectives.company import free_addresses, in_background


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """The job's CA, and another one."""
    folder = tmp_path_factory.mktemp("ca")
    return Authority(folder, "ours"), Authority(folder, "theirs")


def files(trusted: Authority, signer: Authority, name: str, host: str = "IP:127.0.0.1") -> TLSFiles:
    """Who one is and whom one trusts."""
    return TLSFiles(str(trusted.ca), *map(str, signer.issue(name, host)))


@pytest.fixture
def a(authorities: tuple[Authority, Authority]) -> Iterator[Group]:
    """A member with the job's certificates."""
    ours, _ = authorities
    with Group("job", "token", me="a", tls=files(ours, ours, "a")) as group:
        yield group


def meet(a: Group, b: Group) -> None:
    """Let both enter a group of two."""
    members = [Member("a", a.address), Member("b", b.address)]
    a.enter(1, members, 0)
    b.enter(1, members, 1)


def test_members_with_the_job_s_certificates(a, authorities):
    ours, _ = authorities
    with Group("job", "token", me="b", tls=files(ours, ours, "b")) as b:
        meet(a, b)
        waiting = in_background(lambda: a.allreduce(np.ones(300_000)))
        assert b.allreduce(np.ones(300_000)).sum() == 600_000
        assert waiting.result(60).sum() == 600_000


CASES = {
    "another CA's certificate": lambda ours, theirs: files(ours, theirs, "b"),
    "another CA altogether": lambda ours, theirs: files(theirs, theirs, "b"),
    "another host's certificate": lambda ours, theirs: files(ours, ours, "far", "IP:10.9.9.9"),
    "no TLS": lambda ours, theirs: None,
}


@pytest.mark.parametrize("case", CASES)
def test_who_has_none_of_them_is_refused_by_name(a, authorities, case):
    """P3: the token alone does not help; the member and the reason are named."""
    with Group("job", "token", me="b", tls=CASES[case](*authorities)) as b:
        meet(a, b)
        with pytest.raises(Aborted, match="member b: unavailable: ") as caught:
            a.barrier()
        assert caught.value.peer == "b"
        if case != "no TLS":
            assert re.search("(?i)handshake failed|hostname verification", str(caught.value))


def test_a_listener_with_tls_is_alive_though_its_agent_is_silent(a):
    """M6: it speaks TLS, so that is what it is asked."""
    (nobody,) = free_addresses(1)
    verdict = probe(a.address, nobody, "a", "token", timeout_s=5.0, tls=True)
    assert not verdict.dead
    assert "the worker itself answers" in verdict.reason


def test_files_that_cannot_be_read(authorities, tmp_path):
    with pytest.raises(ConfigError, match="--tls-ca expects certificates of a CA"):
        Group("job", "token", tls=TLSFiles(str(tmp_path / "no"), "x", "y"))
