"""What training asks of a loader, exactly once (PROTOCOL D1, D2, S6, B2, B3)."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from elastic.data.dealing import Cursor
from elastic.errors import DataError


class Recorded(Dataset[int]):
    """Its samples are their indices; it remembers who was asked for."""

    def __init__(self, n):
        self.n = n
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return index

    def __len__(self):
        return self.n


def loader_of(n=21, **options):
    options = {"batch_size": 8, "micro_batches": 4, "shuffle": True, "seed": 0} | options
    return DataLoader(Recorded(n), **options)


def visited(loader):
    return [batch.tolist() for batch in loader]


# -- what training refuses -------------------------------------------------------------------------


def test_a_stream_is_refused_by_name():
    """D1: where samples are asked for by index."""

    class Lines(IterableDataset):
        def __iter__(self):
            return iter("ab")

    with pytest.raises(DataError, match="samples by index, got the IterableDataset Lines"):
        DataLoader(Lines()).batch_indices()
    with pytest.raises(DataError, match="got one with an IterableDataset"):
        DataLoader(Lines(), seed=0)


def leaves_of(loader, epoch, step):
    """The indices of each leaf of a step."""
    return [loader.leaf(epoch, step, leaf)[1] for leaf in range(loader.leaf_count(step))]


@pytest.mark.parametrize("dataset", [iter([1]), {1, 2}, 7])
def test_training_needs_a_dataset_with_items_and_a_length(dataset):
    with pytest.raises(DataError, match="expects a dataset with __getitem__ and __len__, got"):
        DataLoader(dataset).check_elastic()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"batch_sampler": [[0, 1]]}, "got a loader with a batch_sampler; give batch_size"),
        ({"batch_size": None}, "got a loader with batch_size=None; give batch_size"),
        ({"sampler": DistributedSampler(range(4), 2, 0)}, "got a DistributedSampler"),
    ],
)
def test_training_deals_batches_itself(options, found):
    with pytest.raises(DataError, match=found):
        DataLoader(range(4), **options).check_elastic()


def test_training_refuses_micro_batches_that_do_not_divide():
    with pytest.raises(DataError, match="batch_size=10 and micro_batches=8; try micro_batches=10"):
        DataLoader(range(40), batch_size=10).check_elastic()


def test_training_refuses_an_epoch_without_steps():
    with pytest.raises(
        DataError, match="at least one step an epoch, got 3 samples in batches of 8"
    ):
        loader_of(3, drop_last=True).check_elastic()
    loader_of(3).check_elastic()


def test_training_refuses_a_sampler_without_a_length():
    with pytest.raises(DataError, match="sampler with a length, got list_iterator; give it"):
        loader_of(shuffle=None, sampler=iter([1, 2])).check_elastic()


def test_an_order_needs_a_seed():
    with pytest.raises(DataError, match="expects begin"):
        loader_of(seed=None).draw(0)


# -- the plan of an epoch ------------------------------------------------------------------------


def test_begin_draws_a_seed_once_from_the_global_generator():
    """D1: `elastic.train` draws a seed once into State."""
    torch.manual_seed(3)
    first, second = loader_of(seed=None), loader_of(seed=None)
    first.begin()
    torch.manual_seed(3)
    second.begin()
    assert first.seed == second.seed
    assert 0 <= first.seed < 2**63
    first.begin()
    assert first.seed == second.seed
    given = loader_of(seed=5)
    given.begin()
    assert given.seed == 5


@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": False}, {"drop_last": True}, {"shuffle": None, "sampler": range(20, -1, -1)}],
    ids=str,
)
@pytest.mark.parametrize("epoch", [0, 3])
def test_leaves_are_the_epochs_indices_in_order(options, epoch):
    """D1, B2: each sample once; a step's leaves are the parts of its batch."""
    loader = loader_of(**options)
    steps = [leaves_of(loader, epoch, step) for step in range(loader.steps_per_epoch)]
    flat = [index for leaves in steps for leaf in leaves for index in leaf]
    assert flat == loader.epoch_indices(epoch)
    assert len(set(flat)) == len(flat) == (16 if options.get("drop_last") else 21)
    for step, leaves in enumerate(steps):
        for leaf, indices in enumerate(leaves):
            first = loader.leaf(epoch, step, leaf)[0]
            assert tuple(loader.draw(epoch)[first : first + len(indices)]) == indices


def test_two_workers_draw_the_same_and_can_tell():
    """D1: the digest of an epoch's list is compared in the exchange."""
    assert loader_of().order_digest(2) == loader_of().order_digest(2)
    others = [loader_of().order_digest(1), loader_of(seed=1).order_digest(2)]
    assert loader_of().order_digest(2) not in others


def test_a_samplers_list_is_drawn_under_seed_and_epoch():
    """D1: whatever was drawn before, in this process or another."""
    weights = [float(i) for i in range(21)]
    one = loader_of(shuffle=None, sampler=WeightedRandomSampler(weights, 16))
    torch.manual_seed(99)
    other = loader_of(shuffle=None, sampler=WeightedRandomSampler(weights, 16))
    other.draw(0)
    assert np.array_equal(one.draw(1), other.draw(1))
    assert not np.array_equal(one.draw(1), one.draw(2))


def test_a_list_is_drawn_once_an_epoch():
    class Counting(list):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return super().__iter__()

    sampler = Counting(range(16))
    loader = loader_of(shuffle=None, sampler=sampler)
    for step in (0, 1, 0):
        loader.leaf(0, step, 0)
    loader.order_digest(0)
    assert sampler.passes == 1
    loader.seed = 1
    loader.leaf(0, 0, 0)
    assert sampler.passes == 2


