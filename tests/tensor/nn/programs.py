"""Small programs around modules, run on PyTorch and on our stack: behind golden_programs.json.

`python tests/tensor/nn/programs.py`, run where PyTorch 2.13.0 is installed, writes the file anew.
A program takes the namespace and returns tensors and words; the seed is 0 before each.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden_programs.json")
PROGRAMS: dict[str, Callable] = {}


def program(function: Callable) -> Callable:
    """Adds a program to the table."""
    PROGRAMS[function.__name__] = function
    return function


def _trained(module: Any, *outputs: Any) -> list:
    """Outputs, and the gradients that their sum gives the parameters."""
    sum(each.sum() for each in outputs).backward()
    return [*outputs, *[p.grad for p in module.parameters()]]


def _recurrent(name: str, **settings: Any) -> Callable:
    def run(t: Any) -> list:
        module = getattr(t.nn, name)(2, 3, **settings)
        output, state = module(t.randn(5, 4, 2))
        states = state if isinstance(state, tuple) else (state,)
        return [repr(module), *module.state_dict(), *_trained(module, output, *states)]

    return run


def _packed(name: str, **settings: Any) -> Callable:
    def run(t: Any) -> list:
        module = getattr(t.nn, name)(2, 3, num_layers=2, bidirectional=True, **settings)
        rows = [t.randn(k, 2) for k in (3, 5, 2)]
        packed = t.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
        output, state = module(packed)
        states = state if isinstance(state, tuple) else (state,)
        return _trained(module, output.data, *states)

    return run


for _name in ("RNN", "LSTM", "GRU"):
    PROGRAMS[_name] = _recurrent(_name)
    PROGRAMS[f"{_name}-deep"] = _recurrent(
        _name, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3
    )
    PROGRAMS[f"{_name}-packed"] = _packed(_name)
PROGRAMS["RNN-relu"] = _recurrent("RNN", nonlinearity="relu", bias=False)
PROGRAMS["LSTM-projected"] = _recurrent("LSTM", proj_size=2)
PROGRAMS["LSTM-projected-packed"] = _packed("LSTM", proj_size=2)


@program
def cells(t: Any) -> list:
    """Single steps of each kind."""
    lstm, gru, rnn = t.nn.LSTMCell(2, 3), t.nn.GRUCell(2, 3), t.nn.RNNCell(2, 3)
    h, c = lstm(t.randn(4, 2))
    h, c = lstm(t.randn(4, 2), (h, c))
    end = rnn(t.randn(4, 2), gru(t.randn(4, 2), h))
    return _trained(lstm, end, c) + [p.grad for p in gru.parameters()]


@program
def lstm_second_order(t: Any) -> list:
    """The gradient of the size of a gradient."""
    module, x = t.nn.LSTM(2, 3), t.randn(4, 2, 2).requires_grad_()
    output, _ = module(x)
    (first,) = t.autograd.grad(output.square().sum(), x, create_graph=True)
    return list(t.autograd.grad(first.square().sum(), [x, *module.parameters()]))


@program
def attention(t: Any) -> list:
    """Self-attention with both masks, in training."""
    module = t.nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True, add_bias_kv=True)
    x = t.randn(2, 3, 4)
    hidden = t.tensor([[False, False, True], [False, False, False]])
    look = t.nn.Transformer.generate_square_subsequent_mask(3)
    return _trained(module, *module(x, x, x, hidden, True, look.isinf()))


@program
def attention_second_order(t: Any) -> list:
    """Second derivatives through the fused attention, with rows that see nothing."""
    q, k, v = (t.randn(2, 3, 4).requires_grad_() for _ in range(3))
    mask = t.tensor([[True, False, True], [False, False, False], [True, True, True]])
    out = t.nn.functional.scaled_dot_product_attention(q, k, v, mask)
    grads = t.autograd.grad(out.square().sum(), (q, k, v), create_graph=True)
    total = sum(g.square().sum() for g in grads)
    return [out, *grads, *t.autograd.grad(total, (q, k, v))]


@program
def transformer(t: Any) -> list:
    """Encoder and decoder, one layer each."""
    module = t.nn.Transformer(4, 2, 1, 1, 8, dropout=0.1, batch_first=True, norm_first=True)
    look = module.generate_square_subsequent_mask(3)
    return [repr(module), *_trained(module, module(t.randn(2, 5, 4), t.randn(2, 3, 4), None, look))]


@program
def encoder_without_padding(t: Any) -> list:
    """In evaluation PyTorch leaves the padding out, and gives 0 for it."""
    layer = t.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    module = t.nn.TransformerEncoder(layer, 2).eval()
    hidden = t.tensor([[False, False, True], [False, False, False]])
    with t.no_grad():
        return [module(t.randn(2, 3, 4), src_key_padding_mask=hidden)]


@program
def bags(t: Any) -> list:
    """EmbeddingBag in its three modes."""
    found = []
    index, starts = t.tensor([1, 2, 0, 3, 3, 1]), t.tensor([0, 2, 2, 5])
    for mode in ("sum", "mean", "max"):
        module = t.nn.EmbeddingBag(4, 2, mode=mode, padding_idx=0)
        found += [repr(module), *_trained(module, module(index, starts))]
    return found


@program
def embedding(t: Any) -> list:
    """A table with all its limits."""
    module = t.nn.Embedding(4, 3, 1, max_norm=1.0, scale_grad_by_freq=True)
    return [
        repr(module),
        *_trained(module, module(t.tensor([[0, 1, 3], [3, 3, 0]]))),
        module.weight,
    ]


@program
def ctc(t: Any) -> list:
    """Targets of several lengths, one of them empty."""
    x = t.randn(6, 3, 4).requires_grad_()
    targets, lengths = t.tensor([[1, 2, 2], [3, 1, 0], [0, 0, 0]]), t.tensor([3, 2, 0])
    found = []
    for reduction in ("mean", "none"):
        loss = t.nn.CTCLoss(reduction=reduction)(
            x.log_softmax(2), targets, t.tensor([6, 4, 5]), lengths
        )
        found += [loss, *t.autograd.grad(loss.sum(), x)]
    return found


@program
def adaptive_softmax(t: Any) -> list:
    """A head and two clusters."""
    module = t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0)
    x = t.randn(6, 8)
    output, loss = module(x, t.tensor([0, 5, 12, 3, 19, 9]))
    found = [repr(module), output, *_trained(module, loss)]
    return [*found, module.log_prob(x), module.predict(x)]


@program
def dropouts(t: Any) -> list:
    """The masks of all kinds of dropout."""
    F = t.nn.functional
    x = t.ones(2, 3, 4)
    return [
        F.dropout(x), F.dropout(t.ones(4, 3).t()), F.dropout1d(x), F.alpha_dropout(x, 0.4, True),
        F.feature_alpha_dropout(x, 0.4, True), F.rrelu(-x, training=True), F.gumbel_softmax(x),
        F.gumbel_softmax(x, hard=True, dim=0),
    ]  # fmt: skip


@program
def weight_norm(t: Any) -> list:
    """Lengths and directions, and a weight assigned."""
    module = t.nn.utils.parametrizations.weight_norm(t.nn.Linear(3, 4))
    found = [repr(module), *module.state_dict(), *_trained(module, module(t.ones(2, 3)))]
    module.weight = t.ones(4, 3)
    return [*found, module.weight, *module.state_dict().values()]


@program
def spectral_norm(t: Any) -> list:
    """A weight over its largest singular value."""
    module = t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(3, 4))
    found = [*module.state_dict(), *_trained(module, module(t.ones(2, 3)))]
    other = t.nn.utils.parametrizations.spectral_norm(t.nn.ConvTranspose2d(3, 4, 2)).eval()
    return [*found, *module.state_dict().values(), other.weight]


@program
def orthogonal(t: Any) -> list:
    """All maps, of all forms."""
    found = []
    for name, columns, rows in ((None, 3, 4), (None, 3, 3), ("cayley", 3, 5), ("matrix_exp", 5, 3)):
        layer = t.nn.Linear(columns, rows)
        module = t.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=name)
        found += [module.weight, *_trained(module, module(t.ones(2, columns)))]
    return found


@program
def hooked_norms(t: Any) -> list:
    """The older forms, and their removal."""
    found = []
    for name in ("weight_norm", "spectral_norm"):
        module = getattr(t.nn.utils, name)(t.nn.Linear(3, 4))
        found += [*module.state_dict(), *_trained(module, module(t.ones(2, 3)))]
        getattr(t.nn.utils, f"remove_{name}")(module)
        found += [*module.state_dict(), module(t.ones(2, 3))]
    return found


@program
def parametrized(t: Any) -> list:
    """Two parametrizations of one's own, copied, cached and removed."""

    class Symmetric(t.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x: Any) -> Any:
            return x.triu()

    class Positive(t.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.exp()

    P = t.nn.utils.parametrize
    module = t.nn.Linear(3, 3)
    P.register_parametrization(module, "weight", Symmetric())
    P.register_parametrization(module, "weight", Positive())
    found = [repr(module), *module.state_dict(), module.weight, copy.deepcopy(module).weight]
    with P.cached():
        found.append(str(module.weight is module.weight))
    P.remove_parametrizations(module, "weight")
    return [*found, repr(module), module.weight, type(module).__name__]


@program
def fused(t: Any) -> list:
    """A convolution and a linear layer with the norm after them."""
    conv, norm = t.nn.Conv2d(2, 3, 2), t.nn.BatchNorm2d(3)
    norm(conv(t.randn(4, 2, 5, 5)))
    linear, flat = t.nn.Linear(2, 3), t.nn.BatchNorm1d(3)
    flat(linear(t.randn(4, 2)))
    one = t.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    other = t.nn.utils.fuse_linear_bn_eval(linear.eval(), flat.eval())
    return [one.weight, one.bias, other.weight, other.bias, one(t.randn(1, 2, 3, 3))]


@program
def called_with_others(t: Any) -> list:
    """A module with other parameters, for one call."""
    module = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 2))
    call = t.nn.utils.stateless.functional_call
    return [call(module, {"0.weight": t.zeros(2, 2)}, (t.ones(1, 2),)), module(t.ones(1, 2))]


