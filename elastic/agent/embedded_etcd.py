"""The etcd of `--standalone`: one that lives and dies with this agent (PROTOCOL P2).

The agent holds one end of a pipe, a guardian process the other, and etcd with its directory
belongs to the guardian: elastic/agent/guardian.py.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import Any

from elastic.errors import ConfigError, StoreUnavailable

__all__ = ["EmbeddedEtcd"]

STOP_TIMEOUT_S = 5.0


class EmbeddedEtcd:
    """An etcd on a loopback port, `port` or a free one, that ends with this process."""

    def __init__(self, port: int = 0):
        self._port = port
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 10.0) -> str:
        """Return the endpoint, host:port, of an etcd that serves.

        Raises:
            ConfigError: there is no etcd binary, or the port asked for is in use.
            StoreUnavailable: etcd does not serve in time.
        """
        # A session of its own: Ctrl-C at the terminal is for the agent alone. The pipe closes
        # with this process, since Python lets no child inherit the end that it keeps.
        command = [sys.executable, "-m", "elastic.agent.guardian", str(self._port)]
        self._guardian = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            return _endpoint(_first_line(self._guardian, timeout_s))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End etcd and remove its directory; nothing happens if it is not running."""
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        with guardian:  # closes the pipe, which ends the guardian, and waits
            try:
                guardian.communicate(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                guardian.kill()  # takes etcd with it


def _first_line(guardian: subprocess.Popen[bytes], timeout_s: float) -> dict[str, Any]:
    assert guardian.stdout is not None
    ready, _, _ = select.select([guardian.stdout], [], [], timeout_s)
    if not ready:
        return {"error": f"its guardian said nothing in {timeout_s:g} s"}
    line = guardian.stdout.readline()
    return dict(json.loads(line)) if line else {"error": "its guardian was ended"}


def _endpoint(said: dict[str, Any]) -> str:
    if "endpoint" in said:
        return str(said["endpoint"])
    if "config_error" in said:
        raise ConfigError(said["config_error"])
    raise StoreUnavailable(f"the embedded etcd does not serve: {said['error']}")
