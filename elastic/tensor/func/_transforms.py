"""Gradients and products with Jacobians, as functions of functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._tree import leaves_of, mapped, refilled
from elastic.tensor.autograd.functional import pushed_forward


class _Depth(threading.local):
    value = 0  # how many transforms this thread is inside of
    outside = False  # whether operations were recorded outside of the outermost one


_depth = _Depth()


class _Level:
    """A transform that is running: inside it results keep their graph for the transform outside."""

    def __enter__(self) -> bool:
        _depth.value += 1
        if _depth.value == 1:
            _depth.outside = torch.is_grad_enabled()
        self.recording = torch.enable_grad()
        self.recording.__enter__()
        return _depth.value > 1

    def __exit__(self, *exc: object) -> None:
        self.recording.__exit__(*exc)
        _depth.value -= 1


def _tracked(tree: Any) -> Any:
    """`tree` with a new tensor for each tensor, whose gradient can be asked for."""

    def track(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()

    return mapped(track, tree)


def _keeps_graph(tree: Any, out: Any, tracked: Any) -> bool:
    """Whether the results have to stay in the graph of what is outside.

    That is what the arguments `tree` are part of, and tensors that the function that gave `out`
    reads beside its `tracked` arguments, such as the parameters of a module.
    """
    if _depth.value > 1 or any(isinstance(x, Tensor) and x.requires_grad for x in leaves_of(tree)):
        return True
    if not _depth.outside:
        return False
    own = {id(x) for x in leaves_of(tracked)}
    todo = [x.grad_fn for x in leaves_of(out) if isinstance(x, Tensor) and x.grad_fn is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if id(getattr(node, "variable", None)) not in own and not node.next_functions:
            return True
        found = {each for each, _ in node.next_functions if each is not None} - seen
        seen |= found
        todo += found
    return False


def _finished(tree: Any, keep: bool) -> Any:
    return tree if keep else mapped(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)


def _gradients(outputs: Any, tree: Any, seeds: Any, graph: bool) -> Any:
    """The gradients of `outputs` in the form of `tree`, zeros where there is no path."""
    leaves = leaves_of(tree)
    pairs = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
    found: Sequence = [None] * len(leaves)
    if pairs:
        roots, given = zip(*pairs, strict=True)
        found = torch.autograd.grad(
            roots, leaves, given, retain_graph=True, create_graph=graph, allow_unused=True
        )
    filled = [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]
    return refilled(tree, filled)


def _chosen(args: tuple, argnums: Any) -> Any:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for k in numbers:
        if not -len(args) <= k < len(args):
            raise RuntimeError(f"Got argnum={k}, but only {len(args)} positional inputs")
    chosen = tuple(args[k] for k in numbers)
    return chosen[0] if isinstance(argnums, int) else chosen


def _replaced(args: tuple, argnums: Any, chosen: Any) -> tuple:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    parts = (chosen,) if isinstance(argnums, int) else chosen
    result = list(args)
    for k, part in zip(numbers, parts, strict=True):
        result[k] = part
    return tuple(result)


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The function that gives the gradient of `func` and its value (a 0-d tensor).

    The gradient has the form of argument `argnums`, or of a tuple of them. With `has_aux`, `func`
    returns a pair, and the second of it comes along with the value.
    """

    def called(*args: Any, **kwargs: Any) -> tuple:
        with _Level():
            chosen = _tracked(_chosen(args, argnums))
            out = func(*_replaced(args, argnums, chosen), **kwargs)
            out, aux = _with_aux(out, has_aux, "grad_and_value")
            if not isinstance(out, Tensor):
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got "
                    f"{type(out)}"
                )
            if out.ndim:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got "
                    f"tensor with {out.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs "
                    "instead?"
                )
            keep = _keeps_graph(args, out, chosen)
            found = _gradients((out,), chosen, (torch.ones_like(out),), keep)
            value = (out, aux) if has_aux else out
            return _finished(found, keep), _finished(value, keep)

    return called


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The function that gives the gradient of `func`: see `grad_and_value`."""
    both = grad_and_value(func, argnums, has_aux)

    def called(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return called


def _with_aux(out: Any, has_aux: bool, name: str) -> tuple:
    if not has_aux:
        return out, None
    if not (isinstance(out, tuple) and len(out) == 2):
        raise RuntimeError(
            f"{name}(f, *args): output of function f should be a tuple: (output, aux) if has_aux is"
            " True"
        )
    return out


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The outputs of `func`, and the function from cotangents to gradients (one each primal)."""
    with _Level():
        args = _tracked(primals)
        out, aux = _with_aux(func(*args), has_aux, "vjp")
        keep = _keeps_graph(primals, out, args)

    def pulled(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        graph = keep or _depth.value > 0 or bool(create_graph)
        given = leaves_of(cotangents)
        graph = graph or any(isinstance(g, Tensor) and g.requires_grad for g in given)
        with torch.enable_grad():
            found = _gradients(leaves_of(out), args, given, graph)
        return tuple(_finished(found, graph))

    ends = (_finished(out, keep), pulled)
    return (*ends, aux) if has_aux else ends


def jvp(
    func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """The outputs of `func(*primals)`, and how they change along `tangents`."""
    if not isinstance(primals, tuple):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to "
            "call f(*primals)."
        )
    with _Level():
        args = _tracked(primals)
        out, aux = _with_aux(func(*args), has_aux, "jvp")
        keep = _keeps_graph((primals, tangents), out, args)
        outputs = tuple(leaves_of(out))
        found, _ = pushed_forward(
            outputs, tuple(leaves_of(args)), tuple(leaves_of(tangents)), True, False
        )
        filled = [
            torch.zeros_like(o) if t is None else t for t, o in zip(found, outputs, strict=True)
        ]
        ends = _finished(out, keep), _finished(refilled(out, filled), keep)
    return (*ends, aux) if has_aux else ends


def linearize(func: Callable, *primals: Any) -> tuple:
    """The outputs of `func(*primals)`, and the function from tangents to tangents there."""
    return func(*primals), lambda *tangents: jvp(func, primals, tangents)[1]


def _basis(x: Tensor) -> list[Tensor]:
    rows = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
    return [rows[k].reshape(tuple(x.shape)) for k in range(x.numel())]


def jacrev(
    func: Callable,
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """The function that gives the Jacobian of `func`, row by row through backward.

    Its form is that of the outputs, with that of argument `argnums` inside; each block has the
    shape of the output, then of the input. `chunk_size` is accepted.
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        with _Level():
            chosen = _tracked(_chosen(args, argnums))
            out = func(*_replaced(args, argnums, chosen), **kwargs)
            out, aux = _with_aux(out, has_aux, "jacrev")
            keep = _keeps_graph(args, out, chosen)

            def block(o: Tensor) -> Any:
                rows = [_gradients((o,), chosen, (seed,), keep) for seed in _basis(o)]
                columns = zip(*[leaves_of(row) for row in rows], strict=True)
                stacked = [
                    torch.stack(column).reshape(tuple(o.shape) + tuple(x.shape))
                    for column, x in zip(columns, leaves_of(chosen), strict=True)
                ]
                return refilled(chosen, stacked)

            found = _finished(mapped(block, out), keep)
        return (found, aux) if has_aux else found

    return called


def jacfwd(
    func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """The function that gives the Jacobian of `func`, column by column through forward mode.

    The result is that of `jacrev`.
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, argnums)
        inputs = leaves_of(chosen)
        aux: list = []

        def along(*leaves: Any) -> Any:
            filled = refilled(chosen, list(leaves))
            out, extra = _with_aux(
                func(*_replaced(args, argnums, filled), **kwargs), has_aux, "jacfwd"
            )
            aux.append(extra)
            return out

        blocks = []
        for k, x in enumerate(inputs):
            columns = [_column(along, inputs, k, tangent) for tangent in _basis(x)]
            blocks.append([_turned(parts, x) for parts in zip(*columns, strict=True)])
        out = along(*inputs)
        rows = [refilled(chosen, list(parts)) for parts in zip(*blocks, strict=True)]
        found = refilled(out, rows)
        return (found, aux[-1]) if has_aux else found

    return called


def _column(func: Callable, inputs: list, k: int, tangent: Tensor) -> list:
    tangents = [torch.zeros_like(x) for x in inputs]
    tangents[k] = tangent
    return leaves_of(jvp(func, tuple(inputs), tuple(tangents))[1])


def _turned(parts: Sequence[Tensor], x: Tensor) -> Tensor:
    """Columns of one block, stacked so that the dimensions of the input `x` come last."""
    stacked = torch.stack(list(parts), -1)
    return stacked.reshape(tuple(parts[0].shape) + tuple(x.shape))


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """The function that gives the second derivatives of `func`."""
    return jacfwd(jacrev(func, argnums), argnums)
