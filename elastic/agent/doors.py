"""What flags say of TLS and of etcd's login, made into settings. All errors are `ConfigError`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elastic.errors import ConfigError
from elastic.tls import EtcdLogin, TLSFiles

__all__ = ["etcd_login", "workers_tls"]

_PASSWORD_CHARS = 4096


def workers_tls(asked: dict[str, Any], bind: str) -> TLSFiles | None:
    """Take the flags of the workers' TLS out of `asked`; return what they say, once checked."""
    given = _taken(asked, "tls")
    if not any(given.values()):
        return None
    for name, path in given.items():
        if path is None:
            raise ConfigError(
                "TLS between workers expects --tls-ca, --tls-cert and --tls-key, "
                f"got no --tls-{name}"
            )
    files = TLSFiles(**_absolute(given))
    files.check(bind)
    return files


def etcd_login(asked: dict[str, Any]) -> EtcdLogin:
    """Take the flags about etcd's door out of `asked`; return how to pass it, once checked."""
    user, file = asked.pop("rdzv_user") or None, asked.pop("rdzv_password_file")
    files = _etcd_tls(_taken(asked, "rdzv"))
    if not asked["endpoints"] and (files or user):
        raise ConfigError("--standalone brings its own etcd, got flags for another's TLS or user")
    if (user is None) != (file is None):
        raise ConfigError("--rdzv-user expects --rdzv-password-file, and the other way round")
    if user is not None and files is None:
        raise ConfigError(
            "--rdzv-user expects --rdzv-ca, got none; a password does not travel in the clear"
        )
    return EtcdLogin(files, user or "", _password(file) if file is not None else "")


def _etcd_tls(given: dict[str, str | None]) -> TLSFiles | None:
    if not any(given.values()):
        return None
    if given["ca"] is None:
        raise ConfigError("TLS to etcd expects --rdzv-ca, got none; give the CA of etcd's")
    if (given["cert"] is None) != (given["key"] is None):
        raise ConfigError("TLS to etcd expects --rdzv-cert and --rdzv-key together, got one")
    files = TLSFiles(**_absolute(given), flags="--rdzv")
    files.check()
    return files


def _taken(asked: dict[str, Any], flags: str) -> dict[str, str | None]:
    return {name: asked.pop(f"{flags}_{name}") for name in ("ca", "cert", "key")}


def _absolute(given: dict[str, str | None]) -> dict[str, str]:
    # a worker's script may change the directory before it trains
    return {name: str(Path(path).absolute()) for name, path in given.items() if path}


def _password(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read(_PASSWORD_CHARS + 1).rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            f"--rdzv-password-file expects a password, got {file!r}: {reason}"
        ) from None
    if not text or len(text) > _PASSWORD_CHARS:
        raise ConfigError(f"--rdzv-password-file expects a password, got none in {file!r}")
    return text