def test_evaluation_visits_everything_in_one_order_on_every_worker():
    loader = loader_of(5, batch_size=2, seed=None)
    assert loader.batch_indices() == [(0, 1), (2, 3), (4,)]
    sampled = loader_of(5, batch_size=2, shuffle=None, seed=None, sampler=[4, 0, 2])
    assert sampled.batch_indices() == [(4, 0), (2,)]
    assert sampled.collate((4, 0)).tolist() == [4, 0]


# -- a leaf --------------------------------------------------------------------------------------


def test_evidence_is_what_the_dataset_was_asked_for():
    """D2: evidence is taken where a micro-batch enters train_step."""
    loader = loader_of()
    seeded = []
    batch, evidence = loader.fetch((5, 2, 5), seeded.append)
    assert batch.tolist() == [5, 2, 5]
    assert evidence == (5, 2, 5)
    assert loader.dataset.asked == [5, 2, 5]
    assert seeded == [0, 1, 2]


def test_a_sample_is_seeded_before_it_is_fetched():
    """B3: random augmentation follows (seed, epoch, position), not the worker."""

    class Noisy(Recorded):
        def __getitem__(self, index):
            return index + np.random.rand()

    loader = DataLoader(Noisy(8), batch_size=8)

    def fetch(indices, first):
        return loader.fetch(indices, lambda offset: np.random.seed(first + offset))[0].tolist()

    assert fetch((3, 4, 5, 6), 10) == fetch((3, 4), 10) + fetch((5, 6), 12)


def test_a_fetch_that_fails_gives_no_evidence():
    with pytest.raises(ZeroDivisionError):
        DataLoader([0], collate_fn=lambda samples: 1 // 0).fetch((0,), None)


class Rows:
    """A tensor that counts how often it is indexed."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.calls = 0

    def size(self, dim):
        return self.tensor.size(dim)

    def __getitem__(self, index):
        self.calls += 1
        return self.tensor[index]


def test_a_tensor_dataset_is_fetched_by_one_call_a_tensor():
    x, y = Rows(torch.arange(20).reshape(10, 2)), Rows(torch.arange(10))
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    (inputs, targets), evidence = loader.fetch((7, 0, 7), None)
    assert (x.calls, y.calls) == (1, 1)
    assert inputs.tolist() == [[14, 15], [0, 1], [14, 15]]
    assert targets.tolist() == [7, 0, 7]
    assert evidence == (7, 0, 7)


def test_a_part_of_a_part_of_a_tensor_dataset_is_fetched_so_too():
    x = Rows(torch.arange(10))
    part = Subset(Subset(TensorDataset(x), [9, 8, 7, 6]), [3, 1])
    (inputs,), evidence = DataLoader(part).fetch((0, 1), None)
    assert (inputs.tolist(), evidence, x.calls) == ([6, 8], (0, 1), 1)


def test_fetching_rows_equals_collating_samples():
    dataset = TensorDataset(torch.rand(10, 3), torch.arange(10))
    rows, _ = DataLoader(dataset).fetch((4, 2), None)
    samples, _ = DataLoader([dataset[i] for i in range(10)]).fetch((4, 2), None)
    assert [t.tolist() for t in rows] == [t.tolist() for t in samples]
    assert [t.dtype for t in rows] == [t.dtype for t in samples]
    assert type(rows) is type(samples)


def test_a_collate_function_sees_samples_also_of_a_tensor_dataset():
    loader = DataLoader(TensorDataset(torch.arange(4)), collate_fn=len)
    assert loader.fetch((0, 1, 2), None) == (3, (0, 1, 2))


# -- the cursor ----------------------------------------------------------------------------------


def test_only_advance_moves_the_cursor():
    """Promise 3: only a committed step advances the data."""
    loader = loader_of()
    visited(loader)
    loader.fetch(loader.leaf(0, 2, 0)[1], None)
    assert loader.cursor == Cursor(0, 0)
    cursors = []
    for _ in range(4):
        loader.advance()
        cursors.append((loader.cursor.epoch, loader.cursor.step))
    assert cursors == [(0, 1), (0, 2), (1, 0), (1, 1)]


def test_the_position_survives():
    loader = loader_of(seed=None)
    loader.begin()
    for _ in range(4):
        loader.advance()
    resumed = loader_of(seed=None)
    resumed.load_state_dict(loader.state_dict())
    assert (resumed.cursor, resumed.seed) == (loader.cursor, loader.seed)
    assert leaves_of(resumed, 1, 1) == leaves_of(loader, 1, 1)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"n": 22}, "samples=22, its saved position is of samples=21"),
        ({"batch_size": 12}, "batch_size=12, its saved position is of batch_size=8"),
        ({"micro_batches": 8}, "micro_batches=8, its saved position is of micro_batches=4"),
        ({"drop_last": True}, "drop_last=1, its saved position is of drop_last=0"),
    ],
)
def test_a_position_of_a_loader_that_deals_otherwise_is_refused(options, difference):
    loader = loader_of(**options)
    with pytest.raises(DataError, match=f"{difference}; restore that, or start with --fresh"):
        loader.load_state_dict(loader_of().state_dict())
    assert loader.cursor == Cursor()


@pytest.mark.parametrize("change", [{"extra": 1}, {"seed": ...}])
def test_another_state_dict_is_refused(change):
    state = loader_of().state_dict() | change
    state = {key: value for key, value in state.items() if value is not ...}
    with pytest.raises(DataError, match="expects its state_dict, got the keys"):
        loader_of().load_state_dict(state)
