"""How long a host without a word, and a store that was down, hold a job up.

    python benchmarks/outages.py --runs 5

A host is a network namespace whose packets are dropped (needs root, ip and nft). From the drop to
the survivors' next committed step; and from the return of an etcd that was down, while a worker
died, to the survivors' next committed step. Both by the clock of who makes the fault.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("ELASTIC_TEST", str(os.getpid()))

import pytest
from rich.console import Console
from rich.table import Table

from tests.e2e.hosts import network
from tests.e2e.job import Agent, Jobs
from tests.etcd import etcd_server

ENDLESS = ("--epochs=100000",)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--down", type=float, default=10.0, help="seconds that etcd is down")
    asked = options.parse_args()
    table = Table("fault", "runs", "median s", "longest s")
    faults: dict[str, Callable[[], float]] = {
        "host unreachable (lease 3 s)": host_vanishes,
        f"etcd returns after {asked.down:g} s": lambda: store_returns(asked.down),
    }
    for name, measure in faults.items():
        try:
            took = [measure() for _ in range(asked.runs)]
        except pytest.skip.Exception as why:
            table.add_row(name, "0", str(why), "")
            continue
        table.add_row(name, str(len(took)), f"{statistics.median(took):.2f}", f"{max(took):.2f}")
    Console().print(table)


def host_vanishes() -> float:
    """Return the seconds from the first packet dropped to the next step of who stays."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = stack.enter_context(etcd_server(host=net.address))
        jobs = Jobs(Path(folder))
        agents = []
        hosts = [net.hosts[0], net.host()]
        for host in hosts:
            flags = ("--nproc-per-node=1", f"--bind={host.address}")
            place = {"store": store.far_endpoint, "within": host.within}
            agents.append(jobs.start(*flags, args=ENDLESS, **place))
        agents[0].group(2, here=1)
        began = _after(agents[0])
        hosts[1].vanish()
        took = _next_step(agents[0], 1, began) - began
        hosts[1].heal()
        _end(jobs)
    return took


def store_returns(down_s: float) -> float:
    """Return the seconds from the return of etcd to the next step without who died meanwhile."""
    with etcd_server() as store, tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Path(folder))
        flags = ("--nproc-per-node=3", "--max-restarts=0")
        agent = jobs.start(*flags, args=ENDLESS, store=store.endpoint)
        pids = agent.group(3)
        _after(agent)
        store.kill()
        time.sleep(down_s / 2)
        os.kill(pids[1], signal.SIGKILL)
        time.sleep(down_s / 2)
        store.start()
        back = time.time()
        took = _next_step(agent, 2, back) - back
        _end(jobs)
    return took


def _after(agent: Agent) -> float:
    """Return the time when the group has trained for a moment."""
    step = agent.all("step")
    agent.wait_for_step((step[-1]["step"] if step else 0) + 20)
    return time.time()


def _next_step(agent: Agent, size: int, after: float) -> float:
    """Return when a group of this size committed its first step after that time."""
    return agent.wait_for(
        lambda e: e["event"] == "step" and e["world_size"] == size and e["t"] > after,
        f"a step of {size}",
    )["t"]


def _end(jobs: Jobs) -> None:
    for agent in jobs.agents:
        agent.process.kill()
        agent.process.wait()
    jobs.close()


if __name__ == "__main__":
    main()
