"""Hosts for the tests: network namespaces, joined by a bridge, whose links can be cut.

Needs root, `ip` (iproute2) and `nft` (nftables). Only what is named after this process is touched.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

__all__ = ["Host", "Network", "network"]


_numbers = itertools.count(1)
"""No name is used twice: the kernel takes its time to remove a namespace."""


class Host:
    """One namespace with an address of its own."""

    def __init__(self, name: str, address: str):
        self.name, self.address = name, address
        self.within = ("ip", "netns", "exec", name)
        """What makes a command run on this host."""

    def run(self, *command: str) -> None:
        """Run a command there."""
        _run(*self.within, *command)

    def drop(self, rule: str = "") -> None:
        """Let arriving packets vanish without a word: all, or those that match 'ip saddr …'."""
        self.run("nft", f"add rule inet faults arriving iifname != lo {rule} drop")

    def heal(self) -> None:
        """Let everything arrive again."""
        self.run("nft", "flush", "chain", "inet", "faults", "arriving")
        self.run("nft", "flush", "chain", "inet", "faults", "leaving")

    def vanish(self) -> None:
        """Be unreachable, and reach nobody."""
        self.drop()
        self.run("nft", "add rule inet faults leaving oifname != lo drop")

    def slow_down(self, rate: str) -> None:
        """Let its link take so much: '2mbit'."""
        self.run("tc", *f"qdisc add dev eth0 root tbf rate {rate} burst 32kbit latency 1s".split())


class Network:
    """A bridge with an address where the test itself, and its etcd, can be reached."""

    def __init__(self, stack: ExitStack):
        tag = os.getpid()
        self._subnet = f"10.{200 + tag % 50}.{tag // 50 % 250}"
        self._tag, self._stack = f"{tag % 100000:x}n{next(_numbers)}", stack
        self._bridge = f"elb{self._tag}"
        self.address = f"{self._subnet}.1"
        self.hosts: list[Host] = []
        _run(*f"ip link add {self._bridge} type bridge".split())
        stack.callback(_run, *f"ip link del {self._bridge}".split())
        _run(*f"ip addr add {self.address}/24 dev {self._bridge}".split())
        _run(*f"ip link set {self._bridge} up".split())

    def host(self) -> Host:
        """Make a new host, which is the last of `hosts`, and return it."""
        at = len(self.hosts) + 10
        host = Host(f"el{self._tag}h{at}", f"{self._subnet}.{at}")
        outer = f"elv{self._tag}{at}"
        _run("ip", "netns", "add", host.name)
        self._stack.callback(_run, "ip", "netns", "del", host.name)
        _run(*f"ip link add {outer} type veth peer name eth0 netns {host.name}".split())
        _run(*f"ip link set {outer} master {self._bridge} up".split())
        host.run(*f"ip addr add {host.address}/24 dev eth0".split())
        for device in ("lo", "eth0"):
            host.run("ip", "link", "set", device, "up")
        host.run("nft", "add table inet faults")
        for name, hook in (("arriving", "input"), ("leaving", "output")):
            chain = f"{{ type filter hook {hook} priority 0; }}"
            host.run("nft", f"add chain inet faults {name} {chain}")
        self.hosts.append(host)
        return host

    def cut(self, one: Host, other: Host, both_ways: bool = True) -> None:
        """Let nothing of `one` reach the other, and nothing come back if `both_ways`."""
        other.drop(f"ip saddr {one.address}")
        if both_ways:
            one.drop(f"ip saddr {other.address}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network of hosts to be; skips the test, with the reason, where none can be made."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            pytest.skip(f"hosts are network namespaces, and there is no {tool!r} here")
    with ExitStack() as stack:
        try:
            net = Network(stack)
            net.host()  # the first shows whether it works
        except OSError as error:
            pytest.skip(f"no network namespaces can be made here: {error}")
        yield net
