"""The command line: `elastic-run [flags] script args…` `elastic-run audit FILE`,
`elastic-run status …`.

Flags mean what they mean to torchrun where it has them, in either spelling (`--nproc-per-node`,
`--nproc_per_node`). Whatever is wrong with them is said in one line, before anything is started.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from elastic import __version__
from elastic.agent import chaos, checks, doors
from elastic.agent.settings import AgentSettings
from elastic.errors import AuthError, ConfigError, StoreUnavailable

__all__ = ["EXIT_DONE", "EXIT_FAILED", "EXIT_STORE", "EXIT_USAGE", "main", "parse", "typed"]

EXIT_DONE = 0
EXIT_FAILED = 1
"""The training failed."""
EXIT_USAGE = 2
EXIT_STORE = 3
"""The store, or the rendezvous in it, was not reached in time."""
_EXIT_INTERRUPTED = 130

_USAGE = """elastic-run --standalone [flags] script [args...]
       elastic-run --rdzv-endpoint HOST:PORT[,...] --rdzv-id JOB [flags] script [args...]
       elastic-run audit FILE
       elastic-run status --rdzv-endpoint HOST:PORT[,...] --rdzv-id JOB"""
_EPILOG = """exit codes: 0 done; 1 the training failed; 2 usage; 3 the store or the rendezvous was
not reached in time; 128 + N ended by signal N."""

_TORCHRUN_ONLY = {
    "--nnodes": "hosts come and go; --min-workers and --max-workers bound the job",
    "--node-rank": "ranks are assigned by the rendezvous; leave it out",
    "--rdzv-backend": "the rendezvous is always etcd; leave it out",
    "--rdzv-conf": "use --lease-ttl, --rdzv-timeout, and --rdzv-ca, -cert, -key, -user for etcd's",
    "--master-addr": "use --rdzv-endpoint",
    "--master-port": "use --rdzv-endpoint",
    "--monitor-interval": "exits are noticed at once; leave it out",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line `argv` (default: that of this process)."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = {"audit": _audit, "status": _status}.get(args[0]) if args else None
        return command(args[1:]) if command else _run(args)
    except ConfigError as error:
        return _complain(error, EXIT_USAGE)
    except StoreUnavailable as error:
        return _complain(error, EXIT_STORE)
    except AuthError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:  # before the agent listens for signals
        return _EXIT_INTERRUPTED
    except SystemExit as error:  # --help and --version
        return int(error.code or 0)


def _complain(error: Exception, code: int) -> int:
    print(f"elastic-run: {error}", file=sys.stderr)
    return code


def _run(args: list[str]) -> int:
    settings = parse(args)
    from elastic.agent.agent import run  # a usage error needs no etcd client

    return run(settings)


def _status(args: list[str]) -> int:
    from elastic.agent.status_command import status  # a run needs none of it

    return status(args)


_AUDIT_USAGE = "usage: elastic-run audit FILE"


def _audit(args: list[str]) -> int:
    if len(args) != 1:
        got = repr(" ".join(args)) if args else "none"
        raise ConfigError(f"audit expects one file that --audit wrote, got {got}; {_AUDIT_USAGE}")
    if not Path(args[0]).is_file():
        got = f"{args[0]!r}: no such file"
        raise ConfigError(f"audit expects a file that --audit wrote, got {got}; {_AUDIT_USAGE}")
    from elastic.audit import verify

    report = verify(Path(args[0]))
    print(report)
    return EXIT_DONE if report.verdict == "ok" else EXIT_FAILED


def parse(args: Sequence[str]) -> AgentSettings:
    """Return the settings that the flags `args` ask for.

    Raises:
        ConfigError: they cannot be; the message says what is wrong and what to do.
    """
    parser = _parser()
    flags, unknown = parser.parse_known_args(args)
    if unknown:
        parser.refuse(unknown[0])
    _check_store(flags)
    _check_numbers(flags)
    asked = vars(flags)
    standalone, token_file = asked.pop("standalone"), asked.pop("token_file")
    secret = checks.token(token_file, os.environ, standalone=standalone)
    asked["script"] = checks.wanted_script(flags.script, module=flags.module)
    asked["script_args"] = tuple(flags.script_args)
    asked["bind"] = checks.this_host(flags.bind, secret)
    asked["tls"] = doors.workers_tls(asked, flags.bind)
    asked["etcd"] = doors.etcd_login(asked)
    if flags.health_address is not None:
        asked["health_address"] = checks.health_door(flags.health_address, flags.bind, secret)
    return AgentSettings(**asked, token=secret)


def _check_store(flags: argparse.Namespace) -> None:
    if flags.standalone and flags.endpoints:
        raise ConfigError(
            "expects --standalone or --rdzv-endpoint, got both; leave one out: "
            "--standalone brings its own etcd"
        )
    if not flags.standalone and not flags.endpoints:
        raise ConfigError(
            "expects --standalone or --rdzv-endpoint, got neither; "
            "--standalone is for one host, --rdzv-endpoint HOST:PORT for several"
        )
    if flags.endpoints and flags.job is None:
        raise ConfigError(
            "--rdzv-endpoint expects --rdzv-id, got none; "
            "give the name that all agents of this job share"
        )
    flags.job = flags.job or AgentSettings.job


def _check_numbers(flags: argparse.Namespace) -> None:
    if flags.nproc is None:
        flags.nproc = max(1, checks.usable_cores() // flags.threads)
    if flags.max_workers is not None and flags.min_workers > flags.max_workers:
        raise ConfigError(
            f"--min-workers expects at most --max-workers, got {flags.min_workers} above "
            f"{flags.max_workers}; lower the one or raise the other"
        )
    if flags.standalone and flags.min_workers > flags.nproc:
        raise ConfigError(
            f"--min-workers {flags.min_workers} with --standalone expects as many workers here, "
            f"got --nproc-per-node {flags.nproc}; no other host can join"
        )


@dataclass(frozen=True)
class _Flag:
    """One flag: the setting that it fills, how its value is read (None: it has none), its help."""

    name: str
    field: str
    read: Callable[[str], Any] | None
    metavar: str
    help: str

    def add_to(self, group: argparse._ArgumentGroup) -> None:
        """Make the group know this flag, in both of torchrun's spellings."""
        names = dict.fromkeys([self.name, "--" + self.name[2:].replace("-", "_")])
        how: dict[str, Any] = {"dest": self.field, "help": self.help}
        if self.read is None:
            group.add_argument(*names, action="store_true", **how)
            return
        how["default"] = getattr(AgentSettings, self.field, None)
        group.add_argument(*names, type=typed(self.read), metavar=self.metavar, **how)


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader whose complaints argparse puts the flag's name before."""

    def typed(text: str) -> Any:
        try:
            return read(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed


# fmt: off  (a table)
_STORE = (
    _Flag(
        "--standalone",
        "standalone",
        None,
        "",
        "one host: start an etcd of our own, with a token of its own",
    ),
    _Flag(
        "--rdzv-endpoint",
        "endpoints",
        checks.endpoints,
        "HOST:PORT[,...]",
        "etcd (v3) that the agents of the job meet at",
    ),
    _Flag("--rdzv-id", "job", checks.job_name, "JOB", "the name that the agents of the job share"),
    _Flag(
        "--rdzv-timeout",
        "rdzv_timeout_s",
        checks.seconds(0.1),
        "SECONDS",
        "how long to wait for the store to be reachable (default: %(default)g)",
    ),
    _Flag(
        "--lease-ttl",
        "lease_ttl_s",
        checks.seconds(2, "etcd grants no shorter lease"),
        "SECONDS",
        "a host that is silent for so long is suspected; etcd grants no less than 2 s "
        "(default: %(default)g)",
    ),
    _Flag(
        "--token-file",
        "token_file",
        str,
        "FILE",
        "the secret that the job's workers share; else the environment's ELASTIC_TOKEN",
    ),
    _Flag(
        "--bind",
        "bind",
        str,
        "HOST",
        "this host's address, where its workers listen (default: %(default)s)",
    ),
    _Flag("--tls-ca", "tls_ca", str, "FILE", "mutual TLS between workers: the CA of the job"),
    _Flag("--tls-cert", "tls_cert", str, "FILE", "this host's certificate, for what --bind names"),
    _Flag("--tls-key", "tls_key", str, "FILE", "its private key"),
    _Flag("--rdzv-ca", "rdzv_ca", str, "FILE", "TLS to etcd: the CA of etcd's certificates"),
    _Flag("--rdzv-cert", "rdzv_cert", str, "FILE", "the certificate that etcd asks for"),
    _Flag("--rdzv-key", "rdzv_key", str, "FILE", "its private key"),
    _Flag("--rdzv-user", "rdzv_user", str, "NAME", "etcd's user, where it asks for one"),
    _Flag("--rdzv-password-file", "rdzv_password_file", str, "FILE", "that user's password"),
    _Flag(
        "--fresh",
        "fresh",
        None,
        "",
        "start anew, though the job is done or has checkpoints",
    ),
)
_WORKERS = (
    _Flag(
        "--nproc-per-node",
        "nproc",
        checks.workers_per_node,
        "N|auto",
        "workers of this host; auto: usable cores / threads per worker (default: %(default)s)",
    ),
    _Flag(
        "--min-workers",
        "min_workers",
        checks.whole_number(1),
        "N",
        "with fewer in the whole job all wait (default: %(default)s)",
    ),
    _Flag(
        "--max-workers",
        "max_workers",
        checks.whole_number(1),
        "N",
        "any more in the whole job wait as spares (default: no limit)",
    ),
    _Flag(
        "--max-restarts",
        "max_restarts",
        checks.whole_number(0),
        "N",
        "over all workers of this host (default: %(default)s)",
    ),
    _Flag(
        "--threads-per-worker",
        "threads",
        checks.whole_number(1),
        "N",
        "BLAS threads; part of the job's identity: another number gives other bits "
        "(default: %(default)s)",
    ),
    _Flag(
        "--allow-mixed",
        "allow_mixed",
        None,
        "",
        "workers may differ in processor, versions and threads: equal bits are no longer promised; "
        "or the environment's ELASTIC_ALLOW_MIXED=1",
    ),
    _Flag(
        "--grace",
        "grace_s",
        checks.seconds(0),
        "SECONDS",
        "from SIGTERM, after which workers leave between steps, to SIGKILL (default: %(default)g)",
    ),
    _Flag(
        "--step-timeout",
        "step_timeout_s",
        checks.seconds(0.1),
        "SECONDS",
        "a worker that is in user code for so long hangs, and is replaced; waiting for others does "
        "not count (default: ten times the slowest so far, but at least 30 s, in hooks 600 s)",
    ),
)
_RECORDS = (
    _Flag("--no-live", "no_live", None, "", "plain lines, though stdout is a terminal"),
    _Flag("--log-dir", "log_dir", checks.log_directory, "DIR", "a file for each worker's output"),
    _Flag("--events", "events", checks.writable_file, "FILE", "what happened, as JSON lines"),
    _Flag("--audit", "audit", checks.writable_file, "FILE", "which samples each step trained on"),
    _Flag("--report", "report", checks.writable_file, "FILE", "steps, digests, recoveries: JSON"),
    _Flag(
        "--health-port",
        "health_address",
        checks.health_address,
        "[HOST:]PORT",
        "answer /healthz and /metrics (Prometheus) there; HOST defaults to that of --bind",
    ),
)
_FAULTS = (
    _Flag(
        "--chaos",
        "chaos",
        chaos.read,
        chaos.FORM,
        "for tests: make faults on the workers of this agent, each in this share of the steps; the "
        "same seed plans the same faults",
    ),
)
# fmt: on
_FLAGS = {
    "the job and its store": _STORE,
    "workers": _WORKERS,
    "records": _RECORDS,
    "faults": _FAULTS,
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line, with a cure."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):
            message = "expects a script to run, got none; put it after the flags"
        # "argument --log-dir/--log_dir: expected …" says the name twice
        raise ConfigError(re.sub(r"^argument ([^/:]+)[^:]*: ", r"\1 ", message))

    def refuse(self, flag: str) -> NoReturn:
        name = flag.partition("=")[0].replace("_", "-")
        known = [option for action in self._actions for option in action.option_strings]
        near = [option for option in known if option.startswith(name)]
        near += difflib.get_close_matches(name, known, 1)
        cure = _TORCHRUN_ONLY.get(name) or (
            f"did you mean {near[0]}?" if near else "elastic-run --help lists them all"
        )
        raise ConfigError(f"{flag.partition('=')[0]} is not a flag of elastic-run; {cure}")


class _Help(argparse.HelpFormatter):
    """Help that shows each flag in one spelling."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(name for name in action.option_strings if "_" not in name)
        if not names:
            return super()._format_action_invocation(action)
        return names if action.nargs == 0 else f"{names} {self._format_args(action, '')}"


def _parser() -> _Parser:
    parser = _Parser(
        prog="elastic-run",
        usage=_USAGE,
        description="Train on workers that may die, join and leave at any time.",
        epilog=_EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"elastic-run {__version__}")
    for title, flags in _FLAGS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            flag.add_to(group)
    parser.set_defaults(job=None)  # to tell a job that was named
    script = parser.add_argument_group("what to run")
    script.add_argument("-m", "--module", action="store_true", help="the script is a module's name")
    script.add_argument("script", help="run by each worker as python would")
    rest = argparse.REMAINDER
    script.add_argument("script_args", metavar="args", nargs=rest, help="the script's own")
    return parser
