"""Sequences of different lengths, padded or packed: what recurrent layers take."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence",
    "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences step by step: first the first element of each, then the second of those left.

    `batch_sizes` tells how many sequences have each step; `sorted_indices` where each sequence, of
    the longest first, stood before, and `unsorted_indices` the way back.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU.")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return it with its data on another device or in another dtype."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = [t if t is None else t.to(data.device) for t in self[2:]]
        return type(self)(data, self.batch_sizes, *moved)

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Return it with its data on a GPU."""
        return self.to(*args, **{"device": "cuda"} | kwargs)

    def cpu(self) -> Self:
        """Return it with its data in host memory."""
        return self.to(device="cpu")

    def double(self) -> Self:
        """Return it in float64."""
        return self.to(dtype=torch.float64)

    def float(self) -> Self:
        """Return it in float32."""
        return self.to(dtype=torch.float32)

    def half(self) -> Self:
        """Return it in float16."""
        return self.to(dtype=torch.float16)

    def long(self) -> Self:
        """Return it in int64."""
        return self.to(dtype=torch.int64)

    def int(self) -> Self:
        """Return it in int32."""
        return self.to(dtype=torch.int32)

    @property
    def is_cuda(self) -> bool:
        """Whether its data is on a GPU."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes `permutation`."""
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Return the sequences of a padded batch, packed.

    `enforce_sorted` expects the longest first; otherwise they are sorted here.
    Shapes: input (T, B, *), or (B, T, *) with batch_first; lengths (B).
    Raises: RuntimeError for lengths that are not positive or not sorted.
    """
    lengths = torch.as_tensor(lengths, dtype=torch.int64).cpu()
    order = None
    if not enforce_sorted:
        lengths, order = torch.sort(lengths, descending=True, stable=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    counts = lengths.tolist()
    steps = input.transpose(0, 1) if batch_first else input
    _check_lengths(counts, steps)
    sizes = [sum(n > t for n in counts) for t in range(counts[0])]
    if sizes[-1] == sizes[0]:
        data = steps[: counts[0]].reshape(-1, *steps.shape[2:])
    else:
        data = torch.cat([steps[t, :size] for t, size in enumerate(sizes)])
    return PackedSequence(data, torch.tensor(sizes, dtype=torch.int64), order, None)


def _check_lengths(lengths: list[int], steps: Tensor) -> None:
    if len(lengths) != steps.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} "
            f"(batch_size={steps.shape[1]})"
        )
    if any(a < b for a, b in itertools.pairwise(lengths)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if not lengths or lengths[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if lengths[0] > len(steps):
        raise RuntimeError(
            f"Expected length of the longest sequence, {lengths[0]}, to be at most the input's "
            f"{len(steps)} steps"
        )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (padded, lengths): the inverse of `pack_padded_sequence`.

    Shapes: padded (T, B, *), or (B, T, *) with batch_first, T being the longest length or
    `total_length`.
    """
    sizes = sequence.batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    lengths = torch.tensor([sum(size > k for size in sizes) for k in range(sizes[0])])
    rows = sequence.data.split(sizes)
    blank = sequence.data.detach().new_full((sizes[0], *sequence.data.shape[1:]), padding_value)
    parts = [row if len(row) == sizes[0] else torch.cat([row, blank[len(row) :]]) for row in rows]
    padded = torch.stack([*parts, *[blank] * (steps - len(sizes))])
    padded = padded.transpose(0, 1) if batch_first else padded
    back = sequence.unsorted_indices
    if back is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, back), lengths[back.cpu()]


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Return sequences of different lengths as one batch. Shapes: (L, *) each give (T, B, *)."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    rows = list(sequences)
    if not rows:
        raise RuntimeError("received an empty list of sequences")
    longest = max(len(row) for row in rows)
    padded = []
    for row in rows:
        rest = row.detach().new_full((longest - len(row), *row.shape[1:]), padding_value)
        padded.append(torch.cat([row, rest] if padding_side == "right" else [rest, row]))
    return torch.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """Return the sequences of a padded batch, each of its own length."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Return sequences of different lengths, packed."""
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Return the sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
