"""What PyTorch says when an op has no kernel for a dtype. An op names the kinds in `refuses`."""

from __future__ import annotations

from elastic.tensor import dtypes

# The kernel's name in the message, where it is not the op's with "_cpu"
_KERNELS = {
    "_div_floor": "div_floor_cpu", "_div_trunc": "div_trunc_cpu", "_polygamma": "polygamma",
    "addcdiv": "addcdiv_cpu_out", "addcmul": "addcmul_cpu_out", "bitwise_left_shift": "lshift_cpu",
    "bitwise_right_shift": "rshift_cpu", "ceil": "ceil_vml_cpu", "digamma": "digamma",
    "erf": "erf_vml_cpu", "erfc": "erfc_vml_cpu", "erfinv": "erfinv_vml_cpu",
    "floor": "floor_vml_cpu", "floor_divide": "div_floor_cpu", "i0": "i0_vml_cpu",
    "lerp": "lerp_kernel_scalar", "lgamma": "lgamma_vml_cpu", "pow": "pow",
    "round": "round_vml_cpu", "special_ndtr": "erf_vml_cpu", "trunc": "trunc_vml_cpu",
}  # fmt: skip

_NEVER_COMPLEX = "is not supported for complex"
_SENTENCES: dict[tuple[str, str], Exception] = {
    ("neg", "b"): RuntimeError(
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
        "invert a mask, use the `~` or `logical_not()` operator instead."
    ),
    ("sign", "c"): NotImplementedError(
        "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use "
        "torch.sgn instead."
    ),
    ("signbit", "c"): NotImplementedError("signbit is not implemented for complex tensors."),
    ("clamp", "c"): NotImplementedError(f"clamp {_NEVER_COMPLEX} types"),
    ("ceil", "c"): NotImplementedError(f"ceil {_NEVER_COMPLEX} inputs"),
    ("floor", "c"): NotImplementedError(f"floor {_NEVER_COMPLEX} inputs"),
    ("trunc", "c"): NotImplementedError(f"trunc {_NEVER_COMPLEX} inputs"),
    ("deg2rad", "c"): RuntimeError(f"deg2rad {_NEVER_COMPLEX} tensors."),
    ("rad2deg", "c"): RuntimeError(f"rad2deg {_NEVER_COMPLEX} tensors."),
    ("heaviside", "c"): RuntimeError("heaviside is not yet implemented for complex tensors."),
    ("isposinf", "c"): RuntimeError("isposinf does not support complex inputs."),
    ("isneginf", "c"): RuntimeError("isneginf does not support complex inputs."),
    **{
        (name, "c"): RuntimeError(f"{name} not implemented for complex tensors.")
        for name in ("fmax", "fmin", "maximum", "minimum")
    },
    ("addcdiv", "i"): RuntimeError(
        "Integer division with addcdiv is no longer supported, and in a future  release addcdiv "
        "will perform a true division of tensor1 and tensor2. The historic addcdiv behavior can "
        "be implemented as (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for "
        "integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future "
        "addcdiv behavior is just the latter implementation: (input + value * tensor1 / tensor2), "
        "for all dtypes."
    ),
}


def refusal(name: str, dtype: dtypes.dtype) -> Exception:
    """The error that PyTorch raises where op `name` meets tensors of `dtype`."""
    said = _SENTENCES.get((name, dtypes.kind(dtype)))
    if said is not None:
        return type(said)(*said.args)
    kernel = _KERNELS.get(name, f"{name.removeprefix('special_')}_cpu")
    return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.title}'")


def check_no_bools(operands: list) -> None:
    """Raises: RuntimeError when one of the two operands of a subtraction is of bools."""
    bools = [isinstance(x, bool) or getattr(x, "dtype", None) is dtypes.bool_ for x in operands]
    if all(bools):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` "
            "or `logical_xor()` operator instead."
        )
    if any(bools):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
            "trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
