"""The operator's list of words that are not drawn: a phrase a line, read anew when the file changes.

Whole words are compared, without regard to case, accents, width and invisible characters. Words that are
written otherwise (letters of other alphabets that look alike, digits for letters, spaces between letters) are
not found, and neither is the same thing said in other words: docs/SECURITY.md.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from bot.core.errors import SettingsError

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 2**20
_WORD_PATTERN = re.compile(r"\w+")
#: Joiners, soft hyphens, marks of direction: they take no room, so they hide nothing.
_FORMAT_CATEGORY = "Cf"


class BlockList:
    """Phrases in the order of their first words. `path=None`: nothing is blocked."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._phrases: Mapping[str, list[tuple[str, ...]]] = {}

    def load(self) -> None:
        """Read the list; SettingsError when that cannot be."""
        if self._path is not None:
            try:
                self._read_file(self._path)
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"BLOCK_LIST: {self._path} cannot be read ({_describe_error(error)})."
                ) from error

    def find_match(self, text: str) -> str | None:
        """Return the phrase of the list that stands in a text, as it is compared; None when none does."""
        self._reload_if_changed()
        words = normalized_words(text)
        for index, word in enumerate(words):
            for phrase in self._phrases.get(word, ()):
                if tuple(words[index : index + len(phrase)]) == phrase:
                    return " ".join(phrase)
        return None

    def _reload_if_changed(self) -> None:
        """Read the list again when its file has changed; with one that cannot be read, the last one holds."""
        if self._path is None:
            return
        try:
            if _file_stamp(self._path) != self._stamp:
                self._read_file(self._path)
                log.info("the block-list was read again: %d words and phrases", self.phrase_count)
        except (OSError, ValueError) as error:
            if self._stamp is not None:  # told once for each change
                log.error("the block-list cannot be read, the last one holds: %s", _describe_error(error))
            self._stamp = None

    @property
    def phrase_count(self) -> int:
        """How many words and phrases there are."""
        return sum(len(phrases) for phrases in self._phrases.values())

    def _read_file(self, path: Path) -> None:
        stamp = _file_stamp(path)
        if stamp[1] > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        phrases: dict[str, list[tuple[str, ...]]] = {}
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            phrase = tuple(normalized_words(line.partition("#")[0]))
            if phrase:
                phrases.setdefault(phrase[0], []).append(phrase)
        self._phrases, self._stamp = phrases, stamp


def normalized_words(text: str) -> list[str]:
    """Split a text into words as they are compared."""
    # Compatibility first (full width, ligatures), then case, then accents as characters of their own to drop.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    characters = (char for char in decomposed if unicodedata.category(char) not in ("Mn", _FORMAT_CATEGORY))
    return _WORD_PATTERN.findall("".join(characters))


def _file_stamp(path: Path) -> tuple[int, int]:
    file_stat = path.stat()
    return file_stat.st_mtime_ns, file_stat.st_size


def _describe_error(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return str(error.strerror if isinstance(error, OSError) else error)
