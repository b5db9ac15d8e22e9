"""The graph, its walk, and what stays in memory afterwards."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import elastic.tensor as torch
from tests.tensor.golden import check

test_semantics = check("autograd")


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


def train(steps: int) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(32, 32).requires_grad_() for _ in range(3)]
    running = torch.zeros(32)
    for _ in range(steps):
        x = torch.rand(32, 32)
        for w in weights:
            x = (x @ w).tanh().clone()
            x[0] *= 2
            x[:, 1:3].mul_(x[:, 3:5].sigmoid())
        running.mul_(0.9).add_(x.detach().mean(0))
        loss = (x.softmax(1).log() ** 2).mean() + sum((w * w).sum() for w in weights)
        grads = torch.autograd.grad(loss, weights, create_graph=True)
        (loss + sum((g * g).sum() for g in grads)).backward()
        with torch.no_grad():
            for w in weights:
                w -= 0.01 * w.grad
                w.grad = None


@pytest.mark.usefixtures("without_collector")
def test_training_without_the_garbage_collector_keeps_memory_flat() -> None:
    train(2)
    objects = len(gc.get_objects())
    tracemalloc.start()
    train(1)
    before = tracemalloc.get_traced_memory()[0]
    train(8)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(gc.get_objects()) - objects < 8  # not one object a step
    assert grown < 8 * 4096  # not one array a step: Python's own free lists may still fill


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.exp(),
        lambda x: (x * 2).mul_(3),
        lambda x: (x * 1)[1:].add_(1),
        lambda x: x.max(0)[0],
        lambda x: torch.cat([x, x.relu()]),
        lambda x: x.softmax(0).clone().exp_(),
    ],
)
def test_a_graph_ends_with_its_output(compute: object) -> None:
    out = compute(leaf())
    node = weakref.ref(out.grad_fn)
    array = weakref.ref(out._array)
    del out
    assert node() is None
    assert array() is None


def test_a_chain_of_any_depth_is_walked_and_freed() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(30_000):
        y = y + 0
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y


def test_grad_shares_memory_with_nothing() -> None:
    x, z = leaf(), leaf()
    seed = torch.ones(3)
    (x + z).backward(seed)
    arrays = [x.grad.numpy(), z.grad.numpy(), seed.numpy()]
    for k, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in arrays[k + 1 :])


def test_grad_of_an_expanded_leaf_is_dense() -> None:
    x = leaf()
    x.sum().backward()
    assert x.grad.is_contiguous()
    x.grad += 1
    assert x.grad.tolist() == [2, 2, 2]


def test_accumulation_keeps_the_tensor_that_holds_it() -> None:
    x = leaf()
    x.sum().backward()
    kept = x.grad
    x.sum().backward()
    assert x.grad is kept
    assert kept.tolist() == [2, 2, 2]


def test_many_uses_of_one_tensor_add_up() -> None:
    x = leaf()
    y = x * 1
    (y + y * 2 + y * 3 + y.exp() * 0).sum().backward()
    assert x.grad.tolist() == [6, 6, 6]


def test_the_walk_saves_only_what_is_read() -> None:
    x, y = leaf(), leaf()
    assert (x + y).grad_fn.values == (None, None, None)
    only_y = (x.detach() * y).grad_fn
    assert only_y.values[1] is None  # y is not read when x wants no gradient
    assert x.exp().grad_fn.values[0] is None


def test_backward_of_the_same_graph_gives_the_same_bits() -> None:
    torch.manual_seed(1)
    w = torch.randn(20, 20).requires_grad_()
    x = torch.randn(7, 20)
    bits = set()
    for _ in range(3):
        w.grad = None
        ((x @ w).tanh() @ w.t()).logsumexp(1).mean().backward()
        bits.add(w.grad.numpy().tobytes())
    assert len(bits) == 1


def test_hooks_run_in_order_and_can_be_removed() -> None:
    x, seen = leaf(), []
    first = x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 2)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    x.sum().backward()
    assert seen == [[1, 1, 1], [2, 2, 2]]
    first.remove()
    first.remove()
    x.sum().backward()
    assert seen[2:] == [[4, 4, 4]]


def test_a_hook_may_keep_and_change_its_gradient() -> None:
    x, kept = leaf(), []
    y = x * 2
    y.register_hook(kept.append)
    z = y * 3
    z.register_hook(lambda g: g + 1)
    z.sum().backward()
    assert kept[0].tolist() == [6, 6, 6]
    assert x.grad.tolist() == [12, 12, 12]


def test_what_a_hook_keeps_is_not_added_to() -> None:
    x, kept = leaf(), []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert [g.tolist() for g in kept] == [[2, 2, 2], [2, 2, 2]]
    assert x.grad.tolist() == [4, 4, 4]


def test_inputs_restrict_backward_and_grad() -> None:
    x, y, z = leaf(), leaf(), leaf()
    h = x * y
    (h * z).sum().backward(inputs=[z, x, h])
    assert y.grad is None
    assert [t.grad.tolist() for t in (x, z)] == [[1, 4, 9], [1, 4, 9]]
    h = x * y
    grads = torch.autograd.grad((h * z).sum(), [z, h, x])
    assert [g.tolist() for g in grads] == [[1, 4, 9], [1, 2, 3], [1, 4, 9]]


def test_grad_is_in_c_order() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    x.t().exp().sum().backward()
    y = torch.ones(3, 2).t().requires_grad_()
    (y * y).sum().backward()
    assert x.grad.is_contiguous()
    assert y.grad.is_contiguous()


def test_a_saved_output_of_several_is_checked_too() -> None:
    values, indices = leaf().max(0)
    indices.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        values.backward()


def test_node_hooks_see_both_sides() -> None:
    x, seen = leaf(), []
    y = x * 2
    y.grad_fn.register_hook(lambda into, outof: seen.append((into[0].tolist(), outof[0].tolist())))
    y.sum().backward()
    assert seen == [([2, 2, 2], [1, 1, 1])]


def test_next_functions_lead_to_the_leaves() -> None:
    x = leaf()
    node = (x.exp() * 2).grad_fn
    (exp, number), (none, _) = node.next_functions
    assert (exp.name(), number, none) == ("ExpBackward0", 0, None)
    assert exp.next_functions[0][0].variable is x


def test_a_graph_with_a_hook_or_a_second_order_agrees_with_a_plain_one() -> None:
    x = leaf()
    (g,) = torch.autograd.grad((x.exp() * x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((g * g).sum(), x)
    e, v = np.exp([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(h.numpy(), 2 * e * (v + 1) * e * (v + 2), rtol=1e-5)


def test_retain_graph_keeps_what_a_second_walk_reads() -> None:
    x = leaf()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8, 12]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_reading_grad_of_a_non_leaf_warns() -> None:
    y = leaf() * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert y.grad is None


def test_gradcheck_finds_a_wrong_gradient() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, g: torch.Tensor) -> torch.Tensor:
            return g * 3

    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(torch.autograd.GradcheckError, match="Jacobian mismatch for output 0"):
        torch.autograd.gradcheck(Wrong.apply, x)
    assert not torch.autograd.gradcheck(Wrong.apply, x, raise_exception=False)
