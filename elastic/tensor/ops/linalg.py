"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from elastic.tensor._dispatch import op


def _turned(F: Any, x: Any) -> Any:
    return F.transpose(x, -1, -2)


def _matmul_x(F: Any, g: Any, y: Any, x_shape: tuple) -> Any:
    if len(y.shape) == 1:
        return F.unsqueeze(g, -1) * y
    if len(x_shape) == 1:
        return F.squeeze(F.matmul(y, F.unsqueeze(g, -1)), -1)
    return F.matmul(g, _turned(F, y))


def _matmul_y(F: Any, g: Any, x: Any, y_shape: tuple) -> Any:
    if len(x.shape) == 1:
        return F.unsqueeze(x, -1) * F.unsqueeze(g, -2) if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return F.squeeze(F.matmul(_turned(F, x), F.unsqueeze(g, -1)), -1)
    return F.matmul(_turned(F, x), g)


def _linear(xp: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    out = xp.matmul(x, weight.T)
    return out if bias is None else xp.add(out, bias, out=out)


def _linear_weight(F: Any, g: Any, x: Any) -> Any:
    rows, columns = F.reshape(g, (-1, g.shape[-1])), F.reshape(x, (-1, x.shape[-1]))
    return F.matmul(F.t(rows), columns)


def _of_ndim(name: str, first: int, second: int) -> Any:
    def forward(xp: Any, x: Any, y: Any) -> Any:
        for k, array, ndim in ((1, x, first), (2, y, second)):
            if array.ndim != ndim:
                raise RuntimeError(
                    f"{name}() expects argument {k} to have {ndim} dimensions, got {array.ndim}"
                )
        return xp.matmul(x, y)

    return forward


def _title(name: str) -> str:
    return "MmBackward0" if name == "matmul" else f"{name.capitalize()}Backward0"


def _product(name: str, forward: Any) -> Any:
    return op(name, forward, _matmul_x, _matmul_y, operands=(0, 1), title=_title(name))


_product("matmul", lambda xp, x, y: xp.matmul(x, y))
_product("mm", _of_ndim("mm", 2, 2))
_product("bmm", _of_ndim("bmm", 3, 3))
_product("mv", _of_ndim("mv", 2, 1))
_product("dot", _of_ndim("dot", 1, 1))
op(
    "outer",
    lambda xp, x, y: x[:, None] * y,
    lambda F, g, y: F.mv(g, y),
    lambda F, g, x: F.mv(F.t(g), x),
    operands=(0, 1),
)
op(
    "_linear",
    _linear,
    lambda F, g, weight: F.matmul(g, weight),
    _linear_weight,
    lambda F, g: g,
    operands=(0, 1, 2),
    title="AddmmBackward0",
)


def _einsum_vjp(F: Any, g: Any, equation: str, operands: list) -> list:
    inputs, output = equation.split("->")
    terms = inputs.split(",")
    results = []
    for k, term in enumerate(terms):
        others = [each for j, each in enumerate(operands) if j != k]
        sources = [each for j, each in enumerate(terms) if j != k]
        results.append(_einsum_back(F, g, output, sources, others, term, tuple(operands[k].shape)))
    return results


def _einsum_back(
    F: Any, g: Any, output: str, sources: list, others: list, term: str, shape: tuple
) -> Any:
    known = set(output).union(*sources)
    reachable = "".join(letter for letter in term if letter in known)
    part = F.einsum([g, *others], ",".join([output, *sources]) + "->" + reachable)
    for d, letter in enumerate(term):  # a letter of this term alone was summed: repeat it
        if letter not in known:
            part = F.unsqueeze(part, d)
    return F.expand(part, shape)


op(
    "einsum",
    lambda xp, operands, equation: xp.einsum(equation, *operands),
    joint=_einsum_vjp,
    variadic=True,
)
