"""`vmap`: a function over batches, run once for each slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._tree import leaves_of, refilled


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """`func` over batches: runs it for each slice of its inputs and stacks what it returns.

    `in_dims` says along which dimension each input is sliced (None: not at all), `out_dims` where
    the new dimension goes. Random numbers need `randomness` "same" or "different". `chunk_size` is
    accepted; slices are computed one after the other.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )

    def called(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, size = _batch(func, args, in_dims)
        start = torch.get_rng_state()
        results = []
        for k in range(size):
            if randomness == "same":
                torch.set_rng_state(start)
            sliced = [x if d is None else x.select(d, k) for x, d in zip(leaves, dims, strict=True)]
            results.append(func(*refilled(args, sliced), **kwargs))
            if randomness == "error" and not k and _has_drawn(start):
                torch.set_rng_state(start)
                raise RuntimeError(
                    "vmap: called random operation while in randomness error mode. Please either "
                    "use the 'same' or 'different' randomness flags on vmap or perform the "
                    "randomness operation out of vmap"
                )
        return _stacked(func, results, out_dims)

    return called


def _has_drawn(start: Tensor) -> bool:
    return not torch.equal(start, torch.get_rng_state())


def _name(func: Callable) -> str:
    return getattr(func, "__name__", repr(func))


def _batch(func: Callable, args: tuple, in_dims: Any) -> tuple[list, list, int]:
    """The leaves of `args`, the dimension along which each is sliced, and the number of slices."""
    name = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not args:
        raise ValueError(
            f"{name}: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over"
            " a function with no inputs. The latter is unsupported."
        )
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"{name}: expected `in_dims` to be int or a (potentially nested) tuple matching the "
            f"structure of inputs, got: {type(in_dims)}."
        )
    leaves, dims = leaves_of(args), _dims_of(args, in_dims, name)
    sizes = set()
    for k, (x, d) in enumerate(zip(leaves, dims, strict=True)):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: Got in_dim={d} for an input but the input is of type {type(x)}. We cannot"
                " vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"{name}: Got in_dim={d} for some input, but that input is a Tensor of "
                f"dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < "
                f"{x.ndim}."
            )
        dims[k] = d % x.ndim
        sizes.add(x.shape[d])
    if not sizes:
        raise ValueError(f"{name}: at least one input must be mapped: all of `in_dims` are None")
    if len(sizes) > 1:
        found = [x.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None]
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{found} for the mapped dimension"
        )
    return leaves, dims, sizes.pop()


def _dims_of(tree: Any, dims: Any, name: str) -> list:
    """One dimension a leaf of `tree`; a single one holds for all below it."""
    if dims is None or isinstance(dims, int):
        return [dims for _ in leaves_of(tree)]
    children = list(tree.values()) if isinstance(tree, dict) else tree
    inner = list(dims.values()) if isinstance(dims, dict) else dims
    if not isinstance(children, (tuple, list)) or len(children) != len(inner):
        raise ValueError(
            f"{name}: in_dims is not compatible with the structure of inputs. in_dims has structure"
            f" {dims} but inputs has structure {tree}."
        )
    return [d for c, i in zip(children, inner, strict=True) for d in _dims_of(c, i, name)]


def _stacked(func: Callable, results: list, out_dims: Any) -> Any:
    form = results[0]
    columns = list(zip(*[leaves_of(each) for each in results], strict=True))
    dims = _dims_of(form, out_dims, f"vmap({_name(func)}, ..., out_dims={out_dims})")
    stacked = []
    for column, d in zip(columns, dims, strict=True):
        if d is None:
            stacked.append(column[0])
            continue
        if not isinstance(column[0], Tensor):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type "
                f"{type(column[0])}. Did you mean to set out_dims= to None for output?"
            )
        stacked.append(torch.stack(list(column), d))
    return refilled(form, stacked)
