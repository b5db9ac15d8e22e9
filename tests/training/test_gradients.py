"""The bridge: what leaves give, and what their sum makes of gradients and buffers."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.collectives.partial import Partial, add
from elastic.errors import ProtocolError, StateError
from elastic.tensor import nn
from elastic.training.gradients import Bridge
from elastic.training.state import State


class Counting(nn.Module):
    """A layer with one buffer of each kind."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mask", torch.zeros(2))
        self.register_buffer("flag", torch.zeros((), dtype=torch.bool))


def bridge_of(module):
    return Bridge(State(model=module))


def leaf(bridge, weight, compute):
    bridge.begin()
    compute()
    return bridge.take(weight)


def put(bridge, leaves, weights):
    """Hand the sum of the leaves back, as the loop does: `buffers` travels as JSON."""
    total = leaves[0].pieces.laid_out()
    for each in leaves[1:]:
        total = add(total, each.pieces)
    changes = [json.loads(json.dumps(each.buffers)) for each in leaves]
    bridge.put(total, float(sum(weights)), changes)


# ---- gradients ---------------------------------------------------------------------------------


def test_the_gradient_is_the_weighted_mean_over_leaves():
    """PROTOCOL B1."""
    module = nn.Linear(2, 1)
    bridge = bridge_of(module)
    x = torch.tensor([[1.0, 2.0]])
    leaves = [leaf(bridge, w, lambda w=w: (module(x) * w).sum().backward()) for w in (1, 3)]
    put(bridge, leaves, (1, 3))
    # leaf gradients are 1·x and 3·x: (1·1 + 3·3) / 4
    assert module.weight.grad.tolist() == [[2.5, 5.0]]
    assert module.bias.grad.tolist() == [2.5]


def test_a_gradient_is_none_only_if_it_is_none_in_every_leaf():
    """PROTOCOL B2. A leaf without a gradient counts in the weight (B1)."""
    module = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(3)])
    bridge = bridge_of(module)
    x = torch.ones(1, 1)
    leaves = [
        leaf(bridge, 1, lambda: module[0](x).sum().backward()),
        leaf(bridge, 3, lambda: (module[0](x) + module[1](x)).sum().backward()),
    ]
    assert [each.pieces.present.tolist() for each in leaves] == [
        [True, False, False],
        [True, True, False],
    ]
    put(bridge, leaves, (1, 3))
    assert module[0].weight.grad.item() == 1.0
    assert module[1].weight.grad.item() == 0.75
    assert module[2].weight.grad is None


def test_negative_zero_survives_absent_leaves():
    """PROTOCOL B2. Adding a zero for the absent would turn -0.0 into 0.0."""
    module = nn.Linear(1, 1, bias=False)
    bridge = bridge_of(module)
    minus_zero = leaf(bridge, 1, lambda: (module.weight * -0.0).sum().backward())
    absent = leaf(bridge, 1, lambda: None)
    put(bridge, [absent, minus_zero], (1, 1))
    assert np.signbit(module.weight.grad.numpy()).all()


def test_a_full_micro_batch_is_taken_as_it_is():
    """PROTOCOL B1. It weighs 1: its gradient is not copied, and not written to either."""
    module = nn.Linear(1, 1, bias=False)
    bridge, kept = bridge_of(module), []

    def compute():
        module(torch.ones(1, 1)).sum().backward()
        kept.append(module.weight.grad)

    leaves = [leaf(bridge, 1.0, compute), leaf(bridge, 0.5, compute)]
    assert np.shares_memory(leaves[0].pieces[0], kept[0].numpy())
    put(bridge, leaves, (1.0, 0.5))
    assert module.weight.grad.item() == 1.0
    assert [grad.item() for grad in kept] == [1.0, 1.0]


def test_gradients_start_from_none_and_are_none_after_a_leaf():
    """PROTOCOL B2."""
    module = nn.Linear(1, 1)
    bridge = bridge_of(module)
    module.weight.grad = torch.full((1, 1), 100.0)
    taken = leaf(bridge, 1, lambda: module(torch.ones(1, 1)).sum().backward())
    assert taken.pieces[0].tolist() == [1.0]
    assert module.weight.grad is None


