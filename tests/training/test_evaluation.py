"""Evaluation: one mean for any number of members, and modules left as they were."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.data import DataLoader, Dataset
from elastic.errors import Aborted, ConfigError
from elastic.training import evaluate, randomness
from elastic.training.groups import open_group
from elastic.training.solo import SoloGroup
from tests.training.crew import make_state


class Noisy(Dataset):
    """Samples with random augmentation."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return np.float32(index) + np.random.rand(4).astype("float32")


class Share(SoloGroup):
    """One member of a group that evaluates alone here; `gathered` holds what it told."""

    def __init__(self, rank, size):
        self.rank, self.size, self.told = rank, size, b""
        self.all = []

    def gather(self, blob):
        self.told = blob
        return self.all or [blob]


def mean_of(state, batch):
    """A metric with random numbers of its own, whose size depends on the batch."""
    return {"mean": (state.model(batch) * torch.rand(1)).mean(), "noise": np.random.rand()}


LOADER = DataLoader(Noisy(), batch_size=4)


@pytest.fixture
def state():
    with randomness.restored():
        yield make_state()


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_any_number_of_members_finds_the_same_bits(state, members):
    """B1, B3, U4: batches count by their samples; random numbers follow the batch."""
    alone = evaluate(state, mean_of, LOADER)
    shares = [Share(rank, members) for rank in range(members)]
    for share in shares:
        np.random.seed(share.rank)  # members' streams differ when a hook begins
        with open_group(share):
            evaluate(state, mean_of, LOADER)
    for share in shares:
        share.all = [each.told for each in shares]
        with open_group(share):
            assert evaluate(state, mean_of, LOADER) == alone


def test_a_batch_counts_by_its_samples(state):
    def size(state, batch):
        return {"size": len(batch)}

    assert evaluate(state, size, LOADER)["size"] == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)


def test_metrics_that_some_batches_have(state):
    def odd(state, batch):
        return {"n": 1, "short": 7} if len(batch) == 2 else {"n": 1}

    assert evaluate(state, odd, LOADER) == {"n": 1, "short": 7}


def test_streams_are_as_they_were_and_no_gradient_is_recorded(state):
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    seen = []

    def look(state, batch):
        seen.append((state.model.training, state.model[0].training, torch.is_grad_enabled()))
        return {}

    assert evaluate(state, look, LOADER) == {}
    assert seen == [(False, False, False)] * 3
    assert np.random.rand() == expected
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("error", [ValueError, Aborted, KeyboardInterrupt])
def test_modules_are_put_back_after_an_exception(state, error):
    """Those that were in evaluation mode before stay in it."""
    state.model[2].training = False

    def fail(state, batch):
        raise error("in the function")

    with pytest.raises(error):
        evaluate(state, fail, LOADER)
    assert [module.training for module in state.model.children()] == [True, True, False, True]
    assert state.model.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (0.5, "elastic.evaluate expects a dict of numbers from its function, got float"),
        ({"x": "good"}, "metric 'x' expects a number or a tensor of one element, got str"),
        (
            {"x": torch.ones(2)},
            "metric 'x' expects a number or a tensor of one element, got Tensor of shape",
        ),
    ],
)
def test_other_than_a_dict_of_numbers_is_refused(state, returned, text):
    with pytest.raises(ConfigError, match=text):
        evaluate(state, lambda state, batch: returned, LOADER)
