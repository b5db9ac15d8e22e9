"""How an agent begins: it opens its store and its health port, and joins the job's rendezvous."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from elastic.agent.cli import EXIT_DONE, EXIT_FAILED
from elastic.agent.embedded_etcd import EmbeddedEtcd
from elastic.agent.evidence import Evidence
from elastic.agent.health import HealthServer
from elastic.agent.logs import Console
from elastic.agent.settings import AgentSettings
from elastic.clock import monotonic
from elastic.errors import ConfigError, StoreUnavailable
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.record import DONE, FAILED
from elastic.rendezvous.service import Rendezvous, Site, forget_job

__all__ = ["already_over", "join", "open_health_port", "open_store", "site_of"]


def open_store(settings: AgentSettings, console: Console, stack: ExitStack) -> EtcdStore:
    """Return a client of the job's etcd, which with `--standalone` is started here."""
    endpoints = settings.endpoints
    if settings.standalone:
        etcd = EmbeddedEtcd()
        stack.callback(etcd.stop)
        endpoints = (etcd.start(),)
        console.out(f"elastic-run: job {settings.job!r}, etcd at {endpoints[0]}")
    store = EtcdStore(endpoints, login=settings.etcd)
    stack.callback(store.close)
    return store


def open_health_port(
    settings: AgentSettings, evidence: Evidence, console: Console, stack: ExitStack
) -> None:
    """Serve the health of this agent, if it was asked for."""
    if settings.health_address is not None:
        server = HealthServer(*settings.health_address, evidence.board)
        stack.callback(server.close)
        console.out(f"elastic-run: health at http://{server.address}/healthz")


def site_of(settings: AgentSettings, agent: str) -> Site:
    """Return which job this agent, who answers at `agent`, is part of."""
    ca = settings.tls.ca_digest() if settings.tls else ""
    return Site(settings.job, agent, settings.lease_ttl_s, settings.token, ca)


def join(
    rendezvous: Rendezvous, store: EtcdStore, settings: AgentSettings, signalled: Callable[[], int]
) -> None:
    """Start the rendezvous, as soon as the store is there.

    Raises:
        StoreUnavailable: it was not reached in time.
        ConfigError: `--fresh`, but the job is not over.
        SystemExit: a signal came first.
    """
    deadline = monotonic() + settings.rdzv_timeout_s
    while True:
        try:
            if settings.fresh:
                _forget(store, settings.job)
            return rendezvous.start()
        except StoreUnavailable:
            if signalled():
                raise SystemExit(128 + signalled()) from None
            if monotonic() >= deadline:
                raise


def _forget(store: EtcdStore, job: str) -> None:
    if not forget_job(store, job):
        raise ConfigError(
            f"--fresh expects job {job!r} to be over, but it has members; "
            "end them first, or take another --rdzv-id"
        )


def already_over(
    rendezvous: Rendezvous, settings: AgentSettings, evidence: Evidence, console: Console
) -> int | None:
    """Return the exit code if there is nothing to do, else None.

    A job that is done is not trained again; one that fails now is not joined (M10).
    """
    record = rendezvous.record
    if record is not None and record.status == DONE:
        steps, digest = (record.result or {}).get("steps"), (record.result or {}).get("digest")
        console.out(
            f"elastic-run: job {settings.job!r} is done: {steps} steps, digest {digest}; "
            "--fresh starts it anew"
        )
        evidence.finish(record.result)
        return EXIT_DONE
    if record is not None and record.status == FAILED and rendezvous.standing.present:
        console.err(f"elastic-run: the job has failed: {record.cause}")
        return EXIT_FAILED
    return None
