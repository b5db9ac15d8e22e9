"""Normalisation: over the batch, over the features, over groups of channels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn import init
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


class _NormBase(Module):
    """What norms with running statistics share.

    Their float buffers are averages over batches, so over micro-batches they may be averaged too:
    training recognises this class by that.
    """

    _version = 2  # since 2, state_dict has num_batches_tracked

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        placed = {"device": device, "dtype": dtype}
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        _register_affine(self, num_features, affine, affine and bias, placed)
        self._register_statistics(placed)
        self.reset_parameters()

    def _register_statistics(self, placed: dict) -> None:
        tracked = self.track_running_stats
        size = self.num_features
        self.register_buffer("running_mean", torch.zeros(size, **placed) if tracked else None)
        self.register_buffer("running_var", torch.ones(size, **placed) if tracked else None)
        batches = torch.tensor(0, dtype=torch.int64, device=placed["device"]) if tracked else None
        self.register_buffer("num_batches_tracked", batches)

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Start again: statistics forgotten, weight 1, bias 0."""
        self.reset_running_stats()
        _reset_affine(self)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, metadata: dict, *rest: Any
    ) -> None:
        key = prefix + "num_batches_tracked"
        if (metadata.get("version") or 1) < 2 and self.track_running_stats:
            state_dict.setdefault(key, torch.tensor(0, dtype=torch.int64))
        super()._load_from_state_dict(state_dict, prefix, metadata, *rest)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and var over all but channels.

    The running statistics move by `momentum` towards each batch's, or with momentum None are the
    plain average of all batches. Evaluation uses them.
    Source: Ioffe and Szegedy, "Batch Normalization", 2015.
    """

    _ranks: tuple[int, ...]

    def forward(self, input: Tensor) -> Tensor:
        _check_rank(input, self._ranks)
        factor = self._advance() if self.training and self.track_running_stats else 0.0
        use_batch = self.training or self.running_mean is None
        running = (self.running_mean, self.running_var)
        if self.training and not self.track_running_stats:  # switched off after construction
            running = (None, None)
        return F.batch_norm(input, *running, self.weight, self.bias, use_batch, factor, self.eps)

    def _advance(self) -> float:
        """Count the batch; return how far the running statistics move towards it."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / int(self.num_batches_tracked)
        return 0.0 if self.momentum is None else self.momentum


def _check_rank(input: Tensor, ranks: tuple[int, ...]) -> None:
    if input.dim() not in ranks:
        expected = " or ".join(f"{rank}D" for rank in ranks)
        raise ValueError(f"expected {expected} input (got {input.dim()}D input)")


class BatchNorm1d(_BatchNorm):
    """Batch norm. Shapes: (N, C) or (N, C, L)."""

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm. Shapes: (N, C, H, W)."""

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm. Shapes: (N, C, D, H, W)."""

    _ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch norm of inputs with any number of dimensions from 2. Shapes: (N, C, *).

    It normalises over the batch of this process: what is joined here are gradients.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        settings = (num_features, eps, momentum, affine, track_running_stats, device, dtype)
        super().__init__(*settings, bias=bias)
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")
        if input.shape[1] == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")
        self._ranks = (input.dim(),)
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Return the module with every batch norm in it replaced by a SyncBatchNorm."""
        converted: Any = module
        if isinstance(module, _BatchNorm):
            settings = (module.num_features, module.eps, module.momentum, module.affine)
            bias = module.bias is not None
            converted = cls(*settings, module.track_running_stats, process_group, bias=bias)
            for name in ("weight", "bias") if module.affine else ():
                setattr(converted, name, getattr(module, name))
            for name in ("running_mean", "running_var", "num_batches_tracked", "training"):
                setattr(converted, name, getattr(module, name))
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class _InstanceNorm(_NormBase):
    """(x - mean) / sqrt(var + eps), with mean and var over the space of each channel and image.

    With running statistics, evaluation uses them. Source: Ulyanov et al., 2016.
    """

    _ranks: tuple[int, int]  # without and with a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        settings = (num_features, eps, momentum, affine, track_running_stats, device, dtype)
        super().__init__(*settings, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        _check_rank(input, self._ranks)
        dim = input.dim() - self._ranks[0]
        if input.shape[dim] != self.num_features:
            self._wrong_features(dim, input.shape[dim])
        batch = input if dim else input.unsqueeze(0)
        use_input = self.training or not self.track_running_stats
        running = (self.running_mean, self.running_var)
        momentum = self.momentum or 0.0
        out = F.instance_norm(
            batch, *running, self.weight, self.bias, use_input, momentum, self.eps
        )
        return out if dim else out.squeeze(0)

    def _wrong_features(self, dim: int, found: int) -> None:
        if self.affine:
            raise ValueError(
                f"expected input's size at dim={dim} to match num_features "
                f"({self.num_features}), but got: {found}."
            )
        warnings.warn(
            f"input's size at dim={dim} does not match num_features. You can silence this warning "
            "by not passing in num_features, which is not used because affine=False",
            stacklevel=3,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance norm. Shapes: (N, C, L) or (C, L)."""

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm. Shapes: (N, C, H, W) or (C, H, W)."""

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm. Shapes: (N, C, D, H, W) or (C, D, H, W)."""

    _ranks = (4, 5)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and var over the last dimensions.

    Shapes: input (*, *normalized_shape). Source: Ba, Kiros and Hinton, 2016.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        placed = {"device": device, "dtype": dtype}
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        bias = elementwise_affine and bias
        _register_affine(self, self.normalized_shape, elementwise_affine, bias, placed)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1 and bias 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / sqrt(mean(x ** 2) + eps) * weight over the last dimensions; eps None is the dtype's.

    Shapes: input (*, *normalized_shape). Source: Zhang and Sennrich, 2019.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        placed = {"device": device, "dtype": dtype}
        weight = torch.empty(self.normalized_shape, **placed) if elementwise_affine else None
        self.register_parameter("weight", None if weight is None else Parameter(weight))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Layer norm over groups of channels, with one weight and bias a channel.

    Shapes: input (N, num_channels, *). Source: Wu and He, 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        placed = {"device": device, "dtype": dtype}
        _register_affine(self, num_channels, affine, affine and bias, placed)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1 and bias 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """x / (k + alpha * m) ** beta, where m is the mean square of `size` neighbouring channels.

    Shapes: (N, C, *). Source: Krizhevsky et al., 2012, section 3.3.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """Local response norm of images, as PyTorch has it from Torch.

    The sum over neighbours goes (size - 1) // 2 channels each way. Where that leaves the first
    channel behind, its square counts nevertheless.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        reach = int((self.size - 1) / 2 + 1)
        square = input * input
        grown = F.pad(square.unsqueeze(1), (0, 0, 0, 0, reach - 1, reach - 1))
        total = F.avg_pool3d(grown, (2 * reach - 1, 1, 1), 1, divisor_override=1).squeeze(1)
        behind = torch.arange(input.shape[1]).reshape(1, -1, 1, 1) >= reach
        total = total + torch.where(behind, square[:, :1], 0.0)
        return input * (total * (self.alpha / self.size) + self.k).pow(-self.beta)


def _as_shape(size: int | Sequence[int]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def _register_affine(module: Module, shape: Any, weight: bool, bias: bool, placed: dict) -> None:
    for name, wanted in (("weight", weight), ("bias", bias)):
        parameter = Parameter(torch.empty(shape, **placed)) if wanted else None
        module.register_parameter(name, parameter)


def _reset_affine(module: Any) -> None:
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)
