"""Distributions made of others: transformed, taken together, or mixed."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Size
from elastic.tensor.distributions import constraints
from elastic.tensor.distributions.categorical import Categorical, ExpRelaxedCategorical
from elastic.tensor.distributions.constraints import positive, real
from elastic.tensor.distributions.continuous import Cauchy, Normal, Uniform
from elastic.tensor.distributions.discrete import _Trials
from elastic.tensor.distributions.distribution import (
    Distribution,
    broadcast_all,
    clamp_probs,
    sum_rightmost,
)
from elastic.tensor.distributions.gamma import Exponential, Gamma
from elastic.tensor.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    Transform,
)


class Independent(Distribution):
    """A distribution whose last batch dimensions are part of one draw."""

    arg_constraints: Any = {}

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ):
        batch, event = base_distribution.batch_shape, base_distribution.event_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                f"actual {reinterpreted_batch_ndims} vs {len(batch)}"
            )
        cut = len(batch) - reinterpreted_batch_ndims
        self.base_dist, self.reinterpreted_batch_ndims = (
            base_distribution,
            reinterpreted_batch_ndims,
        )
        super().__init__(batch[:cut], batch[cut:] + event, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        count = self.reinterpreted_batch_ndims
        new.base_dist = self.base_dist.expand(batch_shape + self.event_shape[:count])
        new.reinterpreted_batch_ndims = count

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        count = self.reinterpreted_batch_ndims
        base = self.base_dist.support
        return constraints.independent(base, count) if count else base

    mean = property(attrgetter("base_dist.mean"))
    mode = property(attrgetter("base_dist.mode"))
    variance = property(attrgetter("base_dist.variance"))

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Any:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """What becomes of `base_distribution` through one transform or a list of them."""

    arg_constraints: Any = {}

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ):
        if isinstance(transforms, Transform):
            transforms = [transforms]
        elif not isinstance(transforms, list):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        if not all(isinstance(each, Transform) for each in transforms):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        whole, self.transforms = ComposeTransform(transforms), transforms
        base = base_distribution
        shape, dims = base.batch_shape + base.event_shape, len(base.event_shape)
        if len(shape) < whole.domain.event_dim:
            raise ValueError(
                "base_distribution needs to have shape with size at least "
                f"{whole.domain.event_dim}, but got {shape}."
            )
        after = whole.forward_shape(shape)
        before = whole.inverse_shape(after)
        if shape != before:
            base = base.expand(before[: len(before) - dims])
        if whole.domain.event_dim > dims:
            base = Independent(base, whole.domain.event_dim - dims)
        self.base_dist = base
        inner, outer = whole.domain.event_dim, whole.codomain.event_dim
        cut = len(after) - max(outer, dims + outer - inner)
        super().__init__(after[:cut], after[cut:], validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        shape = batch_shape + self.event_shape
        for each in reversed(self.transforms):
            shape = each.inverse_shape(shape)
        kept = len(shape) - len(self.base_dist.event_shape)
        new.base_dist, new.transforms = self.base_dist.expand(shape[:kept]), self.transforms

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self.event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    def _transformed(self, x: Any) -> Any:
        for each in self.transforms:
            x = each(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Any:
        with torch.no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        y = self._checked(value)
        dims, total = len(self.event_shape), 0.0
        for each in reversed(self.transforms):
            x = each.inv(y)
            dims += each.domain.event_dim - each.codomain.event_dim
            growth = each.log_abs_det_jacobian(x, y)
            total = total - sum_rightmost(growth, dims - each.domain.event_dim)
            y = x
        base = self.base_dist
        return total + sum_rightmost(base.log_prob(y), dims - len(base.event_shape))

    def _rising(self, value: Any) -> Any:
        """`value`, or where the transforms fall, what is left of one."""
        sign = math.prod(each.sign for each in self.transforms)
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Any) -> Any:
        for each in reversed(self.transforms):
            value = each.inv(value)
        return self._rising(self.base_dist.cdf(self.base_dist._checked(value)))

    def icdf(self, value: Any) -> Any:
        return self._transformed(self.base_dist.icdf(self._rising(value)))


class LogNormal(TransformedDistribution):
    """Numbers whose logarithm is normal."""

    arg_constraints = {"loc": real, "scale": positive}
    support = positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    loc = property(attrgetter("base_dist.loc"), doc="The mean of the logarithm.")
    scale = property(attrgetter("base_dist.scale"), doc="The standard deviation of the logarithm.")

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Any:
        squares = self.scale.pow(2)
        return squares.expm1() * (2 * self.loc + squares).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class InverseGamma(TransformedDistribution):
    """One over numbers of the gamma distribution."""

    arg_constraints = {"concentration": positive, "rate": positive}
    support = positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        base = Gamma(concentration, rate, validate_args=validate_args)
        turn = PowerTransform(-base.rate.new_ones(()))
        super().__init__(base, turn, validate_args=validate_args)

    concentration = property(
        attrgetter("base_dist.concentration"), doc="The shape of the gamma distribution."
    )
    rate = property(attrgetter("base_dist.rate"), doc="Of the gamma distribution.")

    @property
    def mean(self) -> Any:
        mean = self.rate / (self.concentration - 1)
        return torch.where(self.concentration > 1, mean, torch.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        less = self.concentration - 1
        spread = self.rate.square() / (less.square() * (self.concentration - 2))
        return torch.where(self.concentration > 2, spread, torch.inf)

    def entropy(self) -> Any:
        shape = self.concentration
        return shape + self.rate.log() + shape.lgamma() - (1 + shape) * shape.digamma()


class Gumbel(TransformedDistribution):
    """Gumbel's distribution, of the largest of many numbers."""

    arg_constraints = {"loc": real, "scale": positive}
    support = real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        info = torch.finfo(self.loc.dtype)
        plain = not any(isinstance(each, torch.Tensor) for each in (loc, scale))
        ends: Any = (info.tiny, 1 - info.eps)
        ends = ends if plain else tuple(torch.full_like(self.loc, each) for each in ends)
        steps = [
            *(ExpTransform().inv, AffineTransform(loc=0, scale=-torch.ones_like(self.scale))),
            *(ExpTransform().inv, AffineTransform(loc=loc, scale=-self.scale)),
        ]
        base = Uniform(ends[0], ends[1], validate_args=validate_args)
        super().__init__(base, steps, validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        y = (self.loc - self._checked(value)) / self.scale
        return (y - y.exp()) - self.scale.log()

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * 0.57721566490153286060

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def stddev(self) -> Any:
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Any:
        return self.stddev.pow(2)

    def entropy(self) -> Any:
        return self.scale.log() + (1 + 0.57721566490153286060)


class _Half(Distribution):
    """The positive half of a distribution around zero."""

    arg_constraints = {"scale": positive}
    support = constraints.nonnegative
    has_rsample = True
    _kind: Any

    def __init__(self, scale: Any, validate_args: bool | None = None):
        self.base_dist = self._kind(0, scale, validate_args=False)
        super().__init__(self.base_dist.batch_shape, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new.base_dist = self.base_dist.expand(batch_shape)

    scale = property(attrgetter("base_dist.scale"), doc="The scale of the whole distribution.")

    @property
    def mode(self) -> Any:
        return torch.zeros_like(self.scale)

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape).abs()

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Any) -> Any:
        log_prob = self.base_dist.log_prob(self._checked(value)) + math.log(2)
        return torch.where(value >= 0, log_prob, -torch.inf)

    def cdf(self, value: Any) -> Any:
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """Sizes of normal numbers around zero."""

    _kind = Normal

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """Sizes of Cauchy's numbers around zero."""

    _kind = Cauchy

    @property
    def mean(self) -> Any:
        return torch.full(self._extended_shape(), math.inf, dtype=self.scale.dtype)

    variance = property(attrgetter("base_dist.variance"))


