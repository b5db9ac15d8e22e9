"""The environment of a worker: how its agent introduces itself, and what fixes its bits. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from elastic.agent.settings import AgentSettings
from elastic.control import (
    ENV_ACTIVITY_FD,
    ENV_AGENT_PID,
    ENV_ALLOW_MIXED,
    ENV_BIND,
    ENV_CONTROL_FD,
    ENV_FRESH,
    ENV_JOB,
    ENV_THREADS,
    ENV_TLS,
    ENV_TOKEN,
)

__all__ = ["worker_environment"]

_BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_ARENA_MAX": "1",
}
"""A worker keeps memory that it has freed: glibc would give each large array back to the kernel,
and every step would wait for zeroed pages (measured: a third of a step with gradients of 200 MB,
and more where a hypervisor has to find them). One arena, so that all threads share it."""


def worker_environment(
    inherited: Mapping[str, str],
    settings: AgentSettings,
    *,
    local_rank: int,
    agent_pid: int,
    control_fd: int,
    activity_fd: int,
) -> dict[str, str]:
    """Return the environment of the worker `local_rank`, on top of what its agent inherited."""
    ours = {
        ENV_CONTROL_FD: str(control_fd),
        ENV_ACTIVITY_FD: str(activity_fd),
        ENV_AGENT_PID: str(agent_pid),
        ENV_TOKEN: settings.token,
        ENV_JOB: settings.job,
        ENV_BIND: settings.bind,
        ENV_THREADS: str(settings.threads),
    }
    ours |= _tls(settings)
    if settings.fresh:
        ours[ENV_FRESH] = "1"
    if settings.allow_mixed:
        ours[ENV_ALLOW_MIXED] = "1"
    not_theirs = {ENV_FRESH, *ENV_TLS.values()}
    kept = {name: value for name, value in inherited.items() if name not in not_theirs}
    return {**_defaults(), **kept, **_same_bits(settings), **_torch(settings, local_rank), **ours}


def _defaults() -> dict[str, str]:
    # the order of a set of strings must not differ between workers (B6)
    return {"PYTHONHASHSEED": "0", "GRPC_VERBOSITY": "ERROR", **_MEMORY}


def _tls(settings: AgentSettings) -> dict[str, str]:
    return {} if settings.tls is None else {v: getattr(settings.tls, k) for k, v in ENV_TLS.items()}


def _same_bits(settings: AgentSettings) -> dict[str, str]:
    # another number of BLAS threads gives other bits (B6); gRPC's fork handlers would take part in
    # every subprocess that a user starts, and nothing of ours forks (P1)
    threads = dict.fromkeys(_BLAS_THREADS, str(settings.threads))
    return {**threads, "GRPC_ENABLE_FORK_SUPPORT": "0"}


def _torch(settings: AgentSettings, local_rank: int) -> dict[str, str]:
    """What torchrun sets, for libraries that read it at start (U5).

    The rank in the job is not known before the group is formed, so these speak of this host only.
    """
    return {
        "RANK": str(local_rank),
        "WORLD_SIZE": str(settings.nproc),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(settings.nproc),
        "MASTER_ADDR": settings.bind,
        "MASTER_PORT": "29500",
    }
