"""PyTorch's `backends` namespace: the switches that programs set, and what is there.

Setting one keeps its value and changes nothing: numpy and cupy choose their own libraries.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from elastic.tensor import backend

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


class _Library(ModuleType):
    """A library that operations might run on, with its switches as attributes.

    A module, for programs import it as one: `import torch.backends.cudnn as cudnn`.
    """

    def __init__(self, name: str, available: Any, **switches: Any):
        super().__init__(f"{__name__}.{name}")
        sys.modules[self.__name__] = self
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
    "cudnn",
    _never,
    enabled=True,
    benchmark=False,
    benchmark_limit=10,
    deterministic=False,
    allow_tf32=True,
)
cuda = _Library(
    "cuda",
    _on_gpu,
    matmul=_Library(
        "cuda.matmul",
        _on_gpu,
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=True,
        allow_bf16_reduced_precision_reduction=True,
        fp32_precision="none",
    ),
)
mkl = _Library("mkl", _never)
mkldnn = _Library("mkldnn", _never, enabled=True, deterministic=False, allow_tf32=True)
mps = _Library("mps", _never)
openmp = _Library("openmp", _never)
opt_einsum = _Library("opt_einsum", _never, enabled=False, strategy=None)


class _Cpu:
    """The processor."""

    @staticmethod
    def get_cpu_capability() -> str:
        """The instruction set that kernels are written for: numpy's own choice."""
        return "DEFAULT"


cpu = _Cpu()
