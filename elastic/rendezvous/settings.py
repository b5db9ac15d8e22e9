"""What a user may set about rendezvous. Units: seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How the group is formed and mended."""

    min_workers: int = 1
    max_workers: int | None = None
    stagger_s: float = 0.05
    """The i-th proposer by tenure waits i times this, so that one transaction usually does."""
    retry_s: float = 0.2
    """Pause before a write is tried again after the store did not answer."""
    orphan_wait_s: float = 20.0
    """How long the keys of all members must be gone before strangers take over (PROTOCOL M9)."""
    silence_s: float = 1.0
    """Who would remove silent members of n agents waits n - 1 times this (PROTOCOL M7)."""
    tie_s: float = 0.2
    """Who would remove the silent more tenured lets them remove it first for so long."""
    return_backoff_s: float = 1.0
    """Pause before members of this agent return, the second time that it was separated from the
    group within a minute; it doubles. So do the pauses between greetings in vain."""
    reset_backoff_s: float = 0.05
    """First pause between two generations formed only because a connection broke; it doubles."""
