"""From a prompt to what the UNet attends to: weights such as `(word:1.2)` and prompts of any length.

The rules are AUTOMATIC1111's, because pictures carry its `parameters` text and people move prompts between
the two: `(x)` is 1.1 times as strong, `[x]` as much weaker, `(x:1.3)` says it outright, a backslash takes a
bracket as it is; text is read in pieces of 75 tokens, cut at a comma where one is near; the weights scale the
encoder's output, whose mean is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.config import MAX_TOKENS

#: One pair of brackets, in A1111's rules.
ATTENTION_FACTOR = 1.1
#: A piece's own tokens; a mark is put before and after them.
CHUNK_TOKENS = MAX_TOKENS - 2
#: A piece may end so many tokens early to end at a comma; A1111's default.
COMMA_BACKTRACK = 20
#: Weights beyond this only break the picture.
_MAX_WEIGHT = 10.0
_LEXEME = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[^\\()\[\]:]+|.", re.DOTALL)
#: Of numbers around 1 a mean below this is what rounding left of none, and nothing to be kept.
_MIN_MEAN = 1e-6


@dataclass(frozen=True)
class PromptPart:
    """A stretch of a prompt and its weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class _TokenChunk:
    """As many tokens as the encoder reads at once, with a weight each."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


def parse_prompt(prompt: str) -> list[PromptPart]:
    """Read a prompt's brackets; those without a partner are text, or reach to the end."""
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
    """Return what the UNet attends to for each prompt, (prompts, 77 times the pieces, width).

    The longest prompt decides the number of pieces; shorter ones are filled up with empty ones.
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
    # What follows the end is padding, and no more than that to the encoder: it looks back only.
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
    """Say where a piece ends: after the last comma within reach, else where it is full."""
    for end in range(CHUNK_TOKENS, CHUNK_TOKENS - COMMA_BACKTRACK, -1):
        if tokens[end - 1] in commas:
            return end
    return CHUNK_TOKENS
