"""elastic.tensor: PyTorch's names and meanings, on our own stack.

    import elastic.tensor as torch

Infinities and nan arise silently, as in PyTorch: a thread that records operations no longer gets
numpy's floating-point warnings.
"""

from __future__ import annotations

import importlib
from math import e, inf, nan, pi
from typing import Any

from elastic.tensor import _bind, autograd, backend, cuda, random, return_types
from elastic.tensor._creation import (
    as_tensor,
    asarray,
    empty,
    empty_like,
    empty_permuted,
    empty_strided,
    from_dlpack,
    from_numpy,
    frombuffer,
    full,
    full_like,
    get_default_device,
    is_tensor,
    ones,
    ones_like,
    scalar_tensor,
    set_default_device,
    tensor,
    zeros,
    zeros_like,
)
from elastic.tensor._dispatch import result_type
from elastic.tensor._generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from elastic.tensor._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from elastic.tensor._print import set_printoptions
from elastic.tensor._random import (
    bernoulli,
    binomial,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from elastic.tensor._sequences import (
    arange,
    eye,
    linspace,
    logspace,
    tril_indices,
    triu_indices,
)
from elastic.tensor._sequences import range_ as range
from elastic.tensor._tensor import Tensor
from elastic.tensor._types import (
    Size,
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from elastic.tensor.dtypes import (
    bfloat16,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)
from elastic.tensor.dtypes import bool_ as bool
from elastic.tensor.dtypes import float_ as float
from elastic.tensor.dtypes import int_ as int

Tensor.__module__ = __name__  # where users know it from
backend.keep_freed_memory()
_bind.bind()
for _name, _function in _bind.functions().items():
    globals().setdefault(_name, _function)
_bind.settle(globals())


# Built on this module or rarely needed, so loaded when first asked for
_MODULES = (
    *("amp", "cpu", "distributions", "fft", "func", "nn", "optim", "safetensors", "serialization"),
    *("backends", "signal", "special", "testing", "utils", "version"),
)
_LATER = {name: name for name in _MODULES}
_LATER |= {"load": "serialization", "save": "serialization", "to_dlpack": "utils.dlpack"}
_LATER |= {
    f"{name}_window": "signal.windows"
    for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")
}
_SETTINGS = """
    are_deterministic_algorithms_enabled compile get_deterministic_debug_mode
    get_float32_matmul_precision get_num_interop_threads get_num_threads
    is_anomaly_check_nan_enabled is_anomaly_enabled set_anomaly_enabled
    is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled set_default_tensor_type
    set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
    set_num_interop_threads set_num_threads set_warn_always use_deterministic_algorithms
"""
_LATER |= dict.fromkeys(_SETTINGS.split(), "_settings")
_TITLES = "BFloat16 Bool Byte Char Double Float Half Int Long Short"
_LATER |= {f"{title}Tensor": "_typed" for title in _TITLES.split()}
_LATER |= dict.fromkeys(("TypedStorage", "UntypedStorage"), "_storage")
_LATER |= {"__version__": "version", "vmap": "func", "cosine_similarity": "nn.functional"}
_AUTOCAST = """
    autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache
    get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype is_autocast_cache_enabled
    is_autocast_cpu_enabled is_autocast_enabled set_autocast_cache_enabled set_autocast_cpu_dtype
    set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype
"""
_LATER |= dict.fromkeys(_AUTOCAST.split(), "amp.autocast_mode")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'elastic.tensor' has no attribute {name!r}")
    module = importlib.import_module(f"elastic.tensor.{_LATER[name]}")
    return module if name == _LATER[name] else getattr(module, name)


__all__ = sorted(
    name
    for name, value in globals().items()
    if not name.startswith("_") and name not in ("Any", "annotations", "importlib")
)
