"""The loader as PyTorch has it: orders, passes, arguments and their errors."""

from __future__ import annotations

import sys

import pytest

import elastic.tensor as torch
from elastic.data import DataLoader, Dataset, IterableDataset
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


# -- plain iteration -----------------------------------------------------------------------------


def test_without_shuffle_batches_are_in_order():
    assert visited(DataLoader(range(5), batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert visited(DataLoader(range(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(DataLoader(range(5), batch_size=2)) == 3


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_without_a_seed_the_order_is_pytorchs(seed):
    """D1: the loader draws a base seed first, then the sampler its own, both 63 bits."""
    torch.manual_seed(seed)
    loader = DataLoader(range(10), batch_size=4, shuffle=True)
    got = [visited(loader), visited(loader)]
    torch.manual_seed(seed)
    for batches in got:
        torch.empty((), dtype=torch.int64).random_()
        own = int(torch.empty((), dtype=torch.int64).random_().item())
        order = torch.randperm(10, generator=torch.Generator().manual_seed(own)).tolist()
        assert batches == [order[:4], order[4:8], order[8:]]


def test_a_sequential_pass_takes_one_number_from_the_global_generator():
    """As in PyTorch: else all that is drawn after a pass would differ from there."""
    torch.manual_seed(0)
    visited(DataLoader(range(4)))
    after = torch.rand(1).item()
    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_()
    assert torch.rand(1).item() == after


def test_a_generator_draws_instead_of_the_global_one():
    orders = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(4)
        orders.append(visited(DataLoader(range(10), shuffle=True, generator=generator)))
    assert orders[0] == orders[1]


def test_with_a_seed_each_pass_is_the_permutation_of_its_epoch():
    loader = loader_of()
    passes = [[i for batch in visited(loader) for i in batch] for _ in range(3)]
    assert passes == [loader.draw(epoch).tolist() for epoch in range(3)]
    assert len({tuple(order) for order in passes}) == 3


def test_a_custom_sampler_and_collate_are_used():
    loader = DataLoader(range(10), 2, sampler=[7, 1, 3], collate_fn=tuple)
    assert list(loader) == [(7, 1), (3,)]


def test_a_plain_loader_does_not_care_about_micro_batches():
    assert len(visited(DataLoader(range(5), batch_size=3))) == 2


# -- what is refused -----------------------------------------------------------------------------


def test_a_seed_orders_no_given_batches():
    with pytest.raises(DataError, match="got one with a batch_sampler; leave it out"):
        DataLoader(range(4), batch_sampler=[[0, 1]], seed=0)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (
            {"num_workers": -1},
            ValueError,
            "num_workers option should be non-negative; use num_work",
        ),
        ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
        (
            {"prefetch_factor": 2},
            ValueError,
            "prefetch_factor option could only be specified in mu",
        ),
        ({"num_workers": 1, "prefetch_factor": -1}, ValueError, "prefetch_factor option should be"),
        (
            {"persistent_workers": True},
            ValueError,
            "persistent_workers option needs num_workers > 0",
        ),
        (
            {"multiprocessing_context": "fork"},
            ValueError,
            "can only be used with multi-process load",
        ),
        ({"num_workers": 1, "multiprocessing_context": "x"}, ValueError, "a valid start method in"),
        (
            {"num_workers": 1, "multiprocessing_context": 3},
            TypeError,
            "should be a valid context obj",
        ),
        (
            {"sampler": [0], "shuffle": True},
            ValueError,
            "sampler option is mutually exclusive with",
        ),
        (
            {"batch_sampler": [[0]], "batch_size": 2},
            ValueError,
            "batch_sampler option is mutually ex",
        ),
        (
            {"batch_size": None, "drop_last": True},
            ValueError,
            "batch_size=None option disables auto-",
        ),
        (
            {"batch_size": 0},
            ValueError,
            "batch_size should be a positive integer value, but got bat",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_arguments_are_refused_in_pytorchs_words(options, kind, text):
    with pytest.raises(kind, match=text):
        DataLoader(range(4), **options)


@pytest.mark.parametrize(
    "options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}], ids=str
)
def test_a_stream_has_no_order(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"expected unspecified {name} option, but got {name}="):
        DataLoader(Letters(), **options)


@pytest.mark.parametrize("name", ["batch_size", "sampler", "dataset", "persistent_workers"])
def test_what_a_loader_is_made_of_stays(name):
    with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is"):
        setattr(DataLoader(range(4)), name, None)


def test_too_many_worker_processes_are_warned_of():
    with pytest.warns(UserWarning, match="will create 5000 worker processes in total. Our sugg"):
        DataLoader(range(4), num_workers=5000)


# -- batches of every kind -----------------------------------------------------------------------


class Letters(IterableDataset):
    def __iter__(self):
        return iter("abcde")

    def __len__(self):
        return 5


def test_batches_may_be_given():
    loader = DataLoader(range(10, 20), batch_sampler=[[0, 1], [9]])
    assert (visited(loader), len(loader)) == ([[10, 11], [19]], 2)
    assert (loader.batch_size, loader.drop_last) == (None, False)


def test_without_batches_samples_come_as_they_are():
    loader = DataLoader(["a", "b"], batch_size=None)
    assert (list(loader), len(loader)) == (["a", "b"], 2)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"batch_size": 2}, [["a", "b"], ["c", "d"], ["e"]]),
        ({"batch_size": 2, "drop_last": True}, [["a", "b"], ["c", "d"]]),
        ({"batch_size": 5}, [["a", "b", "c", "d", "e"]]),
        ({"batch_size": None}, ["a", "b", "c", "d", "e"]),
    ],
)
def test_a_stream_is_cut_into_batches(options, batches):
    loader = DataLoader(Letters(), **options)
    assert list(loader) == batches
    assert len(loader) == len(batches)


def test_with_a_seed_workers_have_seeds_of_the_pass():
    loader = DataLoader(range(4), seed=5)
    before = torch.get_rng_state().tolist()
    seeds = [(loader.order_of_pass(), loader.draw_base_seed())[1] for _ in range(2)]
    assert len({*seeds}) == 2
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert torch.get_rng_state().tolist() == before


def test_a_process_with_grpc_is_not_forked(monkeypatch):
    """P1: the copy's locks might be held for ever."""
    loader = DataLoader(range(4), num_workers=1)
    monkeypatch.setitem(sys.modules, "grpc", sys)
    assert loader.worker_context().get_start_method() == "forkserver"
    loader.multiprocessing_context = "spawn"
    assert loader.worker_context().get_start_method() == "spawn"
