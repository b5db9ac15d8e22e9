"""Methods that call the user's function for each element, and fill diagonals."""

from __future__ import annotations

import pytest

import elastic.tensor as torch


def test_apply_and_map_write_what_python_makes_of_elements() -> None:
    x = torch.arange(4.0)
    assert x.apply_(lambda v: v * 2) is x
    assert x.map_(torch.ones(1), lambda a, b: a + b).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("call", [lambda x: x.apply_(abs), lambda x: x.map_(x.detach(), max)])
def test_they_refuse_what_the_graph_would_miss(call) -> None:
    with pytest.raises(RuntimeError, match="on Variable that requires grad"):
        call(torch.ones(2, requires_grad=True))


@pytest.mark.parametrize(
    ("shape", "wrap", "places"),
    [
        ((3, 3), False, [(0, 0), (1, 1), (2, 2)]),
        ((3, 5), True, [(0, 0), (1, 1), (2, 2)]),
        ((7, 3), False, [(0, 0), (1, 1), (2, 2)]),
        ((7, 3), True, [(0, 0), (1, 1), (2, 2), (4, 0), (5, 1), (6, 2)]),
        ((2, 2, 2), False, [(0, 0, 0), (1, 1, 1)]),
    ],
)
def test_fill_diagonal(shape, wrap, places) -> None:
    x = torch.zeros(shape).fill_diagonal_(1, wrap)
    assert [tuple(each) for each in x.nonzero().tolist()] == places


@pytest.mark.parametrize("shape", [(3,), (2, 3, 3)])
def test_fill_diagonal_wants_a_diagonal(shape) -> None:
    with pytest.raises(RuntimeError, match="dimensions"):
        torch.zeros(shape).fill_diagonal_(1)


def test_in_place_methods_are_functions_too() -> None:
    x = torch.zeros(2)
    assert torch.exp_(x) is x
    assert x.tolist() == [1, 1]
