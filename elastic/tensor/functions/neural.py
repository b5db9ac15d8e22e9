"""The functions of neural networks that PyTorch has in its namespace too: `torch.celu(x)`.

They are those of `nn.functional`, which is loaded when the first of them is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from elastic.tensor._publish import FUNCTIONS, METHODS, public
from elastic.tensor._tensor import Tensor


def _home(place: str = "functional") -> Any:
    return importlib.import_module(f"elastic.tensor.nn.{place}")


def _forwarded(name: str) -> Callable:
    def call(*args: Any, **named: Any) -> Any:
        return getattr(_home(), name)(*args, **named)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`nn.functional.{name}`."
    return call


_SAME = """
    alpha_dropout bilinear celu celu_ dropout feature_alpha_dropout hardshrink pairwise_distance
    pdist prelu relu_ rrelu rrelu_ selu selu_ threshold threshold_
"""
FUNCTIONS |= {name: _forwarded(name) for name in _SAME.split()}
METHODS |= {name: FUNCTIONS[name] for name in ("hardshrink", "prelu")}

# Losses, with their parameters here: they take the reduction as a number, 0 if none is given.
_REDUCTIONS = ("none", "mean", "sum")
_LOSSES = {
    "binary_cross_entropy_with_logits": "input target weight pos_weight reduction",
    "cosine_embedding_loss": "input1 input2 target margin reduction",
    "ctc_loss": "log_probs targets input_lengths target_lengths blank reduction zero_infinity",
    "hinge_embedding_loss": "input target margin reduction",
    "kl_div": "input target reduction log_target",
    "margin_ranking_loss": "input1 input2 target margin reduction",
    "poisson_nll_loss": "input target log_input full eps reduction",
    "triplet_margin_loss": "anchor positive negative margin p eps swap reduction",
}


def _loss(name: str) -> Callable:
    names = _LOSSES[name].split()

    def call(*args: Any, **named: Any) -> Tensor:
        given = dict(zip(names, args, strict=False)) | named
        given["reduction"] = _REDUCTIONS[given.get("reduction", 0)]
        return getattr(_home(), name)(**given)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`nn.functional.{name}`; `reduction` is 0 (none), 1 (mean) or 2 (sum)."
    return call


FUNCTIONS |= {name: _loss(name) for name in _LOSSES}


@public(method=False)
def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """The input, with elements zeroed at probability p and the others divided by 1 - p."""
    return _home().dropout(input, p, train, inplace=True)


@public(method=False)
def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """The input, overwritten with `alpha_dropout`."""
    return _home().alpha_dropout(input, p, train, inplace=True)


@public(method=False)
def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """The input, overwritten with `feature_alpha_dropout`."""
    return _home().feature_alpha_dropout(input, p, train, inplace=True)


@public(method=False)
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels. Shapes: (N, C, *)."""
    return _home("functional._dropout").feature_dropout(input, p, train, False)


@public(method=False)
def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """The input, overwritten with `feature_dropout`."""
    return _home("functional._dropout").feature_dropout(input, p, train, True)


@public(method=False)
def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[indices]; no gradient reaches the row `padding_idx`."""
    padding = None if padding_idx < 0 else padding_idx
    return _home().embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


@public(method=False)
def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norms of the slices along `dim`, with all other sizes 1; of all of it for -1."""
    return _home("utils.parametrizations").norm_except_dim(v, pow, dim)


def _network(kind: str) -> Callable:
    def call(*args: Any) -> tuple:
        return _home("functional._rnn").called(kind, *args)

    call.__name__ = call.__qualname__ = kind
    call.__doc__ = (
        "(output, last states ...) of layers: (input, states, weights, has_biases, layers, "
        "dropout, train, bidirectional, batch_first), or (data, batch_sizes, states, ...)."
    )
    return call


def _cell(kind: str) -> Callable:
    def call(input: Tensor, hx: Any, *weights: Tensor | None) -> Any:
        states: Sequence = hx if kind == "lstm" else (hx, None)
        found = _home("functional._rnn").step(kind, input, *states, *weights)
        return found if kind == "lstm" else found[0]

    call.__name__ = call.__qualname__ = f"{kind}_cell"
    call.__doc__ = "The states after one step: (input, states, w_ih, w_hh, b_ih, b_hh)."
    return call


_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
FUNCTIONS |= {kind: _network(kind) for kind in _KINDS}
FUNCTIONS |= {f"{kind}_cell": _cell(kind) for kind in _KINDS}
