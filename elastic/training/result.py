"""What `elastic.train` returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from elastic.world import World

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """How a training ended.

    Attributes:
        steps: how many steps were committed since the job began.
        world: the last group; its rank 0 is the one to print or save things.
        metrics: of the last step: the loss, and what `train_step` gave.
        digest: of the parameters, 'sha256:…'. Equal digests are equal bits.
        state_digest: of everything in State.
        bits_promised: whether equal digests are to be expected of another run; not where mixed
            machines were allowed and have met. Digests are then those of rank 0.
    """

    steps: int
    world: World
    metrics: dict[str, float] = field(default_factory=dict)
    digest: str = ""
    state_digest: str = ""
    bits_promised: bool = True
