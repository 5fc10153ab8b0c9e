"""Attention in parts that a display card computes without a break of half a second.

Windows resets a card that works on one kernel for two seconds. At 2048 px one attention takes a GTX 1060
three seconds a row. Queries do not depend on each other, so a part of them is computed like the whole.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

#: What one kernel may take on the card.
_MAX_KERNEL_S = 0.5
#: Attention may be so much slower than the mixture of layers whose speed was measured.
_ATTENTION_SLOWDOWN = 2.0
#: Two products, of queries with keys and of scores with values; each number is multiplied and added.
_FLOPS_PER_SCORE = 4


def max_kernel_flops(tflops: float | None) -> float:
    """Return the arithmetic that one kernel may have at a measured speed; infinite where it is not known."""
    return math.inf if tflops is None else _MAX_KERNEL_S * tflops * 1e12 / _ATTENTION_SLOWDOWN


class AttentionProcessor:
    """The attention of a UNet: fused, which keeps no scores, and in parts where the whole is too long."""

    def __init__(self, max_flops: float = math.inf) -> None:
        self._max_flops = max_flops
        self._general = AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Called by diffusers' `Attention`."""
        if attention_mask is not None or not _is_plain(attn) or hidden_states.dim() != 3:
            general: Tensor = self._general(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
            return general
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        attended = attend(query, key, value, self._max_flops).transpose(1, 2).flatten(-2)
        output: Tensor = attn.to_out[1](attn.to_out[0](attended))
        return output


def attend(query: Tensor, key: Tensor, value: Tensor, max_flops: float) -> Tensor:
    """Return the attention of (rows, heads, tokens, width), as many queries at once as the limit allows."""
    rows, heads, num_queries, width = query.shape
    flops_per_query = _FLOPS_PER_SCORE * rows * heads * width * key.shape[2]
    if num_queries * flops_per_query <= max_flops:
        return F.scaled_dot_product_attention(query, key, value)
    part_size = max(1, int(max_flops // flops_per_query))
    return torch.cat(
        [F.scaled_dot_product_attention(part, key, value) for part in torch.split(query, part_size, dim=2)],
        dim=2,
    )


def _is_plain(attn: Any) -> bool:
    """Return whether it is the attention of a transformer block, with nothing before, beside or after it."""
    extras = (attn.spatial_norm, attn.group_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    has_extras = any(each is not None and each is not False for each in extras)
    return not (has_extras or attn.residual_connection or attn.rescale_output_factor != 1.0)