class Pareto(TransformedDistribution):
    """Pareto's distribution of numbers above `scale`, that falls with power `alpha`."""

    arg_constraints = {"alpha": positive, "scale": positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        steps = [ExpTransform(), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(TransformedDistribution):
    """Weibull's distribution of lifetimes."""

    arg_constraints = {"scale": positive, "concentration": positive}
    support = positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(torch.ones_like(self.scale), validate_args=validate_args)
        steps = [
            PowerTransform(exponent=self.concentration_reciprocal),
            AffineTransform(loc=0, scale=self.scale),
        ]
        super().__init__(base, steps, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        super()._expand_more(new, batch_shape)
        new.concentration_reciprocal = new.concentration.reciprocal()

    @property
    def mean(self) -> Any:
        return self.scale * torch.exp(torch.lgamma(1 + self.concentration_reciprocal))

    @property
    def mode(self) -> Any:
        less = (self.concentration - 1) / self.concentration
        return self.scale * less ** self.concentration.reciprocal()

    @property
    def variance(self) -> Any:
        second = torch.exp(torch.lgamma(1 + 2 * self.concentration_reciprocal))
        first = torch.exp(2 * torch.lgamma(1 + self.concentration_reciprocal))
        return self.scale.pow(2) * (second - first)

    def entropy(self) -> Any:
        euler = 0.57721566490153286060
        return (
            euler * (1 - self.concentration_reciprocal)
            + torch.log(self.scale * self.concentration_reciprocal)
            + 1
        )


class LogitRelaxedBernoulli(_Trials):
    """Log-odds of relaxed outcomes of a trial."""

    support = real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ):
        self.temperature = temperature
        (shape,) = self._set_either(probs, logits)
        super().__init__(shape, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        super()._expand_more(new, batch_shape)
        new.temperature = self.temperature

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        uniforms = clamp_probs(torch.rand(shape, dtype=probs.dtype))
        odds = uniforms.log() - (-uniforms).log1p() + probs.log() - (-probs).log1p()
        return odds / self.temperature

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        diff = logits - value.mul(self.temperature)
        return self.temperature.log() + diff - 2 * diff.exp().log1p()


class _Relaxed(TransformedDistribution):
    """A relaxed distribution of outcomes, of one on logarithms."""

    has_rsample = True
    _base: Any
    _transform: Any

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ):
        base = self._base(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, self._transform(), validate_args=validate_args)

    temperature = property(attrgetter("base_dist.temperature"), doc="How soft the outcomes are.")
    logits = property(attrgetter("base_dist.logits"), doc="The logarithms of the odds.")
    probs = property(attrgetter("base_dist.probs"), doc="The probabilities.")


class RelaxedBernoulli(_Relaxed):
    """Outcomes of a trial between 0 and 1, that can be differentiated."""

    arg_constraints = _Trials.arg_constraints
    support = constraints.unit_interval
    _base, _transform = LogitRelaxedBernoulli, SigmoidTransform


class RelaxedOneHotCategorical(_Relaxed):
    """Almost one-hot vectors, that can be differentiated."""

    arg_constraints = Categorical.arg_constraints
    support = constraints.simplex
    _base, _transform = ExpRelaxedCategorical, ExpTransform


class MixtureSameFamily(Distribution):
    """A draw of one of the components along the last batch dimension, as `mixture` chooses."""

    arg_constraints: Any = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ):
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "torch.distributions.Distribution"
            )
        self._mixture_distribution, self._component_distribution = mixture, component
        count = mixture.logits.shape[-1]
        if component.batch_shape[-1] != count:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({component.batch_shape[-1]})"
            )
        self._num_component = count
        super().__init__(component.batch_shape[:-1], component.event_shape, validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._num_component = self._num_component
        whole = (*batch_shape, self._num_component)
        new._component_distribution = self._component_distribution.expand(whole)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _events(self, x: Any) -> Any:
        return x.reshape(x.shape + (1,) * len(self.event_shape))

    def _weighted(self, values: Any) -> Any:
        probs = self._events(self.mixture_distribution.probs)
        return torch.sum(probs * values, dim=-1 - len(self.event_shape))

    @property
    def mean(self) -> Any:
        return self._weighted(self.component_distribution.mean)

    @property
    def variance(self) -> Any:
        away = self.component_distribution.mean - self.mean.unsqueeze(-1 - len(self.event_shape))
        return self._weighted(self.component_distribution.variance) + self._weighted(away.pow(2.0))

    def sample(self, sample_shape: Any = ()) -> Any:
        with torch.no_grad():
            dim = len(sample_shape) + len(self.batch_shape)
            chosen = self.mixture_distribution.sample(sample_shape).unsqueeze(dim)
            drawn = self.component_distribution.sample(sample_shape)
            places = self._events(chosen).expand((*chosen.shape, *self.event_shape))
            return drawn.gather(dim, places).squeeze(dim)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value).unsqueeze(-1 - len(self.event_shape))
        log_prob = self.component_distribution.log_prob(value)
        weights = torch.log_softmax(self.mixture_distribution.logits, dim=-1)
        return torch.logsumexp(log_prob + weights, dim=-1)

    def cdf(self, value: Any) -> Any:
        value = self._checked(value).unsqueeze(-1 - len(self.event_shape))
        found = self.component_distribution.cdf(value)
        return torch.sum(found * self.mixture_distribution.probs, dim=-1)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self.mixture_distribution!r},\n"
            f"  {self.component_distribution!r})"
        )
