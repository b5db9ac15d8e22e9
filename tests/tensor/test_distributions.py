"""What distributions draw and say, as PyTorch answers it."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.tensor import distributions as D
from tests.tensor.golden_distributions import check

pytestmark = pytest.mark.filterwarnings("ignore")

test_distributions = check("made")
test_refusals = check("refused")


def test_classes_are_found_where_pytorch_has_them():
    from elastic.tensor.distributions.normal import Normal
    from elastic.tensor.distributions.utils import broadcast_all

    from elastic.tensor.distributions.categorical import Categorical

    assert Normal is D.Normal
    assert Categorical is D.Categorical
    assert broadcast_all(1, torch.ones(2))[0].tolist() == [1, 1]


def test_a_new_divergence_can_be_registered():
    class Mine(D.Normal):
        """A subclass."""

    p, q = Mine(0.0, 1.0), D.Normal(0.0, 1.0)
    assert D.kl_divergence(p, q).item() == 0
    D.register_kl(Mine, D.Normal)(lambda p, q: 7)
    assert D.kl_divergence(p, q) == 7
    with pytest.raises(TypeError, match="Expected type_q to be a Distribution subclass"):
        D.register_kl(Mine, int)


def test_a_gamma_number_moves_with_its_shape_as_its_probability_says():
    """The slope of the drawn number keeps the probability of less what it is."""
    for shape in (0.3, 2.0, 40.0):
        a = torch.tensor(shape, dtype=torch.float64, requires_grad=True)
        torch.manual_seed(1)
        x = D.Gamma(a, 1.0).rsample()
        x.backward()
        h = 1e-5
        moved = torch.special.gammainc(a.detach() + h, x.detach() + h * a.grad)
        assert abs(moved - torch.special.gammainc(a, x)).item() < 1e-8
