"""Recurrent layers and cells. The arithmetic is in `functional/_recurrence.py`."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import init
from elastic.tensor.nn.functional import _rnn
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter
from elastic.tensor.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _drawn(module: Module, hidden: int) -> None:
    """Draw all parameters from U(-b, b) with b = 1 / sqrt(hidden)."""
    bound = 1.0 / math.sqrt(hidden) if hidden > 0 else 0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters as `weight_ih_l0`, `bias_hh_l1_reverse`, and calls.

    Shapes: input (T, B, input_size), (B, T, input_size) with batch_first, (T, input_size) without
    a batch, or a PackedSequence; states (layers * directions, B, hidden_size).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        _check_dropout(dropout, num_layers)
        _check_types(bias=(bias, bool), batch_first=(batch_first, bool))
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: 2 if bidirectional else 1]:
                self._add_weights(layer, suffix, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def _add_weights(self, layer: int, suffix: str, placed: dict) -> None:
        rows, out = _GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        inputs = out * (1 + self.bidirectional) if layer else self.input_size
        shapes: dict[str, tuple] = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for name, shape in shapes.items():
            setattr(self, f"{name}_l{layer}{suffix}", Parameter(torch.empty(shape, **placed)))
        self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])

    def reset_parameters(self) -> None:
        """Draw all parameters from U(-b, b) with b = 1 / sqrt(hidden_size)."""
        _drawn(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: there is no layout of weights to prepare."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, in a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            return self._of_packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{self._title()}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        if hx is not None:
            self._check_rank(hx, batched)
        where = 0 if self.batch_first else 1
        x = input if batched else input.unsqueeze(where)
        states = self._states(x, hx, x.shape[where], batched)
        self._check_input(x, 3)
        self._check_states(states, x.shape[where])
        steps = x.transpose(0, 1) if self.batch_first else x
        length, rows, features = steps.shape
        out, h, c = self._run(steps.reshape(length * rows, features), (rows,) * length, states)
        out = out.reshape(length, rows, -1)
        out = out.transpose(0, 1) if self.batch_first else out
        if not batched:
            out, h, c = out.squeeze(where), h.squeeze(1), None if c is None else c.squeeze(1)
        return out, h if c is None else (h, c)

    def _of_packed(self, input: PackedSequence, hx: Any) -> tuple:
        sizes = input.batch_sizes.tolist()
        states = self._states(input.data, hx, sizes[0], True)
        states = tuple(_permuted(each, input.sorted_indices) for each in states)
        self._check_input(input.data, 2)
        self._check_states(states, sizes[0])
        out, *ends = self._run(input.data, sizes, states)
        h, c = (e if e is None else _permuted(e, input.unsorted_indices) for e in ends)
        packed = PackedSequence(
            out, input.batch_sizes, input.sorted_indices, input.unsorted_indices
        )
        return packed, h if c is None else (h, c)

    def _run(self, rows: Tensor, sizes: Any, states: tuple) -> tuple:
        h, c = states if self.mode == "LSTM" else (*states, None)
        return _rnn.network(
            self.mode.lower(),
            rows,
            sizes,
            h,
            c,
            [self._weights_of(names) for names in self._all_weights],
            2 if self.bidirectional else 1,
            self.dropout if self.training else 0.0,
        )

    def _weights_of(self, names: list[str]) -> tuple:
        found = [getattr(self, name) for name in names]
        biases = found[2:4] if self.bias else [None, None]
        return *found[:2], *biases, found[-1] if self.proj_size else None

    def _states(self, x: Tensor, hx: Any, batch: int, batched: bool) -> tuple:
        """(h, c) or (h,): those given, or zeros."""
        if hx is None:
            count = self.num_layers * (1 + self.bidirectional)
            sizes = [self.proj_size or self.hidden_size, self.hidden_size]
            return tuple(
                torch.zeros(count, batch, size, dtype=x.dtype, device=x.device)
                for size in sizes[: 1 + (self.mode == "LSTM")]
            )
        states = hx if self.mode == "LSTM" else (hx,)
        return tuple(states) if batched else tuple(each.unsqueeze(1) for each in states)

    def _title(self) -> str:
        return "RNN" if self.mode.startswith("RNN") else self.mode

    def _check_rank(self, hx: Any, batched: bool) -> None:
        rank, kind = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        if self.mode == "LSTM":
            if any(each.dim() != rank for each in hx):
                raise RuntimeError(
                    f"For {kind} input, hx and cx should also be {rank}-D but got "
                    f"({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
                )
        elif hx.dim() != rank:
            raise RuntimeError(
                f"For {kind} input, hx should also be {rank}-D but got {hx.dim()}-D tensor"
            )

    def _check_input(self, x: Tensor, rank: int) -> None:
        own = getattr(self, self._all_weights[0][0]).dtype
        if x.dtype != own:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({own}). Convert input: "
                f"input.to({own}), or convert model: model.to({x.dtype})"
            )
        if x.dim() != rank:
            raise RuntimeError(f"input must have {rank} dimensions, got {x.dim()}")
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {x.shape[-1]}"
            )

    def _check_states(self, states: tuple, batch: int) -> None:
        count = self.num_layers * (1 + self.bidirectional)
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)
        for k, state in enumerate(states):
            expected = (count, batch, sizes[k])
            if tuple(state.shape) != expected:
                name = f"hidden[{k}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(state.shape)}")

    def extra_repr(self) -> str:
        shown: dict[str, Any] = {
            "proj_size": self.proj_size or None,
            "num_layers": None if self.num_layers == 1 else self.num_layers,
            "bias": None if self.bias is True else self.bias,
            "batch_first": self.batch_first or None,
            "dropout": self.dropout or None,
            "bidirectional": self.bidirectional or None,
        }
        extra = [f"{name}={value}" for name, value in shown.items() if value is not None]
        return ", ".join([str(self.input_size), str(self.hidden_size), *extra])


def _permuted(state: Tensor, order: Tensor | None) -> Tensor:
    return state if order is None else state.index_select(1, order)


def _check_dropout(dropout: Any, num_layers: int) -> None:
    number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            UserWarning,
            stacklevel=4,
        )


def _check_types(**given: tuple[Any, type]) -> None:
    for name, (value, expected) in given.items():
        if not isinstance(value, expected):
            raise TypeError(
                f"{name} should be of type {expected.__name__}, got: {type(value).__name__}"
            )


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        _check_types(**{name: (value, int)})
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu, of several layers and directions."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory, of several layers and directions; `proj_size` projects h.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; with a forget gate.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units, of several layers and directions.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014; the reset
    gate applies after the product with W_hn.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """One step of a recurrent layer. Shapes: input (B, input_size) or (input_size), states too."""

    nonlinearity = "tanh"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        placed: dict = {"device": device, "dtype": dtype}
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(torch.empty(rows, input_size, **placed))
        self.weight_hh = Parameter(torch.empty(rows, hidden_size, **placed))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(torch.empty(rows, **placed)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from U(-b, b) with b = 1 / sqrt(hidden_size)."""
        _drawn(self, self.hidden_size)

    def _step(self, kind: str, input: Tensor, states: tuple | None) -> tuple:
        """The states after one step; `states` of None are zeros."""
        title = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{title}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for k, state in enumerate(states or ()):
            if state.dim() not in (1, 2):
                name = f"hx[{k}]" if kind == "lstm" else "hidden"
                raise ValueError(
                    f"{title}: Expected {name} to be 1D or 2D, got {state.dim()}D instead"
                )
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if states is None:
            zeros = torch.zeros(len(x), self.hidden_size, dtype=x.dtype, device=x.device)
            states = (zeros, zeros)
        elif not batched:
            states = tuple(state.unsqueeze(0) for state in states)
        h, c = states[0], states[1] if kind == "lstm" else None
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        found = _rnn.step(kind, x, h, c, *weights)
        return found if batched else tuple(each.squeeze(0) for each in found)

    def extra_repr(self) -> str:
        bias = "" if self.bias is True else f", bias={self.bias}"
        other = self.nonlinearity
        nonlinearity = "" if other == "tanh" else f", nonlinearity={other}"
        return f"{self.input_size}, {self.hidden_size}{bias}{nonlinearity}"


class RNNCell(RNNCellBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(f"rnn_{self.nonlinearity}", input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: takes and returns (h, c)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple:
        return self._step("lstm", input, hx)


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("gru", input, None if hx is None else (hx,))[0]