@program
def clipped(t: Any) -> list:
    """Gradients cut by norm and by value."""
    module = t.nn.Linear(3, 4)
    module(t.ones(2, 3)).square().sum().backward()
    clip = t.nn.utils
    norms = [clip.clip_grad_norm_(module.parameters(), 0.1)]
    norms.append(clip.clip_grad_norm_(module.parameters(), 0.01, norm_type=float("inf")))
    clip.clip_grad_value_(module.parameters(), 0.001)
    return [*norms, *[p.grad for p in module.parameters()]]


@program
def packed_sequences(t: Any) -> list:
    """There and back."""
    R = t.nn.utils.rnn
    rows = [t.arange(3.0), t.arange(5.0), t.arange(2.0)]
    packed = R.pack_sequence(rows, enforce_sorted=False)
    padded, lengths = R.pad_packed_sequence(packed, padding_value=-1.0, total_length=7)
    left = R.pad_sequence(rows, True, 9.0, "left")
    return [*packed, padded, lengths, left, *R.unpack_sequence(packed)]


@program
def initialised(t: Any) -> list:
    """All initialisers that draw."""
    init = t.nn.init
    return [
        init.trunc_normal_(t.empty(20)), init.trunc_normal_(t.empty(20), 0.0, 1.0, 1.0, 2.0),
        init.orthogonal_(t.empty(3, 5)),
        init.orthogonal_(t.empty(5, 2, 2), 2.0), init.sparse_(t.empty(6, 3), 0.4),
        init.dirac_(t.empty(4, 2, 3), 2), init.dirac_(t.empty(2, 3, 3, 3)),
        init.kaiming_normal_(t.empty(3, 4), 0.1, "fan_out"), init.xavier_uniform_(t.empty(3, 4)),
    ]  # fmt: skip


