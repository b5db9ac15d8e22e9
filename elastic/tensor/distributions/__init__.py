"""Probability distributions: samples, densities, entropies and divergences."""

import sys

from elastic.tensor.distributions import (
    categorical,
    compound,
    constraints,
    continuous,
    discrete,
    distribution,
    gamma,
    kl,
    multivariate,
    transforms,
)
from elastic.tensor.distributions.categorical import (
    Categorical,
    Multinomial,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from elastic.tensor.distributions.compound import (
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    LogitRelaxedBernoulli,
    LogNormal,
    MixtureSameFamily,
    Pareto,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
    Weibull,
)
from elastic.tensor.distributions.continuous import Cauchy, Laplace, Normal, StudentT, Uniform
from elastic.tensor.distributions.discrete import (
    Bernoulli,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from elastic.tensor.distributions.distribution import Distribution, ExponentialFamily
from elastic.tensor.distributions.gamma import (
    Beta,
    Chi2,
    Dirichlet,
    Exponential,
    Gamma,
)
from elastic.tensor.distributions.kl import kl_divergence, register_kl
from elastic.tensor.distributions.multivariate import MultivariateNormal
from elastic.tensor.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    *("AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy"),
    *("Chi2", "ComposeTransform", "Dirichlet", "Distribution", "ExpTransform", "Exponential"),
    *("ExponentialFamily", "Gamma", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal"),
    *("Independent", "IndependentTransform", "InverseGamma", "Laplace", "LogNormal"),
    *("LogitRelaxedBernoulli", "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial"),
    *("MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical"),
    *("OneHotCategoricalStraightThrough", "Pareto", "Poisson", "PowerTransform"),
    *("RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform"),
    *("SoftmaxTransform", "SoftplusTransform", "StickBreakingTransform", "StudentT"),
    *("TanhTransform", "Transform", "TransformedDistribution", "Uniform", "Weibull"),
    *("identity_transform", "kl_divergence", "register_kl"),
]

# Where PyTorch has each class: programs import from these places too.
_PLACES = {
    categorical: "multinomial one_hot_categorical",
    compound: "gumbel half_cauchy half_normal independent inverse_gamma log_normal "
    "mixture_same_family pareto relaxed_bernoulli relaxed_categorical transformed_distribution "
    "weibull",
    continuous: "cauchy laplace normal studentT uniform",
    discrete: "bernoulli binomial geometric negative_binomial poisson",
    distribution: "exp_family utils",
    gamma: "beta chi2 dirichlet exponential",
    multivariate: "multivariate_normal",
}
for _family, _names in _PLACES.items():
    for _name in _names.split():
        globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _family
