"""What all distributions share: shapes, checks, and the tools that their classes are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Number
from typing import TYPE_CHECKING, Any

import elastic.tensor as torch
from elastic.tensor import Size, Tensor
from elastic.tensor.distributions import constraints


class lazy_property:
    """An attribute that is computed when first read, and kept."""

    def __init__(self, compute: Callable):
        self.compute, self.__doc__, self.name = compute, compute.__doc__, compute.__name__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with torch.enable_grad():
            value = self.compute(instance)
        instance.__dict__[self.name] = value
        return value


def broadcast_all(*values: Any) -> tuple:
    """The values as tensors of one shape; numbers take the dtype of the first tensor.

    Raises: ValueError for anything but tensors and numbers.
    """
    if not all(isinstance(each, (Number, Tensor)) for each in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing "
            "__torch_function__."
        )
    first = next((each for each in values if isinstance(each, Tensor)), None)
    dtype = torch.get_default_dtype() if first is None else first.dtype
    tensors = [each if isinstance(each, Tensor) else torch.tensor(each, dtype=dtype)
               for each in values]  # fmt: skip
    return tuple(torch.broadcast_tensors(*tensors))


def sum_rightmost(value: Any, count: int) -> Any:
    """`value` with its last `count` dimensions summed."""
    return value.sum(tuple(range(-count, 0))) if count else value


def clamp_probs(probs: Any) -> Any:
    """Probabilities away from 0 and 1, so that their logarithms are finite."""
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Logarithms of probabilities; of odds when there are two outcomes."""
    clamped = clamp_probs(probs)
    return torch.log(clamped) - torch.log1p(-clamped) if is_binary else torch.log(clamped)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """The probabilities that `logits` stand for."""
    return torch.sigmoid(logits) if is_binary else torch.softmax(logits, dim=-1)


class Distribution:
    """Where numbers are drawn from: a batch of independent distributions of one kind.

    `batch_shape` counts the distributions, `event_shape` is that of one draw. A class says in
    `arg_constraints` what its parameters may be; they are attributes of the same names.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    if TYPE_CHECKING:  # the parameters

        def __getattr__(self, name: str) -> Any: ...

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Says whether parameters and values are checked unless told. Raises: ValueError."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Any = (),
        event_shape: Any = (),
        validate_args: bool | None = None,
    ):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self) -> None:
        try:
            expected = self.arg_constraints
        except NotImplementedError:
            expected = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = "
                "{}` or initialize the distribution with `validate_args=False` to turn off "
                "validation.",
                stacklevel=3,
            )
        for name, constraint in expected.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def _set(self, validate_args: bool | None, **parameters: Any) -> None:
        """The start of a distribution whose parameters are numbers or tensors that broadcast."""
        plain = all(isinstance(each, Number) for each in parameters.values())
        tensors = broadcast_all(*parameters.values())
        self.__dict__.update(zip(parameters, tensors, strict=True))
        shape = Size() if plain else tensors[0].size()
        Distribution.__init__(self, shape, validate_args=validate_args)

    @property
    def arg_constraints(self) -> dict:
        """What each parameter may be."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """What samples may be."""
        raise NotImplementedError

    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw."""
        return self._event_shape

    @property
    def mean(self) -> Any:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Any:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Any:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distributions for a larger batch; parameters are views."""
        new = self._get_checked_instance(Distribution, _instance)
        batch_shape = Size(batch_shape)
        for name, constraint in self.arg_constraints.items():
            if name in self.__dict__:
                kept = self.__dict__[name].shape
                event = kept[len(kept) - constraint.event_dim :]
                new.__dict__[name] = self.__dict__[name].expand((*batch_shape, *event))
        self._expand_more(new, batch_shape)
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        """Gives `new` what else the class has beside its parameters."""

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        return type(self).__new__(type(self)) if _instance is None else _instance

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws of shape `sample_shape + batch_shape + event_shape`, outside the graph."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws through which gradients reach the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Any:
        """`n` draws."""
        warnings.warn(
            "sample_n will be deprecated. Use .sample((n,)) instead", UserWarning, stacklevel=2
        )
        return self.sample(Size((n,)))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or probability, of `value`."""
        raise NotImplementedError

    def cdf(self, value: Any) -> Any:
        """The probability of at most `value`."""
        raise NotImplementedError

    def icdf(self, value: Any) -> Any:
        """The number that is not exceeded with probability `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values of a discrete distribution, along a new first dimension."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy, of shape `batch_shape`."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """e to the entropy."""
        return torch.exp(self.entropy())

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _validate_sample(self, value: Any) -> None:
        """Raises: ValueError for a value of another shape or outside the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        first = len(value.size()) - len(self._event_shape)
        if value.size()[first:] != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{value.size()} vs {self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.size()), reversed(expected), strict=False):
            if i not in (1, j) and j != 1:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape: "
                    f"{value.size()} vs {expected}."
                )
        if constraints.is_dependent(self.support):
            return
        if not self.support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({self.support!r}) of the distribution {self!r}, but "
                f"found invalid values:\n{value}"
            )

    def _checked(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        names = [name for name in self.arg_constraints if name in self.__dict__]
        values = (self.__dict__[name] for name in names)
        told = [each if each.numel() == 1 else each.size() for each in values]
        words = ", ".join(f"{name}: {each}" for name, each in zip(names, told, strict=True))
        return f"{type(self).__name__}({words})"


class ExponentialFamily(Distribution):
    """Distributions whose density is the exponential of a product of parameters and statistics."""
