"""When a dead worker is started again: a pure policy. Time is asked of nobody here.

A worker that dies again and again waits longer each time; one that trained in between starts its
back-off anew. Every restart counts against the agent's one allowance, whichever worker it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["RestartPolicy", "Restarts", "Verdict", "after_exit", "after_success"]


@dataclass(frozen=True)
class RestartPolicy:
    """How often, and after how long."""

    max_restarts: int = 10
    first_delay_s: float = 0.5
    max_delay_s: float = 30.0


@dataclass(frozen=True)
class Restarts:
    """What has happened so far: restarts of this agent, and exits in a row of each local rank."""

    used: int = 0
    streaks: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Start again after `delay_s`, or never (None), and why."""

    delay_s: float | None
    reason: str


def after_exit(
    restarts: Restarts, local_rank: int, policy: RestartPolicy
) -> tuple[Restarts, Verdict]:
    """Return the new standing and what to do about a worker that died."""
    if restarts.used >= policy.max_restarts:
        reason = f"all {policy.max_restarts} restarts of this agent are used (--max-restarts)"
        return restarts, Verdict(None, reason)
    streak = restarts.streaks.get(local_rank, 0)
    # the exponent is bounded: 2.0**1024 is an OverflowError
    delay_s = min(policy.first_delay_s * 2.0 ** min(streak, 64), policy.max_delay_s)
    used = restarts.used + 1
    reason = f"restart {used} of {policy.max_restarts}, after {delay_s:g} s"
    streaks = {**restarts.streaks, local_rank: streak + 1}
    return Restarts(used, streaks), Verdict(delay_s, reason)


def after_success(restarts: Restarts, local_rank: int) -> Restarts:
    """Return the standing after this worker has committed a step: its back-off starts anew."""
    rest = {rank: n for rank, n in restarts.streaks.items() if rank != local_rank}
    return replace(restarts, streaks=rest)
