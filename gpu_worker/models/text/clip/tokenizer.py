"""CLIP's tokenizer, from a vocabulary that is shipped here."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

from transformers import CLIPTokenizer

_VOCABULARY_PATH = Path(__file__).parent / "vocabulary" / "bpe_simple_vocab_16e6.txt.gz"
#: CLIP keeps 49,408 tokens: 256 bytes, the same ending a word, the merges and two marks.
VOCABULARY_SIZE = 49_408
_MERGES = VOCABULARY_SIZE - 2 * 256 - 2
START_MARK, END_MARK = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 77
CHUNK_TOKENS = MAX_TOKENS - 2  #: between the marks of start and end


def load_clip_tokenizer(pad_token: str = END_MARK) -> CLIPTokenizer:
    """Return CLIP's own tokenizer, built from the vocabulary that is shipped here.

    `pad_token` fills a short prompt; not every encoder was trained with the same.
    """
    return _build(*_read_vocabulary(), MAX_TOKENS, pad_token)


@functools.cache  # SDXL has two tokenizers of the same vocabulary
def _read_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    lines = gzip.decompress(_VOCABULARY_PATH.read_bytes()).decode().split("\n")[1 : _MERGES + 1]
    merges = [(left, right) for left, right in (line.split() for line in lines)]
    return _number_tokens(merges), merges


def build_clip_tokenizer(
    merges: list[tuple[str, str]], max_tokens: int, pad_token: str = END_MARK
) -> CLIPTokenizer:
    """Return a tokenizer of CLIP's kind: every byte, every byte ending a word, the merges, two marks."""
    return _build(_number_tokens(merges), merges, max_tokens, pad_token)


def _number_tokens(merges: list[tuple[str, str]]) -> dict[str, int]:
    symbols = list_byte_symbols()
    tokens = [
        *symbols,
        *(symbol + "</w>" for symbol in symbols),
        *(left + right for left, right in merges),
        START_MARK,
        END_MARK,
    ]
    return {token: index for index, token in enumerate(tokens)}


def _build(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], max_tokens: int, pad_token: str
) -> CLIPTokenizer:
    # transformers' annotation says strings; the tokenizer behind it takes pairs.
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]
        model_max_length=max_tokens,
        pad_token=pad_token,
    )


def list_byte_symbols() -> list[str]:
    """Return one printable letter for each byte, in the vocabulary's order: visible bytes, then the rest."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = 256 - len(visible)
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(hidden)]
