"""Where a member listens, and how others reach it. No gRPC."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from elastic.errors import ConfigError

__all__ = ["bracket", "reachable", "split_bind"]


def split_bind(bind: str, secret: bool) -> tuple[str, int]:
    """Return host and port (0: any) of 'host' or 'host:port'.

    Raises:
        ConfigError: it is no loopback address, and there is no `secret` (PROTOCOL P3).
    """
    host, colon, port = bind.rpartition(":")
    if not colon or (bind.count(":") > 1 and not bind.startswith("[")):
        host, port = bind, "0"
    host = host.strip("[]")
    if not secret and not _is_loopback(host):
        raise ConfigError(
            f"collectives listen on {host} only with a job token, and there is none; "
            "give the same ELASTIC_TOKEN to all, or bind to 127.0.0.1"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def reachable(host: str) -> str:
    """Return how others reach what listens on `host`."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def bracket(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
