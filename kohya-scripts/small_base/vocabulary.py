"""The small base model's words: CLIP's way of spelling, with merges learnt from our own captions.

Every byte is a token, so any text can be read; a word of the captions is one or two tokens.
"""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

from transformers import CLIPTokenizer

import drawn
from gpu_worker.models.sd15.config import MAX_TOKENS, byte_letters, spell
from small_base.settings import SmallBaseSettings

_SENTENCES = 4_000


def build_tokenizer(settings: SmallBaseSettings) -> CLIPTokenizer:
    """Return the tokenizer; the same one for the same settings."""
    return spell(_learn_merges(settings), MAX_TOKENS)


def _learn_merges(settings: SmallBaseSettings) -> list[tuple[str, str]]:
    """Join the most frequent neighbours again and again (byte-pair encoding; Sennrich et al. 2016)."""
    rng = Random(settings.seed)  # noqa: S311 - teaching material, not secrets
    counts = Counter(
        word
        for index in range(_SENTENCES)
        for word in drawn.varied_caption(drawn.identity(index), drawn.scene(index), rng)
        .replace(",", " ,")
        .split()
    )
    letters = set(byte_letters())
    words = {word: (*word[:-1], word[-1] + "</w>") for word in counts if set(word) <= letters}
    merges: list[tuple[str, str]] = []
    while len(merges) < settings.merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in words.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        # Ties are broken by the letters, so that the order of a dict decides nothing.
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {word: _join(parts, best) for word, parts in words.items()}
    return merges


def _join(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)
