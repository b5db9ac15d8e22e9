"""PyTorch's own streams, to the last bit, and the state that carries them."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.tensor._rounding import fma32, fma64
from tests.tensor.golden import check

test_streams = check("random")


@pytest.mark.parametrize("draws", [0, 1, 623, 624, 625, 1300])
def test_the_state_continues_any_stream(draws: int) -> None:
    torch.manual_seed(5)
    torch.rand(draws)
    torch.randn(3)  # leaves half of a pair behind
    state = torch.get_rng_state()
    assert state.shape == (5056,)
    expected = torch.randn(3).tolist() + torch.rand(700).tolist()
    other = torch.Generator()
    other.set_state(state)
    got = torch.randn(3, generator=other).tolist() + torch.rand(700, generator=other).tolist()
    assert got == expected
    assert other.initial_seed() == 5


def test_a_generator_is_a_stream_of_its_own() -> None:
    g = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    alone = torch.rand(4).tolist()
    assert torch.rand(4, generator=g).tolist() == alone
    torch.manual_seed(1)
    torch.rand(2, generator=g)
    assert torch.rand(4).tolist() == alone


def test_fork_rng_leaves_the_stream_alone_also_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    with pytest.raises(RuntimeError, match="must match the size"), torch.random.fork_rng():
        torch.rand(9) + torch.rand(8)
    assert torch.rand(2).tolist() == expected


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(RuntimeError, match="but found the input RNG state size to be 10"):
        torch.set_rng_state(torch.zeros(10, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"RNG state must be a torch\.ByteTensor"):
        torch.set_rng_state(torch.zeros(632, dtype=torch.float64))


def test_fused_multiply_add_rounds_once() -> None:
    eps = 2.0**-30  # (1 + eps)(1 - eps) - 1 is -eps^2: lost when the product is rounded first
    assert fma64(torch.tensor([1 + eps], dtype=torch.float64).numpy(), 1 - eps, -1.0) == -(eps**2)
    assert fma32(1 + 2.0**-20, 1 - 2.0**-20, -1.0) == -(2.0**-40)


def test_drawing_into_a_leaf_that_wants_a_gradient_is_refused() -> None:
    x = torch.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.uniform_()
    with torch.no_grad():
        assert x.uniform_() is x
    assert x._version == 1
