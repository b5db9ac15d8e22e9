"""One rank's share of a dataset, for programs that run a loop of their own on every rank.

`elastic.train` needs no such sampler, and refuses it: it deals each batch to whoever is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import elastic.tensor as torch
from elastic.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, from the `rank`-th on, of an order that all ranks share.

    Args:
        dataset: what is sampled; its length counts.
        num_replicas: how many ranks there are; by default what WORLD_SIZE says.
        rank: which of them this is; by default what RANK says.
        shuffle: permute under seed + epoch; `set_epoch` makes the next epoch's order another one.
        seed: the same on all ranks.
        drop_last: leave out a tail that not all ranks have a part of; else the first indices are
            repeated, so that all have equally many.

    Raises:
        ValueError: there is no such rank, or nothing says how many there are.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        num_replicas = _told("WORLD_SIZE") if num_replicas is None else num_replicas
        rank = _told("RANK") if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        samples = len(dataset)
        self.num_samples = samples // num_replicas if drop_last else -(-samples // num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        order = list(range(len(self.dataset)))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = torch.randperm(len(order), generator=generator).tolist()
        repeated = order * -(-self.total_size // max(len(order), 1))
        return iter(repeated[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch


def _told(variable: str) -> int:
    """What the launcher of the ranks has left in the environment."""
    if variable not in os.environ:
        raise ValueError(
            "Default process group has not been initialized, "
            "please make sure to call init_process_group."
        )
    return int(os.environ[variable])
