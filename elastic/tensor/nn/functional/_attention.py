"""Attention: weighted means of values, by how well their keys fit a query.

Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._dispatch import op
from elastic.tensor._registry import TENSORS
from elastic.tensor.nn.functional._dropout import dropout
from elastic.tensor.nn.functional._linear import linear

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _weights(xp: Any, q: Any, k: Any, mask: Any, scale: float) -> Any:
    scores = xp.matmul(q, k.swapaxes(-1, -2))
    scores *= scale
    if mask is not None:
        scores = scores + mask
    top = scores.max(-1, keepdims=True) if scores.shape[-1] else 0
    scores -= xp.where(xp.isfinite(top), top, 0)
    xp.exp(scores, out=scores)
    total = scores.sum(-1, keepdims=True)
    scores /= total + (total == 0)  # a query that may see nothing gets 0
    return scores


def _attention(xp: Any, q: Any, k: Any, v: Any, mask: Any, scale: float) -> tuple:
    weights = _weights(xp, q, k, mask, scale)
    return xp.matmul(weights, v), weights


def _attention_vjp(
    F: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, scale: float, out: tuple
) -> list:
    g = g if g.__class__ is not dict else g[0]
    weights = out[1]
    if F is TENSORS:  # as part of the graph they have to be computed again
        scores = F.matmul(q, F.transpose(k, -1, -2)) * scale
        blind = F.sum(weights, -1, True) == 0
        shown = F.where(blind, 0.0, scores if mask is None else scores + mask)
        weights = F.where(blind, 0.0, F.softmax(shown, -1))
    by_weight = F.matmul(g, F.transpose(v, -1, -2))
    by_score = (by_weight - F.sum(by_weight * weights, -1, True)) * weights
    scaled = by_score * scale
    return [
        F.matmul(scaled, k),
        F.matmul(F.transpose(scaled, -1, -2), q),
        F.matmul(F.transpose(weights, -1, -2), g),
        by_score if mask is not None else None,
    ]


_fused = op(
    "_attention",
    _attention,
    joint=_attention_vjp,
    title="ScaledDotProductFlashAttentionForCpuBackward0",
)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Returns softmax(query @ key.T * scale + attn_mask) @ value, scale being 1 / sqrt(E).

    A bool mask is True where a query may look; `is_causal` lets it look at no later key.
    `enable_gqa` lets several heads of the query share one of key and value.
    Shapes: query (*, L, E), key (*, S, E), value (*, S, Ev), mask broadcast to (*, L, S).
    """
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(groups, -3) for each in (key, value))
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        blank = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
        attn_mask = blank.masked_fill(attn_mask.logical_not(), float("-inf"))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if not dropout_p:
        return _fused(query, key, value, attn_mask, scale)[0]
    scores = query.matmul(key.transpose(-2, -1)) * scale
    weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
    return dropout(weights, dropout_p).matmul(value)


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> None:
    if is_causal and mask is not None:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if len({q.dtype, k.dtype, v.dtype}) > 1:
        names = [str(t.dtype).removeprefix("torch.") for t in (q, k, v)]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if min(q.dim(), k.dim(), v.dim()) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{q.dim()} key.dim: {k.dim()} and value.dim: {v.dim()} instead."
        )
    if mask is not None and mask.dtype not in (torch.bool, torch.float32, q.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype} and  query.dtype: {q.dtype} instead."
        )


