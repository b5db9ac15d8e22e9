# ruff: noqa: E501 one line a question
"""More questions as in `golden.py`: what distributions draw, and what they say of values.

The answers: `golden_distributions.json`. To add a distribution write it below and run
`python -m tests.tensor.golden_distributions` where PyTorch is installed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.tensor import golden

FILE = Path(__file__).with_name("golden_distributions.json")

MADE = r"""
Normal(leaf(), torch.tensor([1.0, 2.0, 0.5]))
Normal(0, 1)
Laplace(leaf(), torch.tensor([1.0, 2.0, 0.5]))
Cauchy(leaf(), 2.0)
Uniform(leaf(), torch.tensor([4.0, 5.0, 6.0]))
StudentT(leaf() + 2, 1.0, 2.0)
Exponential(leaf())
Gamma(leaf() * leaf() / 2, torch.tensor([1.0, 2.0, 0.5]))
Gamma(leaf().double() * 5, 1.0)
Chi2(leaf())
Beta(leaf(), torch.tensor([1.0, 0.5, 4.0]))
Beta(2.0, 3.0)
Dirichlet(leaf())
InverseGamma(leaf() + 2, torch.tensor([1.0, 2.0, 0.5]))
LogNormal(leaf(), torch.tensor([1.0, 2.0, 0.5]))
Gumbel(leaf(), torch.tensor([1.0, 2.0, 0.5]))
HalfNormal(leaf())
HalfCauchy(leaf())
Pareto(leaf(), torch.tensor([3.0, 2.5, 4.0]))
Weibull(leaf(), torch.tensor([3.0, 2.5, 4.0]))
Bernoulli(leaf() / 4)
Bernoulli(logits=leaf() - 2)
Geometric(leaf() / 4)
Binomial(10, leaf() / 4)
Binomial(torch.tensor([3.0, 4.0, 100.0]), logits=leaf() - 2)
Poisson(leaf() * leaf() * 5)
NegativeBinomial(torch.tensor([3.0, 4.0, 10.0]), leaf() / 4)
Categorical(leaf().outer(leaf()))
Categorical(logits=leaf())
OneHotCategorical(leaf())
OneHotCategoricalStraightThrough(logits=leaf())
Multinomial(7, leaf().outer(leaf()))
MultivariateNormal(leaf()[:2], torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
MultivariateNormal(leaf()[:2], scale_tril=torch.tensor([[2.0, 0.0], [0.5, 1.0]]))
MultivariateNormal(leaf()[:2].expand(3, 2), precision_matrix=torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
Independent(Normal(leaf().expand(2, 3), 1.0), 1)
RelaxedBernoulli(torch.tensor([0.5]), leaf() / 4)
RelaxedOneHotCategorical(torch.tensor([0.5]), logits=leaf())
MixtureSameFamily(Categorical(leaf()), Normal(leaf(), 2.0))
MixtureSameFamily(Categorical(leaf()), Independent(Normal(leaf().outer(leaf()), 1.0), 1))
TransformedDistribution(Normal(leaf(), 0.5), [TanhTransform(cache_size=1)])
TransformedDistribution(Normal(leaf(), 1.0), [SigmoidTransform(), AffineTransform(-1.0, 2.0)])
TransformedDistribution(Normal(leaf(), 1.0), [SoftplusTransform(), PowerTransform(2.0)])
TransformedDistribution(Normal(leaf(), 1.0), StickBreakingTransform())
TransformedDistribution(Normal(leaf(), 1.0), [IndependentTransform(ExpTransform().inv.inv, 1), ReshapeTransform((3,), (3, 1))])
"""

# What is asked of each: `d` is the distribution, `x` one draw of it.
ASKED = r"""
d, d.batch_shape, d.event_shape, d.has_rsample, d.has_enumerate_support
d.mean, d.variance, d.stddev
d.mode
d.entropy(), d.perplexity()
d.sample(), d.sample((5,)), d.sample(torch.Size([2, 30])).sum()
d.log_prob(x), d.log_prob(d.sample((2,)))
d.log_prob(x).sum().backward(); [p.grad for p in leaves]
y = d.rsample((3,)); (y * y).sum().backward(); y.detach(), [p.grad for p in leaves]
d.cdf(x)
d.icdf(torch.tensor(0.3))
d.enumerate_support()
e = d.expand((4, *d.batch_shape)); repr(e), e.batch_shape, e.sample(), e.log_prob(x)
D.kl_divergence(d, d)
str(d.support) if d.batch_shape == d.event_shape else 0
d.log_prob(torch.tensor([[1e4, -1e3, float("nan"), 4.0]]))
d.log_prob(3)
"""

REFUSED = r"""
D.Normal(0, -1)
D.Normal(0, -1, validate_args=False)
D.Normal("a", 1)
D.Normal(torch.tensor([nan, 1.0]), 1)
D.Normal(0.0, torch.tensor([1.0, 2.0])).log_prob(torch.ones(3))
D.Categorical()
D.Categorical(torch.tensor(1.0))
D.Categorical(torch.tensor([0.5, -0.5, 1.0]))
D.Categorical(torch.ones(3)).log_prob(torch.tensor(3))
D.Uniform(2.0, 1.0)
D.Uniform(0.0, 1.0).log_prob(torch.tensor(2.0))
D.Bernoulli(1.5)
D.Bernoulli(0.5).log_prob(torch.tensor(0.3))
D.Bernoulli(0.5, 0.5)
D.Geometric(0.0)
D.Dirichlet(torch.tensor(1.0))
D.Multinomial(torch.tensor([2]), torch.ones(2))
D.MultivariateNormal(torch.zeros(2))
D.MultivariateNormal(torch.zeros(2), torch.ones(2, 2) * 2 - 3 * torch.eye(2))
D.MultivariateNormal(torch.tensor(0.0), torch.eye(2))
D.Independent(D.Normal(0, 1), 1)
D.TransformedDistribution(D.Normal(0, 1), 3)
D.MixtureSameFamily(D.Normal(0, 1), D.Normal(0, 1))
D.kl_divergence(D.Normal(0, 1), D.Categorical(torch.ones(2)))
D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(leaf(), 2.0)), D.kl_divergence(D.Uniform(0.0, 1.0), D.Normal(0.0, 1.0)), D.kl_divergence(D.Gamma(2.0, 1.0), D.Gamma(leaf(), 2.0))
D.kl_divergence(D.Bernoulli(leaf() / 4), D.Bernoulli(0.3)), D.kl_divergence(D.Categorical(leaf()), D.Categorical(logits=leaf())), D.kl_divergence(D.Beta(1.0, 2.0), D.Beta(leaf(), 1.0))
D.kl_divergence(D.Laplace(0.0, 1.0), D.Laplace(leaf(), 2.0)), D.kl_divergence(D.Poisson(2.0), D.Poisson(leaf())), D.kl_divergence(D.Exponential(2.0), D.Exponential(leaf())), D.kl_divergence(D.Geometric(0.5), D.Geometric(leaf() / 4)), D.kl_divergence(D.Cauchy(0.0, 1.0), D.Cauchy(leaf(), 1.0)), D.kl_divergence(D.Gumbel(0.0, 1.0), D.Gumbel(leaf(), 2.0)), D.kl_divergence(D.Uniform(0.0, 1.0), D.Uniform(-leaf(), 1.0)), D.kl_divergence(D.Binomial(3, 0.5), D.Binomial(3, leaf() / 4)), D.kl_divergence(D.LogNormal(0.0, 1.0), D.LogNormal(leaf(), 1.0)), D.kl_divergence(D.HalfNormal(1.0), D.HalfNormal(leaf()))
d = D.MultivariateNormal(leaf(), torch.eye(3)); D.kl_divergence(d, D.MultivariateNormal(torch.zeros(3), 2 * torch.eye(3) + 0.5)), d.covariance_matrix, d.precision_matrix, d.scale_tril
repr(D.Normal(torch.tensor([0.0]), torch.tensor([1.0]))), D.Categorical(logits=torch.zeros(3)).probs, D.Normal(0.0, 1.0).sample((2,)), repr(D.AffineTransform(0, 1)), repr(D.ComposeTransform([D.ExpTransform(), D.TanhTransform()]))
c = D.constraints; [str(each) for each in (c.positive, c.real, c.simplex, c.unit_interval, c.lower_cholesky, c.boolean, c.real_vector, c.interval(0, 2), c.nonnegative_integer)], c.positive_definite.check(torch.eye(2)), c.simplex.check(torch.ones(2)), c.corr_cholesky.check(torch.eye(2)), c.one_hot.check(torch.eye(3)), c.half_open_interval(0, 1).check(torch.ones(1))
t = D.LowerCholeskyTransform(); y = t(torch.arange(4.0).view(2, 2)); y, t.inv(y), D.SoftmaxTransform()(leaf()), D.AbsTransform()(-leaf()), D.identity_transform(leaf())
"""

TOPICS = {"made": MADE, "refused": REFUSED}


def questions(topic: str) -> list[str]:
    """The questions of `topic`, in order: of each distribution, all that are asked."""
    lines = TOPICS[topic].strip().splitlines()
    if topic == "refused":
        return [f"D = torch.distributions; {each}" for each in lines]
    start = "D = torch.distributions; leaves = []; d = made('{}', leaves); x = d.sample(); {}"
    return [start.format(each, asked) for each in lines for asked in ASKED.strip().splitlines()]


def check(topic: str) -> Any:
    """A test that asks our stack all questions of `topic`, one by one."""
    import pytest

    import elastic.tensor

    answers = json.loads(FILE.read_text())[topic]

    @pytest.mark.parametrize("question", questions(topic))
    def test_answers_as_pytorch_does(question: str) -> None:
        found, expected = golden.answer(elastic.tensor, topic, question), answers[question]
        if not is_close(found, expected):
            assert found == expected

    return test_answers_as_pytorch_does


NUMBER = re.compile(r"-?\b\d[\d.]*(?:e[-+]\d+)?")
PLACE = re.compile(r"'[a-z._]+\.")


def is_close(found: str, expected: str) -> bool:
    """Whether two answers say the same but for rounding, and for the modules of classes.

    PyTorch takes slopes of gamma's numbers from fits that are right to about a thousandth.
    """
    words = [NUMBER.sub("0", PLACE.sub("'", each)) for each in (found, expected)]
    pairs = zip(NUMBER.findall(found), NUMBER.findall(expected), strict=False)
    near = (abs(float(a) - float(b)) <= 1e-5 + 2e-3 * abs(float(b)) for a, b in pairs)
    return words[0] == words[1] and all(near)


if __name__ == "__main__":
    import warnings

    import torch

    warnings.simplefilter("ignore")
    answers = {t: {q: golden.answer(torch, t, q) for q in questions(t)} for t in TOPICS}
    FILE.write_text(json.dumps(answers, indent=0) + "\n")
