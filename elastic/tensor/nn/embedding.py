"""Embedding: a table of vectors, looked up by index, one by one or in bags."""

from __future__ import annotations

from typing import Any, Self

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn import init
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """What both layers share: the table, its limits, and the row of the padding."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        settings: dict[str, Any],
        weight: Tensor | None,
        device: Any,
        dtype: torch.dtype | None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = self._checked_padding(padding_idx)
        self.__dict__.update(settings)
        if weight is None:
            table = torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(table)
            self.reset_parameters()
        elif list(weight.shape) != [num_embeddings, embedding_dim]:
            raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
        else:
            self.weight = Parameter(weight)

    def _checked_padding(self, padding_idx: int | None) -> int | None:
        count = self.num_embeddings
        if padding_idx is None or padding_idx == 0:
            return padding_idx
        if not -count <= padding_idx < count:
            word = "Padding_idx" if isinstance(self, Embedding) else "padding_idx"
            raise AssertionError(f"{word} must be within num_embeddings")
        return padding_idx % count

    def reset_parameters(self) -> None:
        """Draw the table from N(0, 1); the row of the padding is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with torch.no_grad():
                self.weight[self.padding_idx].fill_(0)

    @classmethod
    def _on(cls, embeddings: Tensor, freeze: bool, **settings: Any) -> Self:
        if embeddings.dim() != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        settings["_weight"] = embeddings
        layer = cls(*embeddings.shape, **settings)
        layer.weight.requires_grad = not freeze
        return layer


class Embedding(_Table):
    """weight[input].

    Shapes: input (*) of integers, weight (num_embeddings, embedding_dim), output
    (*, embedding_dim). The row `padding_idx` starts at zero and gets no gradient. `max_norm`
    shrinks, in place, the rows looked up; `scale_grad_by_freq` divides gradients by the number of
    look-ups; gradients are dense whatever `sparse` says.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        settings = {
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": scale_grad_by_freq,
            "sparse": sparse,
        }
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, settings, _weight, device, dtype
        )
        self.weight.requires_grad = not _freeze

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """Return a layer whose table is `embeddings`, not trained unless `freeze` is False."""
        return cls._on(
            embeddings,
            freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        shown = {
            "padding_idx": self.padding_idx,
            "max_norm": self.max_norm,
            "norm_type": None if self.norm_type == 2 else self.norm_type,
            "scale_grad_by_freq": self.scale_grad_by_freq or None,
            "sparse": self.sparse or None,
        }
        extra = [f"{name}={value}" for name, value in shown.items() if value is not None]
        return ", ".join([str(self.num_embeddings), str(self.embedding_dim), *extra])


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the rows of each bag, without the rows themselves.

    Bags are the rows of input (B, N), or an input (N) cut at `offsets` (B). Entries equal to
    `padding_idx` are left out. Output (B, embedding_dim).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        settings = {
            "max_norm": max_norm,
            "norm_type": norm_type,
            "scale_grad_by_freq": scale_grad_by_freq,
            "mode": mode,
            "sparse": sparse,
            "include_last_offset": include_last_offset,
        }
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, settings, _weight, device, dtype
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """Return a layer whose table is `embeddings`, not trained unless `freeze` is False."""
        return cls._on(
            embeddings,
            freeze,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        shown = {
            "max_norm": self.max_norm,
            "norm_type": None if self.norm_type == 2 else self.norm_type,
            "scale_grad_by_freq": self.scale_grad_by_freq or None,
            "mode": self.mode,
            "padding_idx": self.padding_idx,
        }
        extra = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return ", ".join([str(self.num_embeddings), str(self.embedding_dim), *extra])
