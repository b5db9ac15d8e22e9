"""`x[index]`, `x[index] = value` and their relatives, shapes, and what Python asks of a tensor."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from tests.tensor.golden import check

test_values = check("indexing")


def test_a_basic_index_is_a_view_and_any_other_a_copy() -> None:
    x = torch.arange(12).reshape(3, 4)
    for view in (x[1], x[:, 1:3], x[0, 0], x[None], x[..., -1], x[torch.tensor(2)]):
        assert np.shares_memory(view.numpy(), x.numpy())
        assert view._base is not None
    for copy in (x[[0, 1]], x[x > 3], x[torch.tensor([1])]):
        assert not np.shares_memory(copy.numpy(), x.numpy())


@pytest.mark.parametrize("seed", range(20))
def test_random_indices_pick_what_numpy_picks(seed: int) -> None:
    print("seed", seed)
    rng = np.random.RandomState(seed)
    array = rng.randn(4, 5, 6)
    index = tuple(_part(rng, size) for size in array.shape[: rng.randint(1, 4)])
    x = torch.tensor(array, requires_grad=True)
    picked = x[tuple(torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index)]
    np.testing.assert_array_equal(picked.detach().numpy(), array[index])
    seeds = rng.randn(*picked.shape)
    picked.backward(torch.tensor(seeds))
    expected = np.zeros_like(array)
    np.add.at(expected, index, seeds)
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-12)


def _part(rng: np.random.RandomState, size: int) -> object:
    kind = rng.randint(4)
    if kind == 0:
        return int(rng.randint(-size, size))
    if kind == 1:
        start, stop = sorted(rng.randint(0, size + 1, 2))
        return slice(int(start), int(stop), int(rng.randint(1, 3)))
    if kind == 2:
        return rng.randint(-size, size, 3)
    return slice(None)


def test_writing_at_an_index_records_both_sides() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    value = torch.tensor([5.0, 6.0], requires_grad=True)
    y = x * 2
    y[torch.tensor([0, 2])] = value * 3
    (y * y).sum().backward()
    assert x.grad.tolist() == [0.0, 16.0, 0.0]
    assert value.grad.tolist() == [90.0, 108.0]


def test_iteration_gives_views_in_order() -> None:
    x = torch.arange(6.0).reshape(3, 2).requires_grad_()
    sum(row.sum() * k for k, row in enumerate(x)).backward()
    assert x.grad.tolist() == [[0, 0], [1, 1], [2, 2]]
