"""Promotion: the full tables, and what arithmetic makes of mixed dtypes."""

from __future__ import annotations

import pickle

import pytest

import elastic.tensor as torch
from elastic.tensor import dtypes
from tests.tensor.golden import check

test_promotion = check("promotion")
PROMOTED = [d for d in dtypes.ALL if d.name not in ("uint16", "uint32", "uint64")]


@pytest.mark.parametrize("d", dtypes.ALL, ids=repr)
def test_there_is_one_object_of_each_dtype(d: torch.dtype) -> None:
    assert pickle.loads(pickle.dumps(d)) is d
    assert torch.zeros(1, dtype=d).dtype is d
    assert getattr(torch, d.name) is d


@pytest.mark.parametrize("a", PROMOTED, ids=repr)
def test_promotion_is_commutative_and_a_common_bound(a: torch.dtype) -> None:
    for b in PROMOTED:
        both = torch.promote_types(a, b)
        assert both is torch.promote_types(b, a)
        assert torch.promote_types(both, a) is both


def test_a_numpy_dtype_without_a_counterpart_is_refused() -> None:
    with pytest.raises(TypeError, match=r"tensors hold one of .*; got numpy.float128; convert"):
        dtypes.from_numpy_dtype("longdouble")


def test_gradients_come_back_in_the_dtype_of_their_input() -> None:
    half = torch.ones(3, dtype=torch.float16, requires_grad=True)
    brain = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    double = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    out = half * brain * double * torch.arange(3)
    assert out.dtype is torch.float64
    out.sum().backward()
    for leaf, grad in ((half, [0, 2, 4]), (brain, [6]), (double, [[3], [3]])):
        assert leaf.grad.dtype is leaf.dtype
        assert leaf.grad.tolist() == grad
