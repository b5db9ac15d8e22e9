"""Passes with worker processes give what passes without give, in the same order."""

from __future__ import annotations

import os
import warnings

import pytest

import elastic.tensor as torch
from elastic.data import DataLoader, Dataset, IterableDataset, RandomSampler, get_worker_info


class Images(Dataset):
    """Samples that are large enough for shared memory."""

    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        return torch.full((40, 50), float(index)), {"name": str(index)}

    def __len__(self):
        return self.n


class Share(IterableDataset):
    """Each worker process has a part: worker i of n has `sizes[i]` samples."""

    def __init__(self, sizes, promised=None):
        self.sizes = sizes
        self.promised = promised

    def __iter__(self):
        info = get_worker_info()
        number = 0 if info is None else info.id
        return (f"{number}.{i}" for i in range(self.sizes[number]))

    def __len__(self):
        return self.promised


def visited(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3},
        {"batch_size": 3, "shuffle": True, "drop_last": True},
        {"batch_size": None, "sampler": [4, 2, 0]},
        {"batch_sampler": [[1, 2, 3], [], [5]]},
        {"batch_size": 2, "shuffle": True, "seed": 4},
        {"prefetch_factor": 1},
        {"prefetch_factor": 100},
    ],
    ids=str,
)
def test_batches_are_the_same_with_workers(workers, options):
    serial = {name: value for name, value in options.items() if name != "prefetch_factor"}
    torch.manual_seed(1)
    expected = visited(DataLoader(range(11), collate_fn=torch.tensor, **serial))
    torch.manual_seed(1)
    loader = DataLoader(range(11), collate_fn=torch.tensor, num_workers=workers, **options)
    assert visited(loader) == expected


def test_images_arrive_whole():
    seen = []
    for images, texts in DataLoader(Images(13), batch_size=4, num_workers=2):
        assert images.shape[1:] == (40, 50)
        assert [image.min().item() for image in images] == [image.max().item() for image in images]
        assert texts["name"] == [str(int(image[0, 0].item())) for image in images]
        seen.append(images)
    assert [int(image[0, 0].item()) for images in seen for image in images] == list(range(13))


def test_a_shared_generator_is_drawn_from_as_in_pytorch():
    """The loader's seed, then the sampler's permutation, in each pass."""
    orders = []
    for workers in (0, 2):
        generator = torch.Generator().manual_seed(5)
        loader = DataLoader(range(6), shuffle=True, generator=generator, num_workers=workers)
        orders.append([visited(loader), visited(loader)])
    assert orders[0] == orders[1]


@pytest.mark.parametrize(
    ("sizes", "batch_size", "batches"),
    [
        ([3, 1], None, ["0.0", "1.0", "0.1", "0.2"]),
        ([0, 2], None, ["1.0", "1.1"]),
        ([0, 0], None, []),
        ([3, 1], 2, [["0.0", "0.1"], ["1.0"], ["0.2"]]),
        ([9, 2], None, ["0.0", "1.0", "0.1", "1.1", *(f"0.{i}" for i in range(2, 9))]),
    ],
)
@pytest.mark.parametrize("persistent", [False, True])
def test_streams_take_turns_until_they_end(sizes, batch_size, batches, persistent):
    loader = DataLoader(Share(sizes), batch_size, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        assert list(loader) == batches


def test_a_stream_that_gives_more_than_it_promised_is_warned_of():
    for workers, tail in ((0, r"fetched\. $"), (1, "could be caused by not properly configuring")):
        loader = DataLoader(Share([3], promised=2), batch_size=None, num_workers=workers)
        assert len(list(loader)) == 3  # nobody has asked for its length
        assert len(loader) == 2
        with pytest.warns(UserWarning, match=f"was reported to be 2.*but 3 samples have .*{tail}"):
            assert len(list(loader)) == 3


# -- workers that stay ---------------------------------------------------------------------------


class Pids(Dataset):
    def __getitem__(self, index):
        return os.getpid(), index

    def __len__(self):
        return 8


def test_persistent_workers_serve_every_pass():
    loader = DataLoader(Pids(), None, num_workers=2, persistent_workers=True)
    first = list(loader)
    for _ in loader:
        break
    assert list(loader) == first
    assert len({pid for pid, _ in first}) == 2
    with pytest.raises(NotImplementedError, match="cannot be pickled"):
        iter(loader).__getstate__()


def test_after_a_death_there_are_new_workers():
    loader = DataLoader(Pids(), None, num_workers=1, persistent_workers=True)
    batches = iter(loader)
    pid, _ = next(batches)
    os.kill(pid, 9)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(batches)
    assert [index for _, index in loader] == list(range(8))


# -- as they come --------------------------------------------------------------------------------


class Gated(Dataset):
    """Sample 0 waits until the loader says go."""

    def __init__(self, gate):
        self.gate = gate

    def __getitem__(self, index):
        if index == 0:
            os.read(self.gate, 1)
        return index

    def __len__(self):
        return 6


def test_out_of_order_the_slow_one_is_not_waited_for():
    gate, go = os.pipe()
    loader = DataLoader(Gated(gate), None, num_workers=2, in_order=False)
    seen = []
    for index in loader:
        seen.append(index)
        if len(seen) == 4:
            os.write(go, b"x")
    assert sorted(seen) == list(range(6))
    assert 0 not in seen[:4]


# -- what is warned of and refused ---------------------------------------------------------------


def test_memory_cannot_be_pinned_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loader = DataLoader(range(2), pin_memory=True, pin_memory_device="cuda")
    with warnings.catch_warnings(record=True, action="always") as told:
        assert visited(loader) == [[0], [1]]
    assert [str(each.message)[:52] for each in told] == [
        "pin_memory_device is deprecated, the current acceler",
        "'pin_memory' argument is set as true but no accelera",
    ]


def test_what_only_shows_in_a_pass_is_refused_there():
    with pytest.raises(AssertionError, match="requires timeout == 0"):
        iter(DataLoader(range(2), timeout=1))
    with pytest.raises(AssertionError, match="prefetch_factor must be greater than 0"):
        iter(DataLoader(range(2), num_workers=1, prefetch_factor=0))


def test_the_length_of_a_pass_is_that_of_its_sampler():
    assert len(iter(DataLoader(range(5), batch_size=2))) == 3
    assert len(iter(DataLoader(range(5), None, sampler=RandomSampler(range(5), True, 7)))) == 7
