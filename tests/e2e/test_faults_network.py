"""Hosts that cannot reach each other: partitions of every kind, loss, slow links (M6, M7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import Host, Network, network
from tests.e2e.job import Agent, Jobs
from tests.e2e.test_same_bits import ended_well
from tests.etcd import EtcdServer, etcd_server

pytestmark = pytest.mark.e2e

Undisturbed = Callable[..., dict[str, Any]]


@pytest.fixture
def net() -> Iterator[Network]:
    """A network with one host."""
    with network() as net:
        yield net


@pytest.fixture
def store(net: Network) -> Iterator[EtcdServer]:
    """An etcd that all hosts reach."""
    with etcd_server(host=net.address) as server:
        yield server


class Spread:
    """A job with one agent on each host, which holds at step 20 and again at step 40."""

    def __init__(self, jobs: Jobs, net: Network, store: EtcdServer, folder: Path, *args: str):
        self.jobs, self.store, self.folder = jobs, store, folder
        holds = [f"--hold={step}:{folder}/from{step}" for step in (10, 20, 40)]
        self.args = (*holds, *args)
        self.net = net

    def on(self, hosts: list[Host], workers: int = 1) -> list[Agent]:
        """Return an agent on each host, in order of tenure, all in one group."""
        agents = []
        for host in hosts:
            flags = (f"--nproc-per-node={workers}", f"--bind={host.address}")
            place = {"store": self.store.far_endpoint, "within": host.within}
            agents.append(self.jobs.start(*flags, args=self.args, **place))
            if host is hosts[0]:
                agents[0].wait_for_step(9)
            else:
                self.wait_for_keys(len(agents) * workers)
        self.go_on(10)
        agents[0].group(len(hosts) * workers, here=workers)
        agents[0].wait_for_step(19)
        return agents

    def wait_for_keys(self, count: int) -> None:
        """Return when so many members' keys are in the store."""
        self.jobs.agents[-1].wait_until(lambda: self._keys() == count, f"{count} members' keys")

    def _keys(self) -> int:
        span = {"key": b"/elastic/j/members/", "range_end": b"/elastic/j/members0"}
        return self.store.call("KV", "Range", count_only=True, **span).count

    def go_on(self, step: int) -> None:
        """Let it train from the step where it holds."""
        (self.folder / f"from{step}").touch()


def test_a_host_vanishes_without_a_word(
    net: Network, store: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M6, M7: all its members go in one change; back again, they return and the bits are equal."""
    job = Spread(jobs, net, store, tmp_path)
    stay, leave = net.hosts[0], net.host()
    agents = job.on([stay, leave], workers=2)
    leave.vanish()
    job.go_on(20)
    agents[0].group(2, after=agents[0].all("sync")[-1]["generation"])
    agents[0].wait_for_step(39)
    leave.heal()
    job.wait_for_keys(4)
    job.go_on(40)
    for agent in agents:
        ended_well(agent, undisturbed())
    assert agents[0].report["world_sizes"] == [2, 4, 2, 4]


@pytest.mark.parametrize(
    "both_ways", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["two-way", "one-way"]
)
def test_two_hosts_cannot_reach_each_other(
    net: Network,
    store: EtcdServer,
    jobs: Jobs,
    undisturbed: Undisturbed,
    tmp_path: Path,
    both_ways: bool,
) -> None:
    """M7: one of the two goes, the less tenured; it waits for two-way hellos, and nothing flaps."""
    job = Spread(jobs, net, store, tmp_path)
    hosts = [net.hosts[0], net.host(), net.host()]
    agents = job.on(hosts)
    net.cut(hosts[1], hosts[2], both_ways)
    job.go_on(20)
    agents[0].group(2, here=1, after=agents[0].all("sync")[-1]["generation"])
    agents[2].wait_for_output("waiting until all of the group can be reached")
    agents[0].wait_for_step(39)
    assert len(agents[0].all("rendezvous")) == len(set(_generations(agents[0])))
    apart = _generations(agents[0])[-1]
    for host in hosts:
        host.heal()
    job.wait_for_keys(3)
    assert _generations(agents[0])[-1] == apart, "nothing flaps"
    job.go_on(40)
    for agent in agents:
        ended_well(agent, undisturbed())
    assert agents[0].report["world_sizes"][-2:] == [2, 3]


@pytest.mark.soak
def test_the_eldest_is_cut_off_from_two(
    net: Network, store: EtcdServer, jobs: Jobs, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """M7: it would have to remove two, they only one: so it goes, though all reach the store."""
    job = Spread(jobs, net, store, tmp_path)
    hosts = [net.hosts[0], net.host(), net.host()]
    agents = job.on(hosts)
    for host in hosts[1:]:
        net.cut(hosts[0], host)
    job.go_on(20)
    agents[1].group(2, here=1, after=agents[0].all("sync")[-1]["generation"])
    agents[1].wait_for_step(39)
    for host in hosts:
        host.heal()
    job.wait_for_keys(3)
    job.go_on(40)
    for agent in agents:
        ended_well(agent, undisturbed())
    assert agents[1].report["world_sizes"][-2:] == [2, 3]


@pytest.mark.parametrize("fault", ["loss", "slow"])
@pytest.mark.soak
def test_a_bad_link_only_slows_down(
    net: Network,
    store: EtcdServer,
    jobs: Jobs,
    undisturbed: Undisturbed,
    tmp_path: Path,
    fault: str,
) -> None:
    """M6: one packet in twenty is lost, or the link takes 1 Mbit/s: slow is not dead."""
    job = Spread(jobs, net, store, tmp_path)
    hosts = [net.hosts[0], net.host()]
    agents = job.on(hosts)
    if fault == "loss":
        hosts[1].drop("numgen random mod 20 < 1")
    else:
        hosts[1].slow_down("1mbit")
    for step in (20, 40):
        job.go_on(step)
    for agent in agents:
        ended_well(agent, undisturbed())
    assert agents[0].report["world_sizes"] == [1, 2]


def _generations(agent: Agent) -> list[int]:
    return [event["generation"] for event in agent.all("rendezvous")]
