"""Calling an op on tensors: promote, compute, and record what backward will read.

`op()` registers a line of the tables in `ops/` and returns what users call. Ops of one and two
tensors have a short path for the usual case (float32 or float64, nothing to promote); all else
goes through `apply`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._autograd import ComplexNode, Node, Output, next_order
from elastic.tensor._errors import PLACES, REPEATED, TRANSLATED, check_one_dtype, explained, repeats
from elastic.tensor._grad_mode import InferenceCell, begun, in_inference, mode, recording
from elastic.tensor._refusals import check_no_bools, refusal
from elastic.tensor._registry import F32, F64, HALF_DTYPES, REGISTRY, TENSORS, Op, Traits, widened
from elastic.tensor._tensor import Tensor, View, requires, wrap
from elastic.tensor.dtypes import FROM_NUMPY, combine, promote_types, scalar_dtype

ndarray, asarray = np.ndarray, np.asarray
_new = object.__new__
_ONE, _ONE_NOT, _NOT_ONE = (True,), (True, False), (False, True)


def op(
    name: str,
    forward: Callable,
    *vjps: Callable | None,
    joint: Callable | None = None,
    **traits: Any,
) -> Callable:
    """Registers an op; returns the function to call it with tensors.

    `joint` is one rule for all inputs in place of `vjps`, where gradients share work. For `traits`
    see `Traits`.
    """
    if name in REGISTRY:
        raise ValueError(f"every op has a name of its own, and there is a {name!r} already")
    entry = REGISTRY[name] = Op(name, forward, vjps, joint, Traits(**traits))
    short = {(0,): _unary, (0, 1): _binary}.get(entry.operands, _general)
    entry.call = (short if len(entry.names) == len(entry.operands) else _general)(entry)
    entry.call.__name__ = entry.call.__qualname__ = name
    setattr(TENSORS, name, entry.call)
    return entry.call


# The two functions below are what a small op costs: they are written out, without a call to spare.


def _unary(op: Op) -> Callable:
    differentiable = bool(op.vjps)
    keep_x, keep_out = op.plan(_ONE)

    def call(input: Any, *, out: Any = None) -> Any:
        if out is not None or not isinstance(input, Tensor):
            return apply(op, [input], out)
        array = input._array
        dtype = array.dtype
        if array.__class__ is not ndarray or (dtype is not F32 and dtype is not F64):
            return apply(op, [input])
        result = op.forward(np, array)
        if result.__class__ is not ndarray:
            result = asarray(result)
        t = _new(Tensor)
        t._array = result
        t._cell = cell = [0]
        t._grad = t._hooks = t._view = None
        on = recording(None)
        if on is None:
            on = begun()
        if not (
            on
            and differentiable
            and (input._requires_grad if input._view is None else requires(input))
        ):
            t._node = None
            t._requires_grad = False
            if in_inference():
                t._cell = InferenceCell((0,))
            return t
        t._requires_grad = True
        t._node = node = Node()
        node.op = op
        node.edges = (input._node or input,)
        node.values = (array if keep_x else None, result if keep_out else None)
        if keep_x:
            now = input._cell
            node.checks = ((0, now, now[0]), (1, cell, 0)) if keep_out else ((0, now, now[0]),)
        else:
            node.checks = ((1, cell, 0),) if keep_out else ()
        node.fits = node.hooks = None
        node._order = next_order()
        return t

    return call


def _binary(op: Op) -> Callable:
    differentiable = bool(op.vjps)
    plan_both, plan_x, plan_y = op.plan((True, True)), op.plan(_ONE_NOT), op.plan(_NOT_ONE)
    shapes_read = op.shapes_read
    numbers = 1 not in op.tensors and not op.traits.one_dtype

    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        if out is not None or not isinstance(input, Tensor):
            return apply(op, [input, other], out)
        a = input._array
        dtype = a.dtype
        if a.__class__ is not ndarray or (dtype is not F32 and dtype is not F64):
            return apply(op, [input, other])
        if isinstance(other, Tensor):
            b = other._array
            if b.dtype is not dtype:
                return apply(op, [input, other])
            wants_y = other._requires_grad if other._view is None else requires(other)
        elif (other.__class__ is float or other.__class__ is int) and numbers:
            b, wants_y = other, False
        else:
            return apply(op, [input, other])
        try:
            result = op.forward(np, a, b)
        except TRANSLATED as error:
            raise explained(op, (a, b), error) from None
        if result.__class__ is not ndarray:
            result = asarray(result)
        t = _new(Tensor)
        t._array = result
        t._cell = cell = [0]
        t._grad = t._hooks = t._view = None
        on = recording(None)
        if on is None:
            on = begun()
        if on and differentiable:
            wants_x = input._requires_grad if input._view is None else requires(input)
            if wants_x or wants_y:
                t._requires_grad = True
                t._node = node = Node()
                node.op = op
                if not wants_y:
                    keep_x, keep_y, keep_out = plan_x
                    node.edges = (input._node or input,)  # nothing is passed to `other`
                elif wants_x:
                    keep_x, keep_y, keep_out = plan_both
                    node.edges = (input._node or input, other._node or other)
                else:
                    keep_x, keep_y, keep_out = plan_y
                    node.edges = (None, other._node or other)
                node.values = (
                    a if keep_x else None,
                    b if keep_y else None,
                    result if keep_out else None,
                )
                checks: tuple = ()
                if keep_x:
                    now = input._cell
                    checks = ((0, now, now[0]),)
                if b is other:
                    node.fits = None
                else:
                    node.fits = None if a.shape == b.shape else _fits(a, b)
                    if keep_y:
                        now = other._cell
                        checks += ((1, now, now[0]),)
                if keep_out:
                    checks += ((2, cell, 0),)
                node.checks = checks
                if shapes_read:
                    node.values += (a.shape, getattr(b, "shape", None))
                node.hooks = None
                node._order = next_order()
                return t
        t._node = None
        t._requires_grad = False
        if in_inference():
            t._cell = InferenceCell((0,))
        return t

    return call


def _fits(a: Any, b: Any) -> tuple:
    return (a.shape, a.dtype), (b.shape, b.dtype) if b.__class__ is ndarray else None


def _general(op: Op) -> Callable:
    def call(*args: Any, out: Any = None, **named: Any) -> Any:
        return apply(op, op.bind(args, named), out)

    return call


def apply(op: Op, args: list, out: Tensor | None = None) -> Any:
    """The result of `op` on its bound arguments, recorded when a gradient is wanted."""
    if out is not None:
        check_overlap(out, args[0] if op.variadic else args)
    if op.operands:
        args = _promoted(op, args)
    raw = [_raw(each) for each in args]
    result = run(op, raw)
    if result.__class__ is tuple:
        several = _several(op, args, raw, result)
        return several if out is None else into(out, several)
    t = _view_of(op, args, result) if op.view else wrap(result)
    _record(op, args, raw, t)
    return t if out is None else into(out, t)


def _raw(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value._array
    if value.__class__ is list and value and isinstance(value[0], Tensor):
        return [each._array for each in value]
    return value


def run(op: Op, raw: list) -> Any:
    """What the forward gives for raw values: always ndarrays."""
    first = raw[0]
    if first.__class__ is ndarray:
        xp: Any = np
    else:
        first = _first_array(raw)
        xp = backend.xp_of(first)
        if xp is not np:  # numbers of the host may take part, arrays may not
            raw = [backend.beside(first, v) if _is_host_number(v) else v for v in raw]
    try:
        dtype = getattr(first, "dtype", F32)
        if dtype is not F32 and dtype is not F64 and op.wide and _any_half(raw):
            result = widened(op.forward, xp, raw)
        else:
            result = op.forward(xp, *raw)
    except TRANSLATED as error:
        raise explained(op, raw, error) from None
    if result.__class__ is tuple:
        return tuple([xp.asarray(each) for each in result])
    return result if backend.is_array(result) else xp.asarray(result)


def _is_host_number(value: Any) -> bool:
    return value.__class__ is ndarray and not value.ndim


def _any_half(raw: Sequence) -> bool:
    flat = [each for a in raw for each in (a if a.__class__ is list else (a,))]
    return any(getattr(each, "dtype", F32) in HALF_DTYPES for each in flat)


def _first_array(raw: Sequence) -> Any:
    for value in raw:
        if value.__class__ is list and value:
            value = value[0]
        if backend.is_array(value):
            return value
    return None


def _promoted(op: Op, args: list) -> list:
    """`args` with all operands in the dtype that PyTorch computes in."""
    for k in op.tensors:
        if not isinstance(args[k], Tensor):
            place = PLACES.get(op.name, "other") if k else "input"
            raise TypeError(
                f"{op.name}(): argument '{place}' (position {k + 1}) must be Tensor, "
                f"not {_type_name(args[k])}"
            )
    if _is_uniform(op, args) and "f" not in op.refuses:
        return args
    args = [_operand(each, k, op) for k, each in enumerate(args)]
    if op.traits.one_dtype:
        check_one_dtype(op, [args[k] for k in op.operands if args[k] is not None])
        return args
    dtype = result_type(*[args[k] for k in op.operands if args[k] is not None])
    if op.to_float and dtypes.rank(dtype) < 2:
        dtype = dtypes.get_default_dtype()
    if op.traits.subtracts:
        check_no_bools(args[:2])
    if op.refuses and dtypes.kind(dtype) in op.refuses:
        raise refusal(op.name, dtype)
    alone = not any(isinstance(args[k], Tensor) for k in op.operands)
    if alone and op.operands[0] == 0 and op.name not in _OF_NUMBERS:
        raise TypeError(
            f"{op.name}(): one of the arguments must be Tensor, not all of them numbers"
        )
    for k in op.operands:
        value = args[k]
        if isinstance(value, Tensor):
            if value._array.dtype != dtype.np:
                args[k] = TENSORS._cast(value, dtype.np)
        elif value is not None and op.vjps:
            args[k] = _number(value, dtype, alone)
    return args


_OF_NUMBERS = frozenset({"add", "sub", "mul", "div", "floor_divide", "_div_floor", "_div_trunc"})


def _type_name(value: Any) -> str:
    return "numpy.ndarray" if isinstance(value, ndarray) else type(value).__name__


def _is_uniform(op: Op, args: list) -> bool:
    """Whether nothing is to be promoted: tensors all of float32 or all of float64, and numbers."""
    found = None
    for k in op.operands:
        value = args[k]
        if isinstance(value, Tensor):
            dtype = value._array.dtype
            if (dtype is not F32 and dtype is not F64) or (
                found is not None and dtype is not found
            ):
                return False
            found = dtype
        elif value is not None and value.__class__ is not float and value.__class__ is not int:
            return False
    return found is not None


def _number(value: Any, dtype: dtypes.dtype, alone: bool) -> Any:
    """A Python number, for use beside arrays of `dtype`."""
    if dtypes.rank(dtype) == 1:
        return int(np.asarray(value).astype(dtype.np))  # wraps around, as PyTorch does
    # numpy takes a plain number for weak beside an array of float32, but not alone or by bfloat16.
    return np.asarray(value, dtype.np) if alone or dtype in dtypes.HALVES else value


def _operand(value: Any, k: int, op: Op) -> Any:
    if isinstance(value, (Tensor, int, float, complex)) or k not in op.operands or value is None:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, ndarray):
        return wrap(value)
    raise TypeError(
        f"{op.name}(): argument '{op.names[k]}' must be Tensor or Number, "
        f"not {type(value).__name__}"
    )


def result_type(*operands: Any) -> dtypes.dtype:
    """The dtype of an operation on these tensors and numbers."""
    strong = zero = weak = None
    for each in operands:
        if not isinstance(each, Tensor):
            d = scalar_dtype(each)
            weak = d if weak is None else promote_types(weak, d)
        elif each._array.ndim:
            d = FROM_NUMPY[each._array.dtype]
            strong = d if strong is None else promote_types(strong, d)
        else:
            d = FROM_NUMPY[each._array.dtype]
            zero = d if zero is None else promote_types(zero, d)
    return combine(combine(strong, zero), weak) or dtypes.get_default_dtype()


def _view_of(op: Op, args: list, array: Any) -> Tensor:
    """A tensor that shares memory, versions and history with the first argument (or a copy)."""
    x = args[0]
    t = wrap(array)
    if array.size and not backend.xp_of(array).may_share_memory(array, x._array):
        return t
    t._cell = x._cell
    parent = x._view
    step = ((op, tuple(_raw(each) for each in args[1:])),)
    if parent is None:
        t._view = View(x, step, mode.enabled)
    else:
        t._view = View(parent.base, parent.path + step, mode.enabled and parent.tracked)
    return t


def _record(op: Op, args: list, raw: list, t: Tensor) -> None:
    needs = wanted(op, args)
    if needs is not None and dtypes.rank(FROM_NUMPY[t._array.dtype]) > 1:
        t._node = new_node(op, args, raw, needs, t._array, t._cell)
        t._requires_grad = True


def wanted(op: Op, args: list) -> tuple | None:
    """Which inputs want a gradient, or None when none does."""
    if not mode.enabled or not (op.vjps or op.joint):
        return None
    inputs = args[0] if op.variadic else args[: len(op.vjps) or None]
    needs = tuple([isinstance(each, Tensor) and requires(each) for each in inputs])
    return needs if True in needs else None


def new_node(op: Op, args: list, raw: list, needs: tuple, result: Any, cell: list) -> Node:
    """The node of `op` on `args`, with what its vjps read."""
    node = ComplexNode() if op.traits.holomorphic and _is_complex(result) else Node()
    inputs = args[0] if op.variadic else args
    keep = op.plan(() if op.joint else needs)
    edges: list = []
    fits: list = []
    for k, need in enumerate(needs):  # `requires`, which made them, has brought views up to date
        t = inputs[k]
        edges.append((t._node or t) if need else None)
        fits.append((t._array.shape, t._array.dtype) if need else None)
    values: list = []
    checks: list = []
    for k, each in enumerate(args):
        values.append(raw[k] if keep[k] else None)
        if keep[k] and isinstance(each, Tensor):
            checks.append((k, each._cell, each._cell[0]))
    values.append(result if keep[-1] else None)
    if keep[-1]:
        checks.append((len(args), cell, cell[0]))
    if op.shapes_read:
        for each in raw:
            values.append(each.shape if each.__class__ is ndarray else _shape(each))
    node.op = op
    node.edges, node.fits = tuple(edges), tuple(fits)
    node.values, node.checks = values, tuple(checks)
    node.hooks = None
    node._order = next_order()
    return node


def _shape(value: Any) -> Any:
    if value.__class__ is list:
        return [_shape(each) for each in value]
    return getattr(value, "shape", None)


def _several(op: Op, args: list, raw: list, results: tuple) -> tuple:
    """Tensors of an op with several outputs. Only floating ones have a gradient."""
    tensors = tuple(wrap(each) for each in results)
    needs = wanted(op, args)
    if needs is None:
        return tensors
    node = new_node(op, args, raw, needs, results, [0])
    last = len(args)
    if node.values[last] is not None:  # type: ignore[index]
        inputs = [check for check in node.checks if check[0] != last]
        node.checks = (*inputs, *[(last, t._cell, 0) for t in tensors])
    floating = [k for k, t in enumerate(tensors) if dtypes.rank(FROM_NUMPY[t._array.dtype]) > 1]
    for k in floating:
        tensors[k]._node = node if len(floating) == 1 else Output(node, k)
        tensors[k]._requires_grad = True
    return tensors


def _is_complex(result: Any) -> bool:
    first = result[0] if result.__class__ is tuple else result
    return first.dtype.kind == "c"


def into(out: Any, result: Any) -> Any:
    """`out` (a tensor, or several), overwritten with `result`: what `out=` means."""
    if isinstance(result, tuple):
        pairs = zip(out, result, strict=True)
        return (
            type(result)(*[into(*pair) for pair in pairs])
            if _is_named(result)
            else tuple([into(*pair) for pair in pairs])
        )
    if result._requires_grad or (mode.enabled and requires(out)):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )
    check_cast(result._array, out._array)
    _check_written_once(out._array)
    if out._array.shape != result._array.shape:
        _resize(out, result._array)
    out._array[...] = result._array
    out._cell[0] += 1
    return out


def _check_written_once(array: Any) -> None:
    """Raises: RuntimeError when several elements of `array` lie in one place."""
    if repeats(array):
        raise RuntimeError(REPEATED)


def check_overlap(out: Any, inputs: Sequence) -> None:
    """Raises: RuntimeError when `out` shares memory with an input, but is not just that input."""
    for each in inputs:
        if not (isinstance(each, Tensor) and isinstance(out, Tensor)) or each is out:
            continue
        a, b = each._array, out._array
        same_form = a.shape == b.shape and a.strides == b.strides
        if same_form and backend.address(a) == backend.address(b):
            continue
        if backend.xp_of(a).may_share_memory(a, b):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                f"tensor refer to a single memory location. {_CLONE}"
            )


_CLONE = "Please clone() the tensor before performing the operation."


def _is_named(result: tuple) -> bool:
    return hasattr(result, "_fields")


def _resize(out: Tensor, array: Any) -> None:
    if out._array.size:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape "
            f"{list(out._array.shape)}, which does not match the required output shape "
            f"{list(array.shape)}. This behavior is deprecated, and in a future PyTorch release "
            "outputs will not be resized unless they have zero elements. You can explicitly reuse "
            "an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            UserWarning,
            stacklevel=4,
        )
    out._array = backend.xp_of(array).empty(array.shape, out._array.dtype)


def check_cast(source: Any, target: Any) -> None:
    """Raises: RuntimeError when a result may not be written into `target`."""
    a, b = FROM_NUMPY[source.dtype], FROM_NUMPY[target.dtype]
    if not dtypes.can_cast(a, b):
        raise RuntimeError(
            f"result type {a.title} can't be cast to the desired output type {b.title}"
        )
