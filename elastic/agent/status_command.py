"""The command `elastic-run status`: its flags, once or live, its exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NoReturn

from elastic.agent import checks, doors
from elastic.agent.cli import EXIT_DONE, EXIT_FAILED, typed
from elastic.agent.status import GONE, JobView, UnknownJob, ask_all, look
from elastic.errors import ConfigError, StoreUnavailable
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.record import FAILED
from elastic.rendezvous.store import Store
from elastic.telemetry.events import plain

__all__ = ["EXIT_UNKNOWN", "status"]

EXIT_UNKNOWN = 4
"""The store knows no such job."""
_EVERY_S = 1.0
_USAGE = "elastic-run status --rdzv-endpoint HOST:PORT[,...] --rdzv-id JOB [--once] [--json]"
_EPILOG = """exit codes: 0 the job runs, waits or is done; 1 it has failed or is gone; 2 usage;
3 the store was not reached; 4 the store knows no such job."""


def status(args: Sequence[str]) -> int:
    """Return the exit code of `elastic-run status args…`.

    Raises:
        ConfigError: the flags are wrong.
        StoreUnavailable: the store was not reached when the command began.
    """
    flags = _parser().parse_args(args)
    token = checks.token(flags.token_file, os.environ, standalone=False)
    login = doors.etcd_login(vars(flags))
    with closing(EtcdStore(flags.endpoints, login=login)) as store:
        try:
            job = look(store, flags.job, token)
            if flags.json:
                print(json.dumps(plain(job.to_json())))
            elif flags.once or not sys.stdout.isatty():
                _show(job)
            else:
                job = _live(_views(store, job, token))
        except UnknownJob as error:
            print(f"elastic-run: {error}", file=sys.stderr)
            return EXIT_UNKNOWN
    return EXIT_FAILED if job.status in (FAILED, GONE) else EXIT_DONE


def _show(job: JobView) -> None:
    from rich.console import Console

    from elastic.agent.status_view import view

    # cut at no edge: whoever reads a file or a pipe has none
    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=True).print(view(job))


def _views(store: Store, job: JobView, token: str) -> Iterator[tuple[JobView, str]]:
    """Yield the job and a warning, again and again until it is over.

    While the store is away the agents still answer: training goes on, and so does the view.
    """
    yield job, ""
    while not job.is_over:
        time.sleep(_EVERY_S)
        try:
            job, warning = look(store, job.job, token), ""
        except StoreUnavailable as error:
            job, warning = replace(job, agents=ask_all(job.agents, token)), f"{error}"
        yield job, warning


def _live(views: Iterator[tuple[JobView, str]]) -> JobView:
    from rich.live import Live

    from elastic.agent.status_view import view

    job, warning = next(views)
    try:
        with Live(view(job, warning), auto_refresh=False, vertical_overflow="crop") as live:
            for job, warning in views:
                live.update(view(job, warning), refresh=True)
    except KeyboardInterrupt:  # how one leaves it
        pass
    return job


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"status: {message}; usage: {_USAGE}")


def _parser() -> _Parser:
    parser = _Parser(
        prog="elastic-run status",
        usage=_USAGE,
        description="Show how a job stands: members, generation, step, rate, last events.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    both = ("--rdzv-endpoint", "--rdzv_endpoint")
    add(*both, dest="endpoints", type=typed(checks.endpoints), required=True, metavar="HOST:PORT")
    both = ("--rdzv-id", "--rdzv_id")
    add(*both, dest="job", type=typed(checks.job_name), required=True, metavar="JOB")
    both = ("--token-file", "--token_file")
    add(*both, metavar="FILE", help="the job's token; else the environment's ELASTIC_TOKEN")
    for name in ("ca", "cert", "key"):
        add(f"--rdzv-{name}", f"--rdzv_{name}", metavar="FILE", help="TLS to etcd, as of a run")
    add("--rdzv-user", "--rdzv_user", metavar="NAME", help="etcd's user, as of a run")
    add("--rdzv-password-file", "--rdzv_password_file", metavar="FILE", help="its password")
    add("--once", action="store_true", help="show it once, as where stdout is no terminal")
    add("--json", action="store_true", help="one JSON object, once")
    return parser
