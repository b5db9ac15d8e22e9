"""Custom functions."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.autograd import Function


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Exp(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.exp()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * ctx.saved_tensors[0]


class SumAndDifference(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, scale: float) -> tuple:
        ctx.scale = scale
        order = (x > y).long()
        ctx.mark_non_differentiable(order)
        return (x + y) * scale, x - y, order

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor, _: Tensor) -> tuple:
        assert ctx.needs_input_grad == (True, False, False)
        return g * ctx.scale + h, None, None


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("function", [Cube, Exp])
def test_first_and_second_derivative(function: type[Function]) -> None:
    x = leaf(0.5, 1.5)
    assert torch.autograd.gradcheck(function.apply, x)
    assert torch.autograd.gradgradcheck(function.apply, x)


def test_several_outputs_and_arguments_that_are_no_tensors() -> None:
    x = leaf(1.0, 2.0)
    total, difference, order = SumAndDifference.apply(x, torch.ones(2), 2.0)
    assert not order.requires_grad
    assert difference.grad_fn is total.grad_fn
    assert repr(total.grad_fn).startswith("<torch.autograd.function.SumAndDifferenceBackward")
    (total.sum() + 3 * difference.sum()).backward()
    assert x.grad.tolist() == [5.0, 5.0]
    x.grad = None
    SumAndDifference.apply(x, torch.ones(2), 2.0)[1].sum().backward()  # zeros for the other
    assert x.grad.tolist() == [1.0, 1.0]


def test_saved_tensors_are_version_checked_and_freed() -> None:
    x = leaf(1.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    w = Cube.apply(x)
    w.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        w.backward()


def test_setup_context_and_once_differentiable() -> None:
    class Double(Function):
        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        @torch.autograd.once_differentiable
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 2 * ctx.saved_tensors[0] / ctx.saved_tensors[0]

    x = leaf(3.0)
    (g,) = torch.autograd.grad(Double.apply(x), x, create_graph=True)
    assert g.tolist() == [2.0]
    assert not g.requires_grad


def test_a_dirty_input_gets_the_function_as_its_history() -> None:
    class Triple(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            x.mul_(3)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 3

    x = leaf(2.0)
    y = x * 1
    out = Triple.apply(y)
    assert out is y
    assert y._version == 1
    assert y.tolist() == [6.0]
    out.backward()
    assert x.grad.tolist() == [3.0]
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        Triple.apply(leaf(1.0))


def test_an_input_that_comes_back_is_another_tensor() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 7

    x = leaf(1.0)
    out = Same.apply(x)
    assert out is not x
    assert x.is_leaf
    out.backward()
    assert x.grad.tolist() == [7.0]


def test_a_wrong_number_of_gradients_is_told() -> None:
    class Short(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g

    with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 2, got 1\)"):
        Short.apply(leaf(1.0), leaf(1.0)).backward()


def test_its_graph_ends_with_its_output() -> None:
    gc.disable()
    try:
        out = Exp.apply(leaf(1.0))
        node = weakref.ref(out.grad_fn)
        del out
        assert node() is None
    finally:
        gc.enable()


def test_without_grad_nothing_is_recorded() -> None:
    with torch.no_grad():
        assert Cube.apply(leaf(2.0)).grad_fn is None
    assert Cube.apply(torch.ones(1)).grad_fn is None


@pytest.mark.parametrize("missing", ["forward", "backward"])
def test_what_is_not_written_is_named(missing: str) -> None:
    other = {"forward": "backward", "backward": "forward"}[missing]
    partial = type("Partial", (Function,), {other: staticmethod(lambda ctx, x: x * 2)})
    with pytest.raises(NotImplementedError, match=missing):
        partial.apply(leaf(1.0)).backward()
