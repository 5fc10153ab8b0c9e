"""The small base model's words: CLIP's way of spelling, with merges learnt from our own captions.

Every byte is a token, so any text can be read; a word of the captions is one or two tokens.
"""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

from transformers import CLIPTokenizer

import drawn
from gpu_worker.models.text.clip.tokenizer import MAX_TOKENS, build_clip_tokenizer, list_byte_symbols
from small_base.settings import SmallBaseSettings

_CAPTION_COUNT = 4_000


def build_tokenizer(settings: SmallBaseSettings) -> CLIPTokenizer:
    """Return the tokenizer; the same one for the same settings."""
    return build_clip_tokenizer(_learn_merges(settings), MAX_TOKENS)


def _learn_merges(settings: SmallBaseSettings) -> list[tuple[str, str]]:
    """Join the most frequent neighbours again and again (byte-pair encoding; Sennrich et al. 2016)."""
    rng = Random(settings.seed)  # noqa: S311 - teaching material, not secrets
    counts = Counter(
        word
        for index in range(_CAPTION_COUNT)
        for word in drawn.varied_caption(drawn.identity(index), drawn.scene(index), rng)
        .replace(",", " ,")
        .split()
    )
    symbols = set(list_byte_symbols())
    word_symbols = {word: (*word[:-1], word[-1] + "</w>") for word in counts if set(word) <= symbols}
    merges: list[tuple[str, str]] = []
    while len(merges) < settings.num_merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols_of_word in word_symbols.items():
            for pair in itertools.pairwise(symbols_of_word):
                pairs[pair] += counts[word]
        if not pairs:
            break
        # Ties are broken by the letters, so that the order of a dict decides nothing.
        best_pair = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best_pair)
        word_symbols = {
            word: _merge_pair(symbols_of_word, best_pair) for word, symbols_of_word in word_symbols.items()
        }
    return merges


def _merge_pair(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)
