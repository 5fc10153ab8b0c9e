"""Read prompts with weights such as `(word:1.2)` and of any length.

The rules are those of AUTOMATIC1111, because pictures carry its `parameters` text and people copy prompts
between the two. `(x)` multiplies by 1.1, `[x]` divides by 1.1, `(x:1.3)` sets the weight, and a backslash
makes the next bracket a letter. The text is split into chunks of 75 tokens, at a comma where one is near and
at `BREAK`.

Three things differ on purpose. `(x:1.2.3)` means 1.2, where AUTOMATIC1111 fails. `BREAK` between brackets
begins a chunk, where AUTOMATIC1111 draws the word. Weights are limited to +-MAX_WEIGHT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import CLIPTokenizer

from gpu_worker.models.text.clip.tokenizer import CHUNK_TOKENS

#: Factor of one pair of brackets; A1111's.
ATTENTION_FACTOR = 1.1
#: A chunk may end this many tokens early to end at a comma; A1111's default.
COMMA_BACKTRACK = 20
#: Far above every use; nested brackets would reach infinity without a limit.
MAX_WEIGHT = 1e4
_LEXEME = re.compile(r"\\[()\[\]\\]?|[()\[\]]|:\s*([+-]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True)
class PromptPart:
    """A part of a prompt and its weight."""

    text: str
    weight: float = 1.0
    begins_chunk: bool = False  #: it follows a BREAK


@dataclass(frozen=True)
class TokenChunk:
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


def has_weights(prompt: str) -> bool:
    """Return whether a part of a prompt has a weight."""
    return any(part.weight != 1.0 for part in parse_prompt(prompt))


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


def split_chunks(tokenizer: CLIPTokenizer, parts: Sequence[PromptPart]) -> list[TokenChunk]:
    """Return the chunks of a prompt, at least one. A BREAK ends a chunk, even an empty one."""
    commas = set(tokenizer(",", add_special_tokens=False).input_ids)
    chunks: list[TokenChunk] = []
    tokens: list[int] = []
    weights: list[float] = []
    for part in parts:
        if part.begins_chunk:
            chunks += _split_tokens(tokens, weights, commas)
            tokens, weights = [], []
        token_ids = tokenizer(part.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        tokens += token_ids
        weights += [part.weight] * len(token_ids)
    if tokens or not chunks:
        chunks += _split_tokens(tokens, weights, commas)
    return chunks


def _split_tokens(tokens: Sequence[int], weights: Sequence[float], commas: set[int]) -> list[TokenChunk]:
    """Return the chunks of tokens without a BREAK, at least one."""
    chunks = []
    while len(tokens) > CHUNK_TOKENS:
        end = _find_chunk_end(tokens, commas)
        chunks.append(TokenChunk(tuple(tokens[:end]), tuple(weights[:end])))
        tokens, weights = tokens[end:], weights[end:]
    return [*chunks, TokenChunk(tuple(tokens), tuple(weights))]


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
