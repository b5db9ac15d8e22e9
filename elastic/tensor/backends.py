"""PyTorch's `backends` namespace: the switches that programs set, and what is there.

Setting one keeps its value and changes nothing: numpy and cupy choose their own libraries.
"""

from __future__ import annotations

from typing import Any

from elastic.tensor import backend

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


class _Library:
    """A library that operations might run on, with its switches as attributes."""

    def __init__(self, available: Any, **switches: Any):
        self._available = available
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """Whether operations can run on it."""
        return bool(self._available())

    def is_built(self) -> bool:
        """Whether it is part of this installation."""
        return self.is_available()

    def version(self) -> int | None:
        """Its version; None where it is not used."""
        return None


def _never() -> bool:
    return False


def _on_gpu() -> bool:
    return backend.gpu_count() > 0


cudnn = _Library(
    _never,
    enabled=True,
    benchmark=False,
    benchmark_limit=10,
    deterministic=False,
    allow_tf32=True,
)
cuda = _Library(
    _on_gpu,
    matmul=_Library(
        _on_gpu,
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=True,
        allow_bf16_reduced_precision_reduction=True,
        fp32_precision="none",
    ),
)
mkl = _Library(_never)
mkldnn = _Library(_never, enabled=True, deterministic=False, allow_tf32=True)
mps = _Library(_never)
openmp = _Library(_never)
opt_einsum = _Library(_never, enabled=False, strategy=None)


class _Cpu:
    """The processor."""

    @staticmethod
    def get_cpu_capability() -> str:
        """The instruction set that kernels are written for: numpy's own choice."""
        return "DEFAULT"


cpu = _Cpu()
