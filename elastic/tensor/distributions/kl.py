"""How far one distribution is from another: Kullback and Leibler's divergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import elastic.tensor as torch
from elastic.tensor import inf
from elastic.tensor.distributions.categorical import Categorical, OneHotCategorical
from elastic.tensor.distributions.compound import (
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    LogNormal,
    TransformedDistribution,
)
from elastic.tensor.distributions.continuous import Cauchy, Laplace, Normal, Uniform
from elastic.tensor.distributions.discrete import Bernoulli, Binomial, Geometric, Poisson
from elastic.tensor.distributions.distribution import Distribution, sum_rightmost
from elastic.tensor.distributions.gamma import Beta, Dirichlet, Exponential, Gamma
from elastic.tensor.distributions.multivariate import MultivariateNormal, squared_distance

_RULES: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator: the function gives the divergence for these two types. Raises: TypeError."""
    for name, each in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(each, type) or not issubclass(each, Distribution):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {each}")

    def keep(function: Callable) -> Callable:
        _RULES[type_p, type_q] = function
        return function

    return keep


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """The divergence of `p` from `q`, of shape `batch_shape`. Raises: NotImplementedError."""
    for left in type(p).__mro__:
        for right in type(q).__mro__:
            if (left, right) in _RULES:
                return _RULES[left, right](p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type "
        f"{q.__class__.__name__}"
    )


def _same(kind: type) -> Callable:
    return register_kl(kind, kind)


@_same(Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    away = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + away - 1 - ratio.log())


@_same(Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    softplus = torch.nn.functional.softplus
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    one = torch.where(q.probs == 0, inf, one).masked_fill(p.probs == 0, 0)
    zero = torch.where(q.probs == 1, inf, zero).masked_fill(p.probs == 1, 0)
    return one + zero


@_same(Binomial)
def _binomial(p: Any, q: Any) -> Any:
    odds = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return torch.where(p.total_count > q.total_count, inf, p.total_count * odds)


@_same(Categorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    terms = torch.where((q.probs == 0).expand_as(terms), inf, terms)
    return torch.where((p.probs == 0).expand_as(terms), 0, terms).sum(-1)


@_same(OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return kl_divergence(p._categorical, q._categorical)


@_same(Beta)
def _beta(p: Any, q: Any) -> Any:
    return kl_divergence(p._dirichlet, q._dirichlet)


@_same(Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    sum_p, sum_q = p.concentration.sum(-1), q.concentration.sum(-1)
    norm = sum_p.lgamma() - sum_q.lgamma()
    norm = norm - (p.concentration.lgamma() - q.concentration.lgamma()).sum(-1)
    away = p.concentration - q.concentration
    slope = p.concentration.digamma() - sum_p.digamma().unsqueeze(-1)
    return norm + (away * slope).sum(-1)


@_same(Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@_same(Gamma)
def _gamma(p: Any, q: Any) -> Any:
    norm = q.concentration * (p.rate / q.rate).log()
    norm = norm + torch.lgamma(q.concentration) - torch.lgamma(p.concentration)
    slope = (p.concentration - q.concentration) * torch.digamma(p.concentration)
    return norm + slope + (q.rate - p.rate) * (p.concentration / p.rate)


@_same(Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - torch.log1p(-q.probs) / p.probs - q.logits


@_same(Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    euler = 0.57721566490153286060
    ratio, left, right = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    drift = torch.exp(left - right + (1 + ratio).lgamma())
    return -ratio.log() - left + right + ratio * euler + drift - (1 + euler)


@_same(HalfCauchy)
@_same(HalfNormal)
def _half(p: Any, q: Any) -> Any:
    return kl_divergence(p.base_dist, q.base_dist)


@_same(Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * torch.exp(-away / p.scale) - 1


@_same(Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    spread = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return spread - (4 * p.scale * q.scale).log()


@_same(Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@_same(Uniform)
def _uniform(p: Any, q: Any) -> Any:
    inside = (q.low <= p.low) & (q.high >= p.high)
    return torch.where(inside, ((q.high - q.low) / (p.high - p.low)).log(), inf)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Any:
    width, middle = p.high - p.low, (p.high + p.low - 2 * q.loc) / 2
    spread = (middle.pow(2) + width.pow(2) / 12) / (2 * q.scale.pow(2))
    return (math.sqrt(math.pi * 2) * q.scale / width).log() + spread


@_same(MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with                          "
            "different event shapes cannot be computed"
        )
    left, right = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, *left.shape[-2:])
    solved = torch.linalg.solve_triangular(right.expand(shape), left.expand(shape), upper=False)
    trace = solved.pow(2).sum((-2, -1))
    distance = squared_distance(right, q.loc - p.loc)
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + distance - p.event_shape[0])


@_same(Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@_same(TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@_same(LogNormal)
def _log_normal(p: Any, q: Any) -> Any:
    return kl_divergence(p.base_dist, q.base_dist)
