"""The health port: `/healthz` for probes, `/metrics` for Prometheus. It only reads, and tells no
secret; who may reach it is decided by the address that it is bound to (PROTOCOL P3).
"""

from __future__ import annotations

import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from elastic.agent.board import Board
from elastic.clock import monotonic
from elastic.errors import ConfigError
from elastic.telemetry.events import plain
from elastic.wire import to_json

__all__ = ["HealthServer"]

_REQUEST_TIMEOUT_S = 5.0
_MAX_CALLERS = 16
"""More at once are hung up on: they can ask again."""


class HealthServer:
    """Answers about `board` on (host, port), in threads of its own, until it is closed.

    Raises:
        ConfigError: the port cannot be listened on.
    """

    def __init__(self, host: str, port: int, board: Board):
        try:
            self._server = _Server((host, port), board)
        except OSError as error:
            raise ConfigError(
                f"--health-port expects a port that is free on {host}, got {port}: "
                f"{error.strerror}; give another, or 0 for any"
            ) from None
        port = self._server.server_address[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, name="elastic-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Bounded: a caller who is slow or greedy costs the agent a thread for a few seconds."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], board: Board):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.board = board
        self._callers = threading.BoundedSemaphore(_MAX_CALLERS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Listen; HTTPServer would look its own name up, and wait for a resolver that is down."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, if there is one left."""
        if self._callers.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._callers.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    """One request a connection (HTTP/1.0)."""

    server: _Server
    timeout = _REQUEST_TIMEOUT_S
    server_version = "elastic"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer `/healthz` or `/metrics`."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._healthz()
        elif path == "/metrics":
            self._metrics()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"ask for /healthz or /metrics\n")

    do_HEAD = do_GET

    def _healthz(self) -> None:
        snapshot = self.server.board.snapshot(monotonic())
        status = HTTPStatus.OK if snapshot.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps(plain(to_json(snapshot)), indent=1).encode() + b"\n"
        self._answer(status, "application/json", body)

    def _metrics(self) -> None:
        from elastic.agent.exposition import CONTENT_TYPE, exposition  # only for who scrapes

        self._answer(HTTPStatus.OK, CONTENT_TYPE, exposition(self.server.board))

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news either."""
