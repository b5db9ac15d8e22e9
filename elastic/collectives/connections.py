"""gRPC's own matters: listeners, channels, their options, and the threads that answer calls."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import Executor, Future
from typing import Any

import grpc
import grpc.experimental

from elastic.collectives.admission import MAX_HELLO_BYTES
from elastic.collectives.binding import bracket
from elastic.collectives.settings import GroupSettings

__all__ = ["connect", "listen"]

FRAME_MARGIN_BYTES = 1 << 20
"""Headers of large messages: tag, and 8 bytes a blob."""
IDLE_S = 10.0
"""A connection without a stream is nobody's; members' always have one."""
STREAMS_A_CONNECTION = 4
"""A member opens one."""

PEM = tuple[bytes, bytes | None, bytes | None]
"""Of `TLSFiles.pem`: the CA, this process's certificate, and its key."""


def listen(
    service: grpc.GenericRpcHandler, host: str, port: int, settings: GroupSettings, pem: PEM | None
) -> tuple[grpc.Server, int]:
    """Return a listener that has begun, and its port; with `pem`, a caller needs a certificate.

    Raises:
        RuntimeError: nobody can listen there.
    """
    options = _options(settings) + _listener_options(settings)
    server = grpc.server(_DaemonThreads(), [service], options=options)
    address = f"{bracket(host)}:{port}"
    if pem is None:
        port = server.add_insecure_port(address)
    else:
        ca, cert, key = pem
        asks = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        port = server.add_secure_port(address, asks)
    server.start()
    return server, port


def connect(address: str, settings: GroupSettings, pem: PEM | None) -> grpc.Channel:
    """Return a connection to a member, which begins when it is first used."""
    options = _options(settings) + _reader_options(settings)
    if pem is None:
        return grpc.insecure_channel(address, options)
    ca, cert, key = pem
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), options)


class _DaemonThreads(Executor):
    """A thread for each call. ThreadPoolExecutor's threads would keep a process from ending."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future:
        """Run a call in a new thread."""
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is the future's to raise
                future.set_exception(error)

        threading.Thread(target=run, name="elastic-send", daemon=True).start()
        return future


def _options(settings: GroupSettings) -> list[tuple[str, Any]]:
    keepalive_ms = int(settings.keepalive_s * 1000)
    return [
        ("grpc.http2.max_frame_size", 16777215),  # measured: two to three times the bandwidth
        ("grpc.http2.bdp_probe", 0),  # a stream is at full speed at once, also after a recovery
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def _listener_options(settings: GroupSettings) -> list[tuple[str, Any]]:
    """A listener takes in hellos, and no more of a stranger than it must (PROTOCOL P4)."""
    keepalive_ms = int(settings.keepalive_s * 1000)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (1 << 20) if files == resource.RLIM_INFINITY else files // 2
    return [
        ("grpc.max_send_message_length", settings.chunk_bytes + FRAME_MARGIN_BYTES),
        ("grpc.max_receive_message_length", MAX_HELLO_BYTES),
        ("grpc.max_metadata_size", MAX_HELLO_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_HELLO_BYTES),
        ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION),
        ("grpc.max_allowed_incoming_connections", most),  # the rest is for the user's files
        ("grpc.server_handshake_timeout_ms", int(settings.connect_timeout_s * 1000)),
        ("grpc.max_connection_idle_ms", int(IDLE_S * 1000)),
        ("grpc.so_reuseport", 0),  # two members must never share a port
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 2),
    ]


def _reader_options(settings: GroupSettings) -> list[tuple[str, Any]]:
    connect_ms = int(settings.connect_timeout_s * 1000)
    return [
        ("grpc.max_send_message_length", MAX_HELLO_BYTES),
        ("grpc.max_receive_message_length", settings.chunk_bytes + FRAME_MARGIN_BYTES),
        ("grpc.http2.lookahead_bytes", 4 * settings.chunk_bytes),
        ("grpc.use_local_subchannel_pool", 1),  # no back-off inherited from an earlier reader
        ("grpc.initial_reconnect_backoff_ms", 50),
        # an attempt may take this: our timer ends first
        ("grpc.min_reconnect_backoff_ms", 2 * connect_ms),
        ("grpc.max_reconnect_backoff_ms", 500),
        (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
    ]
