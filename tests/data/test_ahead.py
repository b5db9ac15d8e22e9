"""Leaves fetched ahead by worker processes are those that training would fetch itself."""

from __future__ import annotations

import random

import numpy as np
import pytest

import elastic
import elastic.tensor as torch
from elastic.data import DataLoader, Dataset
from elastic.data.ahead import Place


class Noisy(Dataset):
    """Random augmentation; sample 13 is broken."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 13:
            raise ValueError("unlucky")
        return torch.rand(50, 100) + np.random.rand() + random.random(), index


def seed_all(epoch, position):
    random.seed(1000 * epoch + position)
    np.random.seed(1000 * epoch + position)
    torch.manual_seed(1000 * epoch + position)


def loader_of(num_workers, **options):
    options = {"batch_size": 8, "micro_batches": 4, "shuffle": True, "seed": 1} | options
    return DataLoader(Noisy(), num_workers=num_workers, **options)


def leaf(loader, *place):
    (inputs, targets), evidence = loader.fetch_leaf(*place, seed_all)
    return inputs.numpy().tobytes(), targets.tolist(), evidence


def places(loader, leaves, epochs=(0, 1)):
    """Where the given leaves of all steps stand, but for those with the broken sample."""
    for epoch in epochs:
        for step in range(loader.steps_per_epoch):
            for i in leaves:
                if 13 not in loader.leaf(epoch, step, i)[1]:
                    yield epoch, step, i


@pytest.mark.parametrize("options", [{}, {"num_workers": 1, "prefetch_factor": 7}], ids=str)
def test_worker_processes_change_no_bit(options):
    """B3, D2: a fetch is seeded by its place, and whoever fetches gives the evidence."""
    serial, ahead = loader_of(0), loader_of(**{"num_workers": 2} | options)
    for place in places(serial, (0, 2, 3)):
        assert leaf(ahead, *place) == leaf(serial, *place)


def test_the_leaves_of_the_last_step_are_fetched_ahead():
    loader = loader_of(2, prefetch_factor=3, shuffle=False, sampler=range(14, 38))
    for i in (1, 2):
        loader.fetch_leaf(0, 0, i, seed_all)
    loader.fetch_leaf(0, 1, 1, seed_all)
    fetched_ahead = {*loader._ahead._asked, *loader._ahead._ready}
    assert fetched_ahead == {Place(0, 1, 2), Place(0, 2, 1), Place(0, 2, 2)}


def test_after_a_change_of_membership_other_leaves_come_and_old_ones_go():
    """S6: only the missing leaves are dealt; nothing that was fetched in vain is kept."""
    serial, ahead = loader_of(0), loader_of(2)
    for leaves in ((0, 1), (2, 3), (0, 1, 2, 3), (3,)):
        for place in places(serial, leaves, epochs=(0,)):
            assert leaf(ahead, *place) == leaf(serial, *place)
    assert len(ahead._ahead._ready) + len(ahead._ahead._asked) <= 4


def test_a_leaf_that_is_computed_again_is_fetched_again():
    ahead = loader_of(1)
    place = next(places(ahead, (0,)))
    assert leaf(ahead, *place) == leaf(ahead, *place)


def test_a_broken_sample_is_the_error_of_its_leaf_each_time():
    loader = loader_of(1, shuffle=False)
    loader.fetch_leaf(0, 0, 2, seed_all)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"(?s)Caught ValueError in .* process 0.*unlucky"):
            loader.fetch_leaf(0, 1, 2, seed_all)
    assert leaf(loader, 0, 2, 2)[1] == [20, 21]


def test_another_position_is_fetched_from_anew():
    """A loaded state may have another seed, which worker processes would not know."""
    loader, other = loader_of(1, seed=1, sampler=range(40), shuffle=None), loader_of(0, seed=2)
    loader.fetch_leaf(0, 0, 0, seed_all)
    state = loader.state_dict() | {"seed": other.seed}
    loader.load_state_dict(state)
    assert loader._ahead is None


def trained(num_workers):
    """The digest of a model after an epoch."""
    torch.manual_seed(0)
    model = torch.nn.Linear(100, 1)
    loader = loader_of(num_workers, sampler=range(14, 38), shuffle=None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = elastic.State(model=model, optimizer=optimizer, loader=loader)
    result = elastic.train(state, lambda state, batch: state.model(batch[0]).mean(), epochs=1)
    return result.digest


def test_training_ends_with_the_same_weights():
    """Promise 2: worker processes are no more visible in the bits than members are."""
    assert trained(2) == trained(0)
