"""Functions of functions: gradients, products with Jacobians, and batches (`torch.func`).

Everything goes through the same graph as `backward`. Forward mode is backward run twice, and `vmap`
runs its function once for each slice and stacks the results: right, but not faster than a loop.
"""

from elastic.tensor.func._batches import vmap
from elastic.tensor.func._modules import functional_call, functionalize, stack_module_state
from elastic.tensor.func._transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
)

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
