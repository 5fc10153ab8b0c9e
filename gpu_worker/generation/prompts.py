"""Encode prompts with weights such as `(word:1.2)` and of any length.

The rules are those of AUTOMATIC1111, because pictures carry its `parameters` text and people copy prompts
between the two. `(x)` multiplies by 1.1, `[x]` divides by 1.1, `(x:1.3)` sets the weight, and a backslash
makes the next bracket a letter. The text is split into chunks of 75 tokens, at a comma where one is near and
at `BREAK`. Weights multiply the encoder's output, which is then scaled back to its original mean.

Three things differ on purpose. `(x:1.2.3)` means 1.2, where AUTOMATIC1111 fails. `BREAK` between brackets
begins a chunk, where AUTOMATIC1111 draws the word. Weights are limited to +-MAX_WEIGHT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
#: Far above every use; nested brackets would reach infinity without a limit.
MAX_WEIGHT = 1e4
_LEXEME = re.compile(r"\\[()\[\]\\]?|[()\[\]]|:\s*([+-]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
#: The activations are around 1. A smaller mean is rounding error, and scaling by it would only amplify that.
_MIN_MEAN = 1e-6


@dataclass(frozen=True)
class PromptPart:
    """A part of a prompt and its weight."""

    text: str
    weight: float = 1.0
    begins_chunk: bool = False  #: it follows a BREAK


@dataclass(frozen=True)
class _TokenChunk:
    """The tokens that the text encoder reads at once, at most CHUNK_TOKENS, with a weight each."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


def parse_prompt(prompt: str) -> list[PromptPart]:
    """Parse a prompt's brackets and breaks. An unmatched `)` is text; an unmatched `(` reaches to the end."""
    parts: list[PromptPart] = []
    round_starts: list[int] = []  # where brackets that are still open began
    square_starts: list[int] = []
    for match in _LEXEME.finditer(prompt):
        lexeme, weight = match[0], _read_weight(match[1])
        if lexeme == "(":
            round_starts.append(len(parts))
        elif lexeme == "[":
            square_starts.append(len(parts))
        elif weight is not None and round_starts:
            _scale_weights(parts, round_starts.pop(), weight)
        elif lexeme == ")" and round_starts:
            _scale_weights(parts, round_starts.pop(), ATTENTION_FACTOR)
        elif lexeme == "]" and square_starts:
            _scale_weights(parts, square_starts.pop(), 1 / ATTENTION_FACTOR)
        elif lexeme[0] == "\\":
            parts.append(PromptPart(lexeme[1:]))
        else:
            text, *texts_after_break = _BREAK.split(lexeme)
            parts.append(PromptPart(text))
            parts += [PromptPart(text, begins_chunk=True) for text in texts_after_break]
    for start in round_starts:
        _scale_weights(parts, start, ATTENTION_FACTOR)
    for start in square_starts:
        _scale_weights(parts, start, 1 / ATTENTION_FACTOR)
    return _merge_parts(parts)


def _read_weight(digits: str | None) -> float | None:
    """Return the number that digits and dots begin with; 1.0 for dots alone, None without digits."""
    if digits is None:
        return None
    number = _NUMBER.match(digits)
    return 1.0 if number is None else float(number[0])


def _scale_weights(parts: list[PromptPart], start: int, factor: float) -> None:
    for index in range(start, len(parts)):
        weight = max(-MAX_WEIGHT, min(MAX_WEIGHT, parts[index].weight * factor))
        parts[index] = replace(parts[index], weight=weight)


def _merge_parts(parts: Sequence[PromptPart]) -> list[PromptPart]:
    """Join neighbours of one weight, as the tokenizer reads words across them."""
    merged: list[PromptPart] = []
    for part in parts:
        if merged and merged[-1].weight == part.weight and not part.begins_chunk:
            merged[-1] = replace(merged[-1], text=merged[-1].text + part.text)
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
    return _apply_weights(hidden_states, chunk)


def _apply_weights(hidden_states: Tensor, chunk: _TokenChunk) -> Tensor:
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


def _split_chunks(base: BaseModel, parts: Sequence[PromptPart]) -> list[_TokenChunk]:
    """Return the chunks of a prompt, at least one. A BREAK ends a chunk, even an empty one."""
    commas = set(base.tokenizer(",", add_special_tokens=False).input_ids)
    chunks: list[_TokenChunk] = []
    tokens: list[int] = []
    weights: list[float] = []
    for part in parts:
        if part.begins_chunk:
            chunks += _split_tokens(tokens, weights, commas)
            tokens, weights = [], []
        token_ids = base.tokenizer(
            part.text, add_special_tokens=False, truncation=False, verbose=False
        ).input_ids
        tokens += token_ids
        weights += [part.weight] * len(token_ids)
    if tokens or not chunks:
        chunks += _split_tokens(tokens, weights, commas)
    return chunks


def _split_tokens(tokens: Sequence[int], weights: Sequence[float], commas: set[int]) -> list[_TokenChunk]:
    """Return the chunks of tokens without a BREAK, at least one."""
    chunks = []
    while len(tokens) > CHUNK_TOKENS:
        end = _find_chunk_end(tokens, commas)
        chunks.append(_TokenChunk(tuple(tokens[:end]), tuple(weights[:end])))
        tokens, weights = tokens[end:], weights[end:]
    return [*chunks, _TokenChunk(tuple(tokens), tuple(weights))]


def _find_chunk_end(tokens: Sequence[int], commas: set[int]) -> int:
    """Return the end of the first chunk: after the last comma within reach, else CHUNK_TOKENS.

    A comma that would begin the next chunk stays there, as in AUTOMATIC1111.
    """
    if tokens[CHUNK_TOKENS] in commas:
        return CHUNK_TOKENS
    for end in range(CHUNK_TOKENS, CHUNK_TOKENS - COMMA_BACKTRACK, -1):
        if tokens[end - 1] in commas:
            return end
    return CHUNK_TOKENS
