"""Writes into tensors and their views: versions, histories, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch


def leaf() -> torch.Tensor:
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_a_view_and_its_base_share_one_version() -> None:
    x = torch.ones(2, 3)
    view, row, outside = x.t(), x[0], x.detach()
    row.add_(1)
    assert x._version == view._version == outside._version == 1
    assert view.tolist() == [[2, 1], [2, 1], [2, 1]]
    assert x.clone()._version == 0


@pytest.mark.parametrize(
    "write",
    [
        lambda v: v.mul_(3),
        lambda v: v.add_(1, alpha=2),
        lambda v: v.copy_(torch.arange(2.0)),
        lambda v: v.zero_(),
        lambda v: v.exp_(),
        lambda v: v.clamp_(min=1.5),
        lambda v: v.masked_fill_(torch.tensor([True, False]), 4.0),
        lambda v: v.pow_(2),
        lambda v: v.__setitem__(0, 7.0),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        lambda x: x[1:],
        lambda x: x.view(3, 1)[1:, 0],
        lambda x: x.narrow(0, 1, 2),
        lambda x: x.reshape(1, 3).t()[1:].squeeze(1),
    ],
)
def test_a_write_through_a_view_is_a_write_into_the_base(write: object, path: object) -> None:
    x = leaf()
    base = x * 2
    early = base[:2]
    write(path(base))
    ((base * base).sum() + early.sum()).backward()

    y = leaf()
    part = (y * 2)[1:].clone()
    write(part)
    whole = torch.cat([(y * 2)[:1], part])
    ((whole * whole).sum() + whole[:2].sum()).backward()
    assert x.grad.tolist() == y.grad.tolist()


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda x, y: x.add_(y), [4, 8, 12]),
        (lambda x, y: x.sub_(y, alpha=2), [-2, -4, -6]),
        (lambda x, y: x.div_(y), [1, 1, 1]),
        (lambda x, y: x.remainder_(y * 0.75), None),
        (lambda x, y: x.lerp_(y, 0.5), None),
    ],
)
def test_in_place_equals_out_of_place(write: object, expected: list | None) -> None:
    x = leaf()
    with torch.no_grad():
        before = x.clone()
    a = x * 2
    write(a, x * 2)
    if expected is not None:
        assert a.tolist() == expected
    assert torch.equal(x, before)
    assert a._version == 1


def test_a_write_under_no_grad_leaves_the_history_alone() -> None:
    x = leaf()
    y = x * 2
    with torch.no_grad():
        y[0] = 100.0
        x -= 1
    assert x.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_an_overlapping_write_reads_the_old_values() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    x.add_(x.t())
    assert x.tolist() == [[0, 4, 8], [4, 8, 12], [8, 12, 16]]


def test_a_failed_write_changes_nothing() -> None:
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="output with shape"):
        x.add_(torch.ones(2, 3))
    with pytest.raises(RuntimeError, match="must match the size"):
        x.mul_(torch.ones(4))
    assert x._version == 0
    assert x.tolist() == [1, 1, 1]


def test_out_receives_the_result() -> None:
    out = torch.empty(0)
    torch.add(torch.ones(2), 1, out=out)
    assert out.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        torch.exp(leaf(), out=out)
    with pytest.raises(RuntimeError, match="result type Float can't be cast"):
        torch.exp(torch.ones(2), out=torch.empty(2, dtype=torch.int64))


@pytest.mark.parametrize("seed", range(15))
def test_any_sequence_of_writes_has_the_gradient_of_its_functional_twin(seed: int) -> None:
    print("seed", seed)
    rng = np.random.RandomState(seed)

    def run(x: torch.Tensor) -> torch.Tensor:
        state = np.random.RandomState(seed)
        base = x * 1
        views = [base, base[1:3], base.view(2, 3), base.view(2, 3).t(), base.view(3, 2)[:, 1]]
        for _ in range(5):
            target = views[state.randint(len(views))]
            source = views[state.randint(len(views))]
            scale = 0.5 + 0.5 * source.sum().tanh()
            (target.mul_, target.add_, target.fill_)[state.randint(3)](scale)
        return torch.cat([v.reshape(-1) * (k + 1) for k, v in enumerate(views)])

    x = torch.tensor(rng.randn(6), requires_grad=True)
    assert torch.autograd.gradcheck(run, x)
