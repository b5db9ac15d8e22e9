"""The health port over real sockets: what it answers, and to whom it does not listen for long."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from contextlib import closing, suppress

import pytest

from elastic.agent import health
from elastic.agent.board import Board
from elastic.agent.health import HealthServer
from elastic.control import Committed
from elastic.errors import ConfigError


@pytest.fixture
def board():
    return Board("job7", "node-3")


@pytest.fixture
def server(board):
    with closing(HealthServer("127.0.0.1", 0, board)) as server:
        yield server


def get(server, path, method="GET"):
    request = urllib.request.Request(f"http://{server.address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_healthy_agent_answers_200_with_how_it_stands(server, board):
    board.committed(Committed(3, 1.0, {"loss": float("nan")}), 0)
    status, body = get(server, "/healthz?verbose")
    told = json.loads(body, parse_constant=pytest.fail)  # NaN is no JSON
    assert status == 200
    assert (told["job"], told["host"], told["state"], told["step"]) == (
        "job7",
        "node-3",
        "starting",
        3,
    )
    assert told["metrics"] == {"loss": "nan"}


def test_a_failed_job_answers_503(server, board):
    board.event("over", 0.0, {"status": "failed", "cause": "a bug"})
    status, body = get(server, "/healthz")
    assert (status, json.loads(body)["cause"]) == (503, "a bug")


def test_metrics_are_text_and_the_rest_is_not_there(server):
    status, body = get(server, "/metrics")
    assert status == 200
    assert b"elastic_up 1.0" in body
    assert get(server, "/")[0] == 404
    assert get(server, "/healthz", "HEAD") == (200, b"")
    assert get(server, "/healthz", "POST")[0] == 501


def test_garbage_and_silence_harm_nobody(server):
    address = server.address.split(":")
    with socket.create_connection((address[0], int(address[1])), 30) as silent:
        garbage = socket.create_connection((address[0], int(address[1])), 30)
        with garbage, suppress(OSError):  # it may have hung up by then
            garbage.sendall(bytes(range(256)) * 400 + b"\r\n\r\n")
            garbage.shutdown(socket.SHUT_WR)
        assert get(server, "/healthz")[0] == 200
        assert silent.fileno() >= 0


def test_more_callers_than_it_serves_are_hung_up_on(board, monkeypatch):
    monkeypatch.setattr(health, "_MAX_CALLERS", 1)
    with closing(HealthServer("127.0.0.1", 0, board)) as server:
        address = ("127.0.0.1", int(server.address.split(":")[1]))
        with socket.create_connection(address, 30), socket.create_connection(address, 30) as more:
            assert more.recv(1) == b""


def test_a_port_that_is_taken_is_said(server, board):
    port = int(server.address.split(":")[1])
    with pytest.raises(ConfigError, match=f"expects a port that is free on 127.0.0.1, got {port}"):
        HealthServer("127.0.0.1", port, board)
