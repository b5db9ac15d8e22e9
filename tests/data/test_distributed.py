"""One rank's share of a dataset."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.data import distributed
from elastic.data.distributed import DistributedSampler


def shares(n, ranks, **options):
    return [list(DistributedSampler(range(n), ranks, rank, **options)) for rank in range(ranks)]


def test_without_shuffling_ranks_take_turns():
    assert shares(5, 2, shuffle=False) == [[0, 2, 4], [1, 3, 0]]
    assert shares(5, 2, shuffle=False, drop_last=True) == [[0, 2], [1, 3]]
    assert shares(1, 3, shuffle=False) == [[0], [0], [0]]
    assert shares(2, 3, drop_last=True) == [[], [], []]


def test_all_ranks_share_the_order_of_seed_and_epoch():
    sampler = DistributedSampler(range(6), 2, 1, seed=3)
    sampler.set_epoch(4)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(7)).tolist()
    assert list(sampler) == order[1::2]
    assert len(sampler) == 3


def test_the_launcher_tells_the_rank(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    sampler = distributed.DistributedSampler(range(6))
    assert (sampler.num_replicas, sampler.rank) == (3, 2)
    monkeypatch.delenv("RANK")
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        DistributedSampler(range(6))


@pytest.mark.parametrize("rank", [-1, 2])
def test_there_are_only_so_many_ranks(rank):
    with pytest.raises(ValueError, match=rf"Invalid rank {rank}, .* interval \[0, 1\]"):
        DistributedSampler(range(6), 2, rank)
