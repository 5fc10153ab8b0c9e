"""Encode prompts with one of CLIP's text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gpu_worker.models.text.clip.prompts import TokenChunk, parse_prompt, split_chunks
from gpu_worker.models.text.clip.tokenizer import CHUNK_TOKENS, MAX_TOKENS

#: Captions of one training, with their variants.
_MAX_CACHED_IDS = 64
#: The activations are around 1. A smaller mean is rounding error, and scaling by it would only amplify that.
_MIN_MEAN = 1e-6


@dataclass(frozen=True)
class ClipEmbeddings:
    """What an encoder returns for prompts: (prompts, tokens, width), and (prompts, width) if it pools."""

    hidden_states: Tensor = field(repr=False)
    pooled: Tensor | None = field(default=None, repr=False)


class ClipEncoder:
    """A text encoder with its tokenizer, and which of its layers is used."""

    def __init__(
        self,
        model: CLIPTextModel | CLIPTextModelWithProjection,
        tokenizer: CLIPTokenizer,
        uses_penultimate: bool = False,
    ) -> None:
        """Take the last layer with its norm, or with `uses_penultimate` the one before it without."""
        self._model, self._tokenizer, self._uses_penultimate = model, tokenizer, uses_penultimate
        #: Ids of captions on the device: sending them in each step would make the program wait for it.
        self._ids_cache: LRUCache[tuple[object, ...], Tensor] = LRUCache(_MAX_CACHED_IDS)

    def encode_prompts(
        self, prompts: Sequence[str], clip_skip: int | None, max_token_length: int
    ) -> ClipEmbeddings:
        """Return the embeddings of prompts that are truncated to 77 tokens with marks.

        `clip_skip` is the layer that is used, counted from the last, which is 1. With a `max_token_length` of
        150 or 225 the embeddings are longer: every 75 tokens are encoded between marks, of which the first
        and the last are kept. The pooled ones are those of the first 75 tokens.
        """
        chunk_ids = self._tokenize(tuple(prompts), max_token_length)
        if max_token_length == CHUNK_TOKENS:
            return self._encode_ids(chunk_ids, clip_skip)
        encoded = self._encode_ids(chunk_ids.flatten(0, 1), clip_skip)
        embeds = encoded.hidden_states.reshape(*chunk_ids.shape, -1)
        pieces = (embeds[:, 0, :1], embeds[:, :, 1:-1].flatten(1, 2), embeds[:, -1, -1:])
        pooled = None if encoded.pooled is None else encoded.pooled[:: chunk_ids.shape[1]]
        return ClipEmbeddings(torch.cat(pieces, dim=1), pooled)

    def _tokenize(self, prompts: tuple[str, ...], max_token_length: int) -> Tensor:
        """Return the ids on the device, (prompts, 77); of longer prompts (prompts, chunks, 77)."""
        key = (prompts, max_token_length, self._model.device)
        if key not in self._ids_cache:
            tokens = self._tokenizer(
                list(prompts),
                padding="max_length",
                max_length=max_token_length + 2,
                truncation=True,
                return_tensors="pt",
            )
            input_ids: Tensor = tokens.input_ids
            is_short = max_token_length == CHUNK_TOKENS
            chunk_ids = input_ids if is_short else self._split_ids(input_ids)
            self._ids_cache[key] = chunk_ids.to(self._model.device)
        return self._ids_cache[key]

    def _split_ids(self, input_ids: Tensor) -> Tensor:
        """Return the ids of long prompts as chunks with marks, (prompts, chunks, 77), as sd-scripts does."""
        chunks = input_ids[:, 1:-1].reshape(len(input_ids), -1, CHUNK_TOKENS)
        first_marks, last_marks = (
            input_ids[:, place, None, None].expand(-1, chunks.shape[1], 1) for place in (0, -1)
        )
        chunk_ids = torch.cat([first_marks, chunks, last_marks], dim=2)
        pad_id, end_id = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        if pad_id != end_id:
            is_full = (chunk_ids[..., -2] != end_id) & (chunk_ids[..., -2] != pad_id)
            chunk_ids[..., -1] = torch.where(is_full, end_id, chunk_ids[..., -1])
            chunk_ids[..., 1] = torch.where(chunk_ids[..., 1] == pad_id, end_id, chunk_ids[..., 1])
        return chunk_ids

    @torch.no_grad()
    def encode_weighted(self, prompts: Sequence[str]) -> ClipEmbeddings:
        """Return the embeddings of prompts with weights and of any length, (prompts, 77 * chunks, width).

        Weights multiply the output, which is then scaled back to its original mean. The longest prompt
        decides the number of chunks; shorter ones are padded with empty chunks. The pooled embeddings are
        those of the first chunk.
        """
        prompt_chunks = [split_chunks(self._tokenizer, parse_prompt(prompt)) for prompt in prompts]
        num_chunks = max(map(len, prompt_chunks))
        hidden_states, pooled = [], []
        for chunks in prompt_chunks:
            padded_chunks = [*chunks, *[TokenChunk((), ())] * (num_chunks - len(chunks))]
            encoded = [self._encode_chunk(chunk) for chunk in padded_chunks]
            hidden_states.append(torch.cat([embeddings.hidden_states[0] for embeddings in encoded]))
            pooled.append(encoded[0].pooled)
        pools = [row for row in pooled if row is not None]
        return ClipEmbeddings(torch.stack(hidden_states), torch.cat(pools) if pools else None)

    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return the places of words among the tokens of `encode_weighted`, once for each time they stand."""
        ids = tuple(self._tokenizer(words, add_special_tokens=False).input_ids)
        chunks = split_chunks(self._tokenizer, parse_prompt(prompt))
        return [
            tuple(range(number * MAX_TOKENS + start + 1, number * MAX_TOKENS + start + 1 + len(ids)))
            for number, chunk in enumerate(chunks)
            for start in range(len(chunk.tokens))
            if ids and chunk.tokens[start : start + len(ids)] == ids
        ]

    def _encode_chunk(self, chunk: TokenChunk) -> ClipEmbeddings:
        tokenizer = self._tokenizer
        # Attention is causal, so the padding after the end token does not affect the tokens before it.
        padding = [tokenizer.pad_token_id] * (CHUNK_TOKENS - len(chunk.tokens))
        input_ids = [tokenizer.bos_token_id, *chunk.tokens, tokenizer.eos_token_id, *padding]
        encoded = self._encode_ids(torch.tensor([input_ids]), None)
        if all(weight == 1.0 for weight in chunk.weights):
            return encoded
        return ClipEmbeddings(apply_weights(encoded.hidden_states[0], chunk)[None], encoded.pooled)

    def _encode_ids(self, input_ids: Tensor, clip_skip: int | None) -> ClipEmbeddings:
        input_ids = input_ids.to(self._model.device)
        if self._uses_penultimate:
            output = self._model(input_ids, output_hidden_states=True)
            pooled = output.text_embeds if isinstance(self._model, CLIPTextModelWithProjection) else None
            return ClipEmbeddings(output.hidden_states[-2], pooled)
        if clip_skip is None or clip_skip == 1:
            return ClipEmbeddings(self._model(input_ids)[0])
        hidden_states = self._model(input_ids, output_hidden_states=True).hidden_states
        text_model: Any = getattr(self._model, "text_model", self._model)
        return ClipEmbeddings(text_model.final_layer_norm(hidden_states[-clip_skip]))


def apply_weights(hidden_states: Tensor, chunk: TokenChunk) -> Tensor:
    """Return the hidden states of a chunk, (77, width), times their weights, with the mean that they had."""
    padding_length = CHUNK_TOKENS - len(chunk.tokens)
    weights = torch.tensor([1.0, *chunk.weights, *[1.0] * (padding_length + 1)], device=hidden_states.device)
    # In fp32, as a large weight is beyond the range of fp16 until the mean is restored.
    original = hidden_states.float()
    weighted = original * weights[:, None]
    original_mean, weighted_mean = original.mean(), weighted.mean()
    if min(abs(weighted_mean), abs(original_mean)) >= _MIN_MEAN:
        weighted = weighted * (original_mean / weighted_mean)
    return weighted.to(hidden_states.dtype)
