"""What all simulated parts share: time, chance, connections, the job, and who judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from elastic.rendezvous.memory_store import MemoryStore
from elastic.testing.clock import ManualClock
from elastic.testing.network import Network, host_of
from elastic.testing.store import Troubles
from elastic.testing.toy import ToyJob
from elastic.training.core import Job
from elastic.training.newcomers import Pace

if TYPE_CHECKING:
    from elastic.testing.agent import SimulatedAgent
    from elastic.testing.judge import Judge

__all__ = ["Shape", "Surroundings"]


@dataclass(frozen=True)
class Shape:
    """How large the simulated cluster is, and how fast. Units: seconds."""

    hosts: int = 3
    workers_a_host: int = 1
    min_workers: int = 1
    max_workers: int | None = None
    leaf_s: tuple[float, float] = (0.01, 0.06)
    message_s: tuple[float, float] = (0.0005, 0.01)
    start_s: tuple[float, float] = (0.1, 0.6)
    """How long a worker takes until it is ready."""
    lease_ttl_s: float = 3.0
    troubles: Troubles = field(default_factory=Troubles)
    clock_rates: tuple[float, ...] = (1.0,)
    """How fast the agents' clocks run, taken in turn; each is set to another time of day."""


@dataclass
class Surroundings:
    """One simulation's time, chance, connections and store."""

    job: ToyJob
    shape: Shape
    rng: Random
    clock: ManualClock = field(default_factory=ManualClock)
    memory: MemoryStore = field(default_factory=MemoryStore)
    network: Network = field(init=False)
    judge: Judge = field(init=False)
    agents: list[SimulatedAgent] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = Network(self.clock, self.rng, self.shape.message_s)
        self.core_job = Job(
            self.job.steps,
            self.job.leaf_count,
            hooks=self.job.hooks,
            checkpoint_every=self.job.checkpoint_every,
            checkpoints=self.job.checkpoint_every > 0,
            pace=Pace(1, 3) if self.job.warms else None,
        )

    def say(self, who: str, text: Any) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self.clock.now:8.4f} {who:8} {text}")

    def after(self, seconds: tuple[float, float], act: Callable[[], None]) -> None:
        """Run `act` after a time of chance."""
        self.clock.after(self.rng.uniform(*seconds), act)

    def host_of(self, address: str) -> str:
        """Return the host of an address."""
        return host_of(address)
