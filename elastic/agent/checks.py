"""Is what the user asked for possible? Each function returns a value fit for the settings.

All errors are `ConfigError`: one line that says what was expected, what came, and the cure. Nothing
here starts anything or leaves anything behind, but for the folder of `--log-dir`.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from elastic.control import ENV_TOKEN
from elastic.errors import ConfigError

__all__ = [
    "endpoints",
    "health_address",
    "health_door",
    "job_name",
    "log_directory",
    "seconds",
    "this_host",
    "token",
    "usable_cores",
    "wanted_script",
    "whole_number",
    "workers_per_node",
    "writable_file",
]

ETCD_PORT = 2379
_TOKEN_CHARS_LEAST, _TOKEN_CHARS = 16, 4096


def whole_number(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
            raise ConfigError(f"expects a whole number of at least {least}, got {text!r}")
        return int(text)

    return read


def workers_per_node(text: str) -> int | None:
    """Return a number of workers, or None for `auto`."""
    if text == "auto":
        return None
    try:
        return whole_number(1)(text)
    except ConfigError as error:
        raise ConfigError(f"{error}; or give auto, for one on each usable core") from None


def usable_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many cores this process may use: its affinity, and a container's quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return cores


def seconds(least: float, why: str = "") -> Callable[[str], float]:
    """Return a reader of durations of at least `least` seconds; `why` ends the complaint."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:  # nan is neither
            reason = f"; {why}" if why else ""
            raise ConfigError(f"expects at least {least:g} seconds, got {text!r}{reason}")
        return value

    return read


def endpoints(text: str) -> tuple[str, ...]:
    """Return the host:port of each endpoint in a comma-separated list."""
    return tuple(_endpoint(part.strip()) for part in text.split(","))


def _endpoint(text: str) -> str:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text)
    port = int(match[2] or ETCD_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ConfigError(
            f"expects HOST:PORT of etcd, got {text!r}; several are joined by commas, without http://"
        )
    return f"{match[1]}:{port}"


def job_name(text: str) -> str:
    """Return a name that can be part of a key in the store."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text):
        raise ConfigError(
            f"expects a name of 1 to 128 letters, digits, dots, dashes or underscores, got {text!r}"
        )
    return text


def writable_file(text: str) -> Path:
    """Return a path that can be written, without leaving a file there."""
    path = Path(text)
    existed = path.exists()
    try:
        # non-blocking, since a named pipe that nobody reads would hold us here
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666))
        if not existed:
            path.unlink()
    except OSError as error:
        raise ConfigError(
            f"expects a file that can be written, got {text!r}: {error.strerror}; "
            "choose a path in a folder that exists and is yours"
        ) from None
    return path


def log_directory(text: str) -> Path:
    """Return a folder that can be written to; it is made if it is not there."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"expects a folder, got {text!r}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"expects a folder that can be written to, got {text!r}")
    return path


def wanted_script(script: str, *, module: bool) -> str:
    """Return the script, which can be read; of a module only its workers can say."""
    if module:
        return script
    path = Path(script)
    if not path.exists():
        cure = "check the path, or give -m to run a module"
        raise ConfigError(f"expects a script to run, got {script!r}: no such file; {cure}")
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise ConfigError(f"expects a script to run, got the folder {script!r} without __main__.py")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"expects a script to run, got {script!r}, which cannot be read")
    return script


def token(file: str | None, environ: Mapping[str, str], *, standalone: bool) -> str:
    """Return the job's secret, empty if there is none (PROTOCOL P3)."""
    if file is not None:
        return _checked_token(f"--token-file {file}", _read_token(file))
    if ENV_TOKEN in environ:
        return _checked_token(ENV_TOKEN, environ[ENV_TOKEN])
    return secrets.token_hex(32) if standalone else ""


def _read_token(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read(_TOKEN_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"--token-file expects the job's token, got {file!r}: {reason}") from None


def _checked_token(source: str, text: str) -> str:
    # the token itself must not appear in a message
    secret = text.strip()
    cure = "make one with: openssl rand -hex 32"
    if not secret:
        raise ConfigError(f"{source} expects the job's token, got an empty one; {cure}")
    if len(secret) > _TOKEN_CHARS or not secret.isprintable():
        raise ConfigError(
            f"{source} expects one line of at most {_TOKEN_CHARS} characters, got another; {cure}"
        )
    return secret


def this_host(host: str, secret: str) -> str:
    """Return a host that others can reach this one by, and that it is safe to listen on."""
    addresses = _addresses(host)
    if any(address.is_unspecified for address in addresses):
        raise ConfigError(
            f"--bind expects the address that other hosts reach this one by, got {host!r}, "
            "which stands for all; give one, such as 10.0.0.5"
        )
    if not secret and not all(address.is_loopback for address in addresses):
        raise ConfigError(
            f"--bind {host} listens to the network and expects a token, got none; "
            f"give --token-file FILE or set {ENV_TOKEN}"
        )
    if len(secret) < _TOKEN_CHARS_LEAST and not all(each.is_loopback for each in addresses):
        raise ConfigError(
            f"--bind {host} listens to the network and expects a token of at least "
            f"{_TOKEN_CHARS_LEAST} characters, got {len(secret)}: from an HMAC of a shorter one, "
            "such as the store's, it can be guessed; make one with: openssl rand -hex 32"
        )
    _try_listening(host)
    return host


def health_address(text: str) -> tuple[str, int]:
    """Return the host, empty if there is none, and the port of `[HOST:]PORT`."""
    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):)?([0-9]{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise ConfigError(f"expects PORT or HOST:PORT, got {text!r}; 0 is any free port")
    return (match[1] or "").strip("[]"), int(match[2])


def health_door(asked: tuple[str, int], bind: str, secret: str) -> tuple[str, int]:
    """Return where the health port listens: it needs no token, a job on a network does (P3)."""
    host, port = asked[0] or bind, asked[1]
    if not secret and not all(address.is_loopback for address in _addresses(host)):
        raise ConfigError(
            f"--health-port {host}:{port} listens to the network and expects a job with a token, "
            f"got none; give --token-file FILE or set {ENV_TOKEN}, or listen on 127.0.0.1"
        )
    return host, port


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise ConfigError(f"--bind expects a host, got {host!r}: {reason}") from None
    return [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found]


def _try_listening(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, 0), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(
            f"--bind expects an address of this host, got {host!r}: {reason}"
        ) from None
