"""Encode prompts with weights such as `(word:1.2)` and of any length.

The rules are those of AUTOMATIC1111, because pictures carry its `parameters` text and people copy prompts
between the two. `(x)` multiplies by 1.1, `[x]` divides by 1.1, `(x:1.3)` sets the weight, and a backslash
escapes a bracket. The text is split into chunks of 75 tokens, at a comma where one is near. Weights multiply
the encoder's output, which is then scaled back to its original mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.config import MAX_TOKENS

#: Factor of one pair of brackets; A1111's.
ATTENTION_FACTOR = 1.1
#: Tokens of a chunk, without the start and end tokens around them.
CHUNK_TOKENS = MAX_TOKENS - 2
#: A chunk may end this many tokens early to end at a comma; A1111's default.
COMMA_BACKTRACK = 20
#: Larger weights only break the picture.
_MAX_WEIGHT = 10.0
_LEXEME = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[^\\()\[\]:]+|.", re.DOTALL)
#: The activations are around 1. A smaller mean is rounding error, and scaling by it would only amplify that.
_MIN_MEAN = 1e-6


@dataclass(frozen=True)
class PromptPart:
    """A part of a prompt and its weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class _TokenChunk:
    """The tokens that the text encoder reads at once, at most CHUNK_TOKENS, with a weight each."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


def parse_prompt(prompt: str) -> list[PromptPart]:
    """Parse a prompt's brackets. An unmatched `)` is text; an unmatched `(` reaches to the end."""
    parts: list[PromptPart] = []
    round_starts: list[int] = []  # where brackets that are still open began
    square_starts: list[int] = []
    for match in _LEXEME.finditer(prompt):
        lexeme, weight = match[0], match[1]
        if lexeme == "(":
            round_starts.append(len(parts))
        elif lexeme == "[":
            square_starts.append(len(parts))
        elif weight is not None and round_starts:
            _scale_weights(parts, round_starts.pop(), float(weight))
        elif lexeme == ")" and round_starts:
            _scale_weights(parts, round_starts.pop(), ATTENTION_FACTOR)
        elif lexeme == "]" and square_starts:
            _scale_weights(parts, square_starts.pop(), 1 / ATTENTION_FACTOR)
        else:
            is_escape = len(lexeme) == 2 and lexeme[0] == "\\"
            parts.append(PromptPart(lexeme[1:] if is_escape else lexeme))
    for start in round_starts:
        _scale_weights(parts, start, ATTENTION_FACTOR)
    for start in square_starts:
        _scale_weights(parts, start, 1 / ATTENTION_FACTOR)
    return _merge_parts(parts)


def _scale_weights(parts: list[PromptPart], start: int, factor: float) -> None:
    for index in range(start, len(parts)):
        weight = max(-_MAX_WEIGHT, min(_MAX_WEIGHT, parts[index].weight * factor))
        parts[index] = PromptPart(parts[index].text, weight)


def _merge_parts(parts: Sequence[PromptPart]) -> list[PromptPart]:
    merged: list[PromptPart] = []
    for part in parts:
        if merged and merged[-1].weight == part.weight:
            merged[-1] = PromptPart(merged[-1].text + part.text, part.weight)
        else:
            merged.append(part)
    return merged


@torch.no_grad()
def encode_weighted_prompts(base: BaseModel, prompts: Sequence[str]) -> Tensor:
    """Return the prompt embeddings, (prompts, 77 * chunks, width).

    The longest prompt decides the number of chunks; shorter ones are padded with empty chunks.
    """
    prompt_chunks = [_split_chunks(base, parse_prompt(prompt)) for prompt in prompts]
    num_chunks = max(map(len, prompt_chunks))
    prompt_embeds = []
    for chunks in prompt_chunks:
        padded_chunks = [*chunks, *[_TokenChunk((), ())] * (num_chunks - len(chunks))]
        prompt_embeds.append(torch.cat([_encode_chunk(base, chunk) for chunk in padded_chunks]))
    return torch.stack(prompt_embeds)


def _encode_chunk(base: BaseModel, chunk: _TokenChunk) -> Tensor:
    tokenizer = base.tokenizer
    padding_length = CHUNK_TOKENS - len(chunk.tokens)
    # Attention is causal, so the padding after the end token does not affect the tokens before it.
    padding = [tokenizer.pad_token_id] * padding_length
    input_ids = [tokenizer.bos_token_id, *chunk.tokens, tokenizer.eos_token_id, *padding]
    hidden_states = base.encode_tokens(torch.tensor([input_ids]))[0]
    if all(weight == 1.0 for weight in chunk.weights):
        return hidden_states
    weights = hidden_states.new_tensor([1.0, *chunk.weights, *[1.0] * (padding_length + 1)])
    weighted = hidden_states * weights[:, None]
    weighted_mean, original_mean = weighted.float().mean(), hidden_states.float().mean()
    if min(abs(weighted_mean), abs(original_mean)) < _MIN_MEAN:
        return weighted
    return weighted * (original_mean / weighted_mean).to(hidden_states.dtype)


def _split_chunks(base: BaseModel, parts: Sequence[PromptPart]) -> list[_TokenChunk]:
    tokens: list[int] = []
    weights: list[float] = []
    for part in parts:
        token_ids = base.tokenizer(
            part.text, add_special_tokens=False, truncation=False, verbose=False
        ).input_ids
        tokens += token_ids
        weights += [part.weight] * len(token_ids)
    commas = set(base.tokenizer(",", add_special_tokens=False).input_ids)
    chunks = []
    while len(tokens) > CHUNK_TOKENS:
        end = _find_chunk_end(tokens, commas)
        chunks.append(_TokenChunk(tuple(tokens[:end]), tuple(weights[:end])))
        tokens, weights = tokens[end:], weights[end:]
    return [*chunks, _TokenChunk(tuple(tokens), tuple(weights))]


def _find_chunk_end(tokens: Sequence[int], commas: set[int]) -> int:
    """Return the end of the first chunk: after the last comma within reach, else CHUNK_TOKENS."""
    for end in range(CHUNK_TOKENS, CHUNK_TOKENS - COMMA_BACKTRACK, -1):
        if tokens[end - 1] in commas:
            return end
    return CHUNK_TOKENS