@program
def namespace(t: Any) -> list:
    """What is in the namespace itself too, with arguments of its own."""
    lstm, gru, cell = t.nn.LSTM(2, 3, 2, bidirectional=True), t.nn.GRU(2, 3), t.nn.LSTMCell(2, 3)
    zeros = t.zeros(4, 2, 3)
    weights = [p for each in lstm.all_weights for p in each]
    rows = t.randn(3, 4)
    return [
        t.celu(rows, 2.0), t.rrelu(rows, training=True), t.hardshrink(rows, 0.3),
        rows.prelu(t.ones(1)), t.dropout(rows, 0.5, True), t.dropout_(rows.clone(), 0.5, True),
        t.feature_dropout(t.ones(2, 3, 4), 0.5, True), t.alpha_dropout(rows, 0.5, True),
        t.kl_div(rows, rows.sigmoid(), 2), t.triplet_margin_loss(rows, -rows, rows + 1, 0.5),
        t.embedding(rows, t.tensor([1, 2])), t.norm_except_dim(rows), t.selu_(rows.clone()),
        *t.lstm(t.randn(5, 2, 2), (zeros, zeros), weights, True, 2, 0.0, True, True, False),
        *t.gru(t.randn(5, 2), t.tensor([3, 2]), t.zeros(1, 3, 3), list(gru.parameters()), True, 1,
               0.0, False, False),
        *t.lstm_cell(t.randn(4, 2), (t.zeros(4, 3), t.zeros(4, 3)), *cell.parameters()),
    ]  # fmt: skip


def computed(t: Any, name: str) -> list:
    """What a program gives: words, and the shapes and elements of tensors."""
    t.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = PROGRAMS[name](t)
    return [
        each
        if isinstance(each, str)
        else [list(each.shape), [float(v) for v in each.detach().double().reshape(-1).tolist()]]
        for each in found
    ]


def _write() -> None:
    import torch

    lines = []
    for name in PROGRAMS:
        found = [
            each if isinstance(each, str) else [each[0], [float(f"{v:.7g}") for v in each[1]]]
            for each in computed(torch, name)
        ]
        lines.append(f'"{name}": {json.dumps(found)}')
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    _write()