def test_reduced_gradients_have_the_canonical_layout():
    """PROTOCOL B5."""
    module = nn.Linear(2, 3, bias=False)
    bridge = bridge_of(module)

    def fortran():
        module.weight.grad = torch.arange(6.0).reshape(2, 3).t()

    put(bridge, [leaf(bridge, 2, fortran)], (2,))
    assert module.weight.grad.is_contiguous()
    assert module.weight.grad.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_a_step_without_leaves_gives_no_gradient():
    module = nn.Linear(1, 1)
    bridge = bridge_of(module)
    module.weight.grad = torch.ones(1, 1)
    bridge.put(None, 0.0, [])
    assert module.weight.grad is None


def test_each_dtype_has_its_vector_and_halves_are_added_in_float32():
    module = nn.ParameterList(
        [torch.ones(2, dtype=d) for d in (torch.float32, torch.float64, torch.bfloat16)]
    )
    bridge = bridge_of(module)
    assert [dtype.name for dtype in bridge.map.dtypes] == ["float32", "float64"]
    assert bridge.map.lengths == (4, 2)

    def grads():
        for param in module:
            param.grad = torch.ones_like(param)

    put(bridge, [leaf(bridge, 3, grads), leaf(bridge, 3, grads)], (3, 3))
    assert [param.grad.dtype for param in module] == [torch.float32, torch.float64, torch.bfloat16]
    assert all(param.grad.tolist() == [1.0, 1.0] for param in module)


def test_frozen_parameters_do_not_travel_and_may_not_thaw():
    module = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1))
    bridge = bridge_of(module)
    assert bridge.names == ("model.1.weight", "model.1.bias")
    bridge.begin()
    module[0].requires_grad_(True)
    with pytest.raises(StateError, match=r"'model.0.weight' was frozen when training began"):
        bridge.begin()


def test_a_parameter_in_two_parts_travels_once():
    module = nn.Linear(1, 1)
    bridge = Bridge(State(model=nn.Sequential(module), encoder=module))
    assert bridge.names == ("model.0.weight", "model.0.bias")


def test_take_without_begin_is_a_bug():
    module = nn.Linear(1, 1)
    bridge = bridge_of(module)
    with pytest.raises(ProtocolError, match="expects a begin before the micro-batch"):
        bridge.take(1.0)


def test_the_reduced_step_can_be_put_twice():
    """PROTOCOL S3. A member behind gets the same total that others have applied."""
    module = nn.Linear(1, 1, bias=False)
    bridge = bridge_of(module)
    taken = leaf(bridge, 2, lambda: (module.weight * 3).sum().backward())
    for _ in range(2):
        put(bridge, [taken], (2,))
        assert module.weight.grad.item() == 3.0
        module.weight.grad.mul_(0)


# ---- buffers -----------------------------------------------------------------------------------


def test_each_micro_batch_starts_from_the_committed_buffers():
    """PROTOCOL B4."""
    module = nn.BatchNorm1d(1)
    bridge = bridge_of(module)
    for _ in range(2):
        taken = leaf(bridge, 2, lambda: module(torch.tensor([[1.0], [3.0]])))
        assert taken.pieces[2].tolist() == pytest.approx([2 * 0.2])
        assert module.running_mean.item() == 0.0
        assert module.num_batches_tracked.item() == 0


def test_statistics_of_norms_move_by_the_weighted_mean_of_their_changes():
    """PROTOCOL B4. Integer buffers move by the largest change."""
    module = nn.BatchNorm1d(1, momentum=0.5)
    module.running_mean.fill_(1.0)
    bridge = bridge_of(module)
    leaves = [
        leaf(bridge, w, lambda m=m: module(torch.tensor([[m], [m + 2.0]])))
        for w, m in ((1, 2.0), (3, 4.0))
    ]
    put(bridge, leaves, (1, 3))
    # means 3 and 5 move 1 by 1 and 2: 1 + (1·1 + 3·2) / 4
    assert module.running_mean.item() == 2.75
    assert module.running_var.item() == pytest.approx(1.5)
    assert module.num_batches_tracked.item() == 1


