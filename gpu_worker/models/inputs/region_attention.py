"""Attention from image to text where each region reads its own words."""

from __future__ import annotations

import math

import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor

from gpu_worker.device.attention import AttentionProcessor
from gpu_worker.models.inputs.regions import Regions, RegionState

#: Layers of so many image tokens show where things are: finer ones see texture, coarser ones the whole.
_MIN_TOKENS, _MAX_TOKENS = 64, 1600


class RegionalAttention(AttentionProcessor):
    """The usual attention; with regions, image tokens attend to their own reading of the prompt."""

    def __init__(self, state: RegionState, max_flops: float = math.inf) -> None:
        super().__init__(max_flops)
        self._state = state

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Called by diffusers in place of the attention itself."""
        regions = self._state.current
        if regions is None or encoder_hidden_states is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        query, key, value = (
            tokens.reshape(*tokens.shape[:2], attn.heads, -1).transpose(1, 2)
            for tokens in (
                attn.to_q(hidden_states),
                attn.to_k(encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        if regions.triggers is not None and _MIN_TOKENS <= query.shape[2] <= _MAX_TOKENS:
            self._state.record_map(attend_to_triggers(regions, query, key, attn.scale))
        bias = regions.bias_words(query.shape[2], key.shape[2], query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))
        return projected


def attend_to_triggers(regions: Regions, query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Return how much each image token attends to each person's trigger, (rows, people, h, w).

    It is the softmax over the words of that person's reading alone, as if there were no other.
    """
    if regions.triggers is None:
        raise ValueError("no triggers are looked for")
    # (rows, heads, readings, words, width)
    readings = key.reshape(*key.shape[:2], regions.num_readings, -1, key.shape[-1])
    scores = (query[:, :, None] @ readings.transpose(-1, -2)) * scale
    probabilities = scores.float().softmax(-1).mean(1)  # (rows, readings, queries, words)
    triggers = F.pad(regions.triggers, (0, probabilities.shape[-1] - regions.triggers.shape[-1]))
    attention = (probabilities @ triggers[..., None].to(probabilities.dtype)).squeeze(-1)
    return attention.reshape(*attention.shape[:2], *regions.find_size(query.shape[2]))
