"""The flags and exit codes of `elastic-run status`; real ones are in tests/e2e/test_told.py."""

from __future__ import annotations

import json

import pytest

from elastic.agent import status_command
from elastic.agent.cli import main
from elastic.errors import StoreUnavailable
from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.record import Keys, Record
from elastic.rendezvous.store import Put

ARGS = ["status", "--rdzv-endpoint", "h:1", "--rdzv-id", "job7"]


@pytest.fixture
def store(monkeypatch):
    store = MemoryStore()
    monkeypatch.setattr(store, "close", lambda: None)  # one store for many commands
    monkeypatch.setattr(status_command, "EtcdStore", lambda endpoints, login: store)
    return store


def write(store, status, **more):
    record = Record(3, ("a",), "why", status=status, **more)
    store.txn([], [Put(Keys("job7").record, record.encode())])


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["status"], "required: --rdzv-endpoint"),
        (["status", "--rdzv-endpoint", "h:1"], "required: --rdzv-id"),
        ([*ARGS, "--twice"], "unrecognized arguments: --twice"),
        ([*ARGS, "--rdzv-user", "me"], "--rdzv-user expects --rdzv-password-file"),
        (["status", "--rdzv-endpoint", "http://h", "--rdzv-id", "j"], "expects HOST:PORT"),
    ],
)
def test_wrong_flags_are_a_usage_error(args, complaint, capsys):
    assert main(args) == 2
    assert complaint in capsys.readouterr().err


def test_exit_codes(store, capsys):
    assert main(ARGS) == 4
    assert "the store knows no job 'job7'" in capsys.readouterr().err
    written = {"running": "gone", "done": "done", "failed": "failed"}  # it has no member's key
    for (status, shown), code in zip(written.items(), (1, 0, 1), strict=True):
        write(store, status)
        assert main([*ARGS, "--once"]) == code
        assert f"job job7: {shown}" in capsys.readouterr().out


def test_a_store_that_is_away_is_3(store, monkeypatch, capsys):
    def away(*_, **__):
        raise StoreUnavailable("no endpoint of h:1 answers")

    monkeypatch.setattr(store, "range", away)
    assert main(ARGS) == 3
    assert "no endpoint of h:1 answers" in capsys.readouterr().err


def test_json_is_one_object(store, capsys):
    write(store, "done", result={"steps": 9, "digest": "d"})
    assert main([*ARGS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["result"]["steps"]) == ("done", 9)


def test_the_view_goes_on_while_the_store_is_away(store, monkeypatch):
    monkeypatch.setattr(status_command, "_EVERY_S", 0.0)
    write(store, "running")
    job = status_command.look(store, "job7", "")
    views = status_command._views(store, job, "")
    assert next(views) == (job, "")
    real = store.range
    monkeypatch.setattr(
        store, "range", lambda *a, **k: (_ for _ in ()).throw(StoreUnavailable("x"))
    )
    seen, warning = next(views)
    assert (seen.status, warning) == ("gone", "x")
    monkeypatch.setattr(store, "range", real)
    write(store, "done")
    assert [seen.status for seen, _ in views] == ["done"]
