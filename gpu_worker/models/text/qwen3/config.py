"""Qwen3 4B as a configuration; only the widths are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_worker.models.text.qwen3.tokenizer import VOCABULARY_SIZE


@dataclass(frozen=True)
class Qwen3Widths:
    """What differs between a full-size and a small Qwen3 4B."""

    hidden: int = 2560
    feed_forward: int = 9728
    heads: int = 32
    key_heads: int = 8
    head: int = 128
    vocabulary: int = 151_936
    max_tokens: int = 512  #: of a prompt


#: Of the embedded models.
SMALL = Qwen3Widths(
    hidden=32, feed_forward=64, heads=4, key_heads=2, head=8, vocabulary=VOCABULARY_SIZE, max_tokens=64
)


def text_encoder_config(widths: Qwen3Widths) -> dict[str, Any]:
    """Return the configuration for `Qwen3Model`."""
    return {
        "vocab_size": widths.vocabulary,
        "hidden_size": widths.hidden,
        "intermediate_size": widths.feed_forward,
        "num_hidden_layers": 36,
        "num_attention_heads": widths.heads,
        "num_key_value_heads": widths.key_heads,
        "head_dim": widths.head,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
    }