def added_mask(
    mask: Tensor | None,
    mask_name: str,
    other_type: torch.dtype | None,
    other_name: str,
    target_type: torch.dtype,
    check_other: bool = True,
) -> Tensor | None:
    """Returns `mask` as numbers to add: -inf where a bool mask is True."""
    if mask is None:
        return None
    floating = mask.is_floating_point()
    if mask.dtype != torch.bool and not floating:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for "
            "both instead.",
            UserWarning,
            stacklevel=3,
        )
    if floating:
        return mask
    blank = torch.zeros(mask.shape, dtype=target_type, device=mask.device)
    return blank.masked_fill(mask, float("-inf"))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Returns (attention of several heads, projected; its weights, or None).

    Shapes: query (L, N, E), key and value (S, N, *), all without N if there is no batch; masks
    True or -inf where nothing may be looked at: attn_mask (L, S) or (N * heads, L, S),
    key_padding_mask (N, S). The weights (N, L, S) are the mean of all heads, or (N, heads, L, S).
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    kind = None if attn_mask is None else attn_mask.dtype
    key_padding_mask = added_mask(
        key_padding_mask, "key_padding_mask", kind, "attn_mask", query.dtype
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    is_causal = is_causal and key_padding_mask is None and not need_weights
    if is_causal:  # then the mask only says so
        attn_mask = None
    attn_mask = added_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        separate = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _projected_apart(query, key, value, separate, in_proj_bias)
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _with_dimension(attn_mask, query, key, num_heads)
    extra = 0
    if bias_k is not None or bias_v is not None:
        k, v = _with_biases(k, v, bias_k, bias_v, static_k, static_v)
        extra += 1
    q, k, v = (_heads(t, num_heads) for t in (q, k, v))
    k = k if static_k is None else _checked_static(static_k, "static_k", k)
    v = v if static_v is None else _checked_static(static_v, "static_v", v)
    if add_zero_attn:
        k, v = (torch.cat([t, t.detach().new_zeros(len(t), 1, t.shape[2])], 1) for t in (k, v))
        extra += 1
    attn_mask = _merged(attn_mask, key_padding_mask, extra, query.shape[1], num_heads, k.shape[1])
    p = dropout_p if training else 0.0
    if need_weights:
        out, weights = _weighted(q, k, v, attn_mask, p)
    else:
        out, weights = scaled_dot_product_attention(q, k, v, attn_mask, p, is_causal), None
    length, batch, width = query.shape
    out = linear(out.transpose(0, 1).reshape(length * batch, width), out_proj_weight, out_proj_bias)
    out = out.reshape(length, batch, -1)
    if weights is not None:
        weights = weights.reshape(batch, num_heads, length, k.shape[1])
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    return out if batched else out.squeeze(1), weights


def _weighted(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float
) -> tuple[Tensor, Tensor | None]:
    """Attention and its weights."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])).matmul(k.transpose(-2, -1))
    weights = (scores if mask is None else scores + mask).softmax(-1)
    weights = dropout(weights, p) if p > 0 else weights
    return weights.matmul(v), weights


def _heads(t: Tensor, count: int) -> Tensor:
    """(S, N, E) as (N * heads, S, E / heads)."""
    steps, batch, width = t.shape
    return t.reshape(steps, batch * count, width // count).transpose(0, 1)


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple:
    """The three projections, in one product where their inputs are the same."""
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if key is value and query is key:
        return linear(query, weight, bias).chunk(3, -1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return _projected_apart(query, key, value, weight.chunk(3), biases)


def _projected_apart(query: Tensor, key: Tensor, value: Tensor, weights: Any, biases: Any) -> tuple:
    for name, weight in zip("qkv", weights, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    if biases is None:
        biases = (None,) * 3
    elif isinstance(biases, Tensor):
        biases = biases.chunk(3)
    inputs = zip((query, key, value), weights, biases, strict=True)
    return tuple(linear(t, weight, bias) for t, weight, bias in inputs)


def _with_biases(
    k: Tensor, v: Tensor, bias_k: Any, bias_v: Any, static_k: Any, static_v: Any
) -> tuple[Tensor, Tensor]:
    """Key and value with one more step, the same for the whole batch."""
    if bias_k is None or bias_v is None:
        have, lack = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{have} is set but {lack} is None")
    if static_k is not None:
        raise AssertionError("bias cannot be added to static key.")
    if static_v is not None:
        raise AssertionError("bias cannot be added to static value.")
    batch = k.shape[1]
    return (
        torch.cat([k, bias_k.repeat(1, batch, 1)]),
        torch.cat([v, bias_v.repeat(1, batch, 1)]),
    )


def _merged(
    mask: Tensor | None, padding: Tensor | None, extra: int, batch: int, heads: int, length: int
) -> Tensor | None:
    """Both masks together; the `extra` steps at the end may be looked at."""
    mask, padding = (
        t if t is None or not extra else torch.constant_pad_nd(t, (0, extra))
        for t in (mask, padding)
    )
    if padding is None:
        return mask
    for k, size in enumerate((batch, length)):
        if padding.shape[k] != size:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{k}] to be {size}, but got {padding.shape[k]}"
            )
    wide = padding.reshape(batch, 1, 1, length).expand(-1, heads, -1, -1)
    wide = wide.reshape(batch * heads, 1, length)
    return wide if mask is None else mask + wide


def _with_dimension(mask: Tensor | None, query: Tensor, key: Tensor, heads: int) -> Tensor | None:
    if mask is None:
        return None
    shape = (query.shape[0], key.shape[0])
    expected = shape if mask.dim() == 2 else (query.shape[1] * heads, *shape)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}."
        )
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _checked_static(given: Tensor, name: str, own: Tensor) -> Tensor:
    for k in (0, 2):
        if given.shape[k] != own.shape[k]:
            raise AssertionError(
                f"expecting {name}.size({k}) of {own.shape[k]}, but got {given.shape[k]}"
            )
    return given


def _check_ranks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padding: Tensor | None,
    mask: Tensor | None,
    heads: int,
) -> bool:
    """Whether there is a batch. Raises: AssertionError when ranks do not fit together."""
    rank = query.dim()
    if rank not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor"
        )
    case = f"For {'batched' if rank == 3 else 'unbatched'} ({rank}-D) `query`, expected "
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(
            f"{case}`key` and `value` to be {rank}-D but found {key.dim()}-D and {value.dim()}-D "
            "tensors respectively"
        )
    if padding is not None and padding.dim() != rank - 1:
        raise AssertionError(
            f"{case}`key_padding_mask` to be `None` or {rank - 1}-D but found {padding.dim()}-D "
            "tensor instead"
        )
    if mask is not None and mask.dim() not in (2, 3):
        raise AssertionError(
            f"{case}`attn_mask` to be `None`, 2-D or 3-D but found {mask.dim()}-D tensor instead"
        )
    if mask is not None and rank == 2 and mask.dim() == 3:
        expected = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {mask.shape}"
            )
    return rank == 3


def _check_sizes(
    query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, separate: bool
) -> None:
    if query.shape[2] != width:
        raise AssertionError(
            f"was expecting embedding dimension of {width}, but got {query.shape[2]}"
        )
    if width % heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {heads}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
        )
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
