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
STRONGER = 1.1
#: A piece's own tokens; a mark is put before and after them.
PIECE_TOKENS = MAX_TOKENS - 2
#: A piece may end so many tokens early to end at a comma; A1111's default.
COMMA_REACH = 20
#: Weights beyond this only break the picture.
_MOST = 10.0
_LEXEME = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[^\\()\[\]:]+|.", re.DOTALL)
#: Of numbers around 1 a mean below this is what rounding left of none, and nothing to be kept.
_LEAST_MEAN = 1e-6


@dataclass(frozen=True)
class Part:
    """A stretch of a prompt and its weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class _Piece:
    """As many tokens as the encoder reads at once, with a weight each."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


def parse(prompt: str) -> list[Part]:
    """Read a prompt's brackets; those without a partner are text, or reach to the end."""
    parts: list[Part] = []
    rounds: list[int] = []  # where brackets that are still open began
    squares: list[int] = []
    for match in _LEXEME.finditer(prompt):
        lexeme, weight = match[0], match[1]
        if lexeme == "(":
            rounds.append(len(parts))
        elif lexeme == "[":
            squares.append(len(parts))
        elif weight is not None and rounds:
            _scale(parts, rounds.pop(), float(weight))
        elif lexeme == ")" and rounds:
            _scale(parts, rounds.pop(), STRONGER)
        elif lexeme == "]" and squares:
            _scale(parts, squares.pop(), 1 / STRONGER)
        else:
            is_escape = len(lexeme) == 2 and lexeme[0] == "\\"
            parts.append(Part(lexeme[1:] if is_escape else lexeme))
    for begin in rounds:
        _scale(parts, begin, STRONGER)
    for begin in squares:
        _scale(parts, begin, 1 / STRONGER)
    return _joined(parts)


def _scale(parts: list[Part], begin: int, factor: float) -> None:
    for index in range(begin, len(parts)):
        weight = max(-_MOST, min(_MOST, parts[index].weight * factor))
        parts[index] = Part(parts[index].text, weight)


def _joined(parts: Sequence[Part]) -> list[Part]:
    joined: list[Part] = []
    for part in parts:
        if joined and joined[-1].weight == part.weight:
            joined[-1] = Part(joined[-1].text + part.text, part.weight)
        else:
            joined.append(part)
    return joined


@torch.no_grad()
def embed(base: BaseModel, prompts: Sequence[str]) -> Tensor:
    """Return what the UNet attends to for each prompt, (prompts, 77 times the pieces, width).

    The longest prompt decides the number of pieces; shorter ones are filled up with empty ones.
    """
    cut = [_pieces(base, parse(prompt)) for prompt in prompts]
    count = max(map(len, cut))
    rows = []
    for pieces in cut:
        filled = [*pieces, *[_Piece((), ())] * (count - len(pieces))]
        rows.append(torch.cat([_encoded(base, piece) for piece in filled]))
    return torch.stack(rows)


def _encoded(base: BaseModel, piece: _Piece) -> Tensor:
    tokenizer = base.tokenizer
    room = PIECE_TOKENS - len(piece.tokens)
    # What follows the end is padding, and no more than that to the encoder: it looks back only.
    padding = [tokenizer.pad_token_id] * room
    ids = [tokenizer.bos_token_id, *piece.tokens, tokenizer.eos_token_id, *padding]
    seen = base.read_tokens(torch.tensor([ids]))[0]
    if all(weight == 1.0 for weight in piece.weights):
        return seen
    weights = seen.new_tensor([1.0, *piece.weights, *[1.0] * (room + 1)])
    weighted = seen * weights[:, None]
    mean, kept = weighted.float().mean(), seen.float().mean()
    if min(abs(mean), abs(kept)) < _LEAST_MEAN:
        return weighted
    return weighted * (kept / mean).to(seen.dtype)


def _pieces(base: BaseModel, parts: Sequence[Part]) -> list[_Piece]:
    tokens: list[int] = []
    weights: list[float] = []
    for part in parts:
        found = base.tokenizer(part.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        tokens += found
        weights += [part.weight] * len(found)
    commas = set(base.tokenizer(",", add_special_tokens=False).input_ids)
    pieces = []
    while len(tokens) > PIECE_TOKENS:
        end = _end(tokens, commas)
        pieces.append(_Piece(tuple(tokens[:end]), tuple(weights[:end])))
        tokens, weights = tokens[end:], weights[end:]
    return [*pieces, _Piece(tuple(tokens), tuple(weights))]


def _end(tokens: Sequence[int], commas: set[int]) -> int:
    """Say where a piece ends: after the last comma within reach, else where it is full."""
    for end in range(PIECE_TOKENS, PIECE_TOKENS - COMMA_REACH, -1):
        if tokens[end - 1] in commas:
            return end
    return PIECE_TOKENS
