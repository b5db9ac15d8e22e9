"""What an agent was asked to do. `agent/cli.py` alone makes these from flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from elastic.agent.chaos import Chaos
from elastic.tls import EtcdLogin, TLSFiles

__all__ = ["AgentSettings"]


@dataclass(frozen=True)
class AgentSettings:
    """One `elastic-run`: which job, how many workers, what they run, where the evidence goes."""

    script: str
    """A path, or the name of a module if `module`."""
    script_args: tuple[str, ...] = ()
    module: bool = False

    job: str = "standalone"
    """The name that the agents of one job share (`--rdzv-id`)."""
    endpoints: tuple[str, ...] = ()
    """host:port of each etcd endpoint; none: an embedded etcd of our own (`--standalone`)."""
    token: str = field(default="", repr=False)
    """The job's secret; empty only where everything listens on loopback (PROTOCOL P3)."""
    bind: str = "127.0.0.1"
    """The host that the workers' collectives and the agent's ping listen on."""
    tls: TLSFiles | None = None
    """Mutual TLS between the workers; None: in the clear."""
    etcd: EtcdLogin = field(default_factory=EtcdLogin)
    """How to pass etcd's door: by TLS, by a user's password, or in the clear."""
    rdzv_timeout_s: float = 30.0
    lease_ttl_s: float = 3.0

    nproc: int = 1
    """Workers of this agent."""
    min_workers: int = 1
    """Of the whole job, as is `max_workers`; None: no limit."""
    max_workers: int | None = None
    max_restarts: int = 10
    """Over all workers of this agent."""
    threads: int = 1
    """BLAS threads for each worker: part of the job's identity (PROTOCOL B6)."""
    grace_s: float = 25.0
    """From the first SIGTERM to SIGKILL (PROTOCOL P2)."""
    step_timeout_s: float | None = None
    """How long user code may take before it hangs (PROTOCOL S8); None: by what it took so far."""
    fresh: bool = False
    """Start anew although the job is done or has checkpoints."""
    allow_mixed: bool = False
    """Workers may compute other bits than each other; all agents of a job say the same."""

    chaos: Chaos | None = None
    """Faults that the agents make on their own workers."""

    no_live: bool = False
    """No live view, though stdout is a terminal."""
    log_dir: Path | None = None
    events: Path | None = None
    audit: Path | None = None
    report: Path | None = None
    health_address: tuple[str, int] | None = None
    """Host and port for `/healthz` and `/metrics`; None: no such port."""

    @property
    def standalone(self) -> bool:
        """Whether this agent brings its own store."""
        return not self.endpoints