def test_integers_move_by_the_largest_change():
    """PROTOCOL B4."""
    module = Counting()
    module.seen.fill_(10)
    bridge = bridge_of(module)
    leaves = [leaf(bridge, 1, lambda n=n: module.seen.add_(n)) for n in (2, 5, 3)]
    assert leaves[1].buffers == {"model.seen": 5}
    put(bridge, leaves, (1, 1, 1))
    assert module.seen.item() == 15


def test_other_buffers_may_change_alike():
    """PROTOCOL B4. Who has computed no leaf gets the value too."""
    module, idle = Counting(), Counting()
    bridge = bridge_of(module)

    def change():
        module.mask = torch.tensor([1.5, -0.0])  # put there, not written into
        module.flag.fill_(True)

    leaves = [leaf(bridge, 1, change) for _ in range(2)]
    assert module.mask.tolist() == [0.0, 0.0]
    for each in (bridge, bridge_of(idle)):
        put(each, leaves, (1, 1))
    for each in (module, idle):
        assert each.mask.tolist() == [1.5, 0.0]
        assert bool(each.flag)


@pytest.mark.parametrize("values", [(1.0, 2.0), (1.0, 0.0)])
def test_other_buffers_that_differ_are_an_error_with_their_name(values):
    """PROTOCOL B4."""
    module = Counting()
    bridge = bridge_of(module)
    leaves = [leaf(bridge, 1, lambda v=v: module.mask.fill_(v)) for v in values]
    with pytest.raises(StateError, match=r"buffer 'model.mask' expects the same value"):
        put(bridge, leaves, (1, 1))


def test_a_write_through_data_is_seen():
    """PROTOCOL B4. Versions do not count it, so bytes are compared."""
    module = nn.BatchNorm1d(1)
    bridge = bridge_of(module)
    taken = leaf(bridge, 2, lambda: module.running_mean.data.add_(3))
    assert taken.pieces[2].tolist() == [6.0]
    assert module.running_mean.item() == 0.0


def test_discard_undoes_a_leaf():
    module = nn.BatchNorm1d(1)
    bridge = bridge_of(module)
    bridge.begin()
    module(torch.tensor([[1.0], [3.0]])).sum().backward()
    bridge.discard()
    assert module.weight.grad is None
    assert module.running_mean.item() == 0.0


def test_buffers_written_by_update_are_committed_by_the_next_begin():
    module = nn.BatchNorm1d(1)
    bridge = bridge_of(module)
    put(bridge, [leaf(bridge, 1, lambda: None)], (1,))
    module.reset_running_stats()
    module.running_mean.fill_(7.0)
    leaf(bridge, 1, lambda: module(torch.tensor([[1.0], [3.0]])))
    assert module.running_mean.item() == 7.0


def test_the_same_bits_for_any_grouping_of_leaves():
    """PROTOCOL S5, B1. Sums over the canonical tree do not depend on who holds which leaf."""
    seed = 11
    print("seed", seed)
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    bridge = bridge_of(module)
    batches = [torch.randn(3, 4) for _ in range(4)]
    taken = [leaf(bridge, 3, lambda x=x: (module(x) ** 2).sum().backward()).pieces for x in batches]
    again = [
        leaf(bridge, 3, lambda x=x: (module(x) ** 2).sum().backward()).pieces
        for x in reversed(batches)
    ][::-1]

    def tree(parts):
        left, right = add(parts[0], parts[1]), add(parts[2], parts[3])
        return add(left, right)

    first, second = tree(taken), tree(again)
    assert isinstance(first, Partial)
    for a, b in zip(first.vectors, second.vectors, strict=True):
        assert a.tobytes() == b.tobytes()
