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
_WORD = re.compile(r"\w+")
#: Joiners, soft hyphens, marks of direction: they take no room, so they hide nothing.
_INVISIBLE = "Cf"


class BlockList:
    """Phrases in the order of their first words. `path=None`: nothing is blocked."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._phrases: Mapping[str, list[tuple[str, ...]]] = {}

    def prepare(self) -> None:
        """Read the list; SettingsError when that cannot be."""
        if self._path is not None:
            try:
                self._read(self._path)
            except (OSError, ValueError) as error:
                raise SettingsError(f"BLOCK_LIST: {self._path} cannot be read ({_why(error)}).") from error

    def found_in(self, text: str) -> str | None:
        """Give the phrase of the list that stands in a text, as it is compared; None when none does."""
        self._look()
        words = words_of(text)
        for at, word in enumerate(words):
            for phrase in self._phrases.get(word, ()):
                if tuple(words[at : at + len(phrase)]) == phrase:
                    return " ".join(phrase)
        return None

    def _look(self) -> None:
        """Read the list again when its file has changed; with one that cannot be read, the last one holds."""
        if self._path is None:
            return
        try:
            if _stamp_of(self._path) != self._stamp:
                self._read(self._path)
                log.info("the block-list was read again: %d words and phrases", self.count)
        except (OSError, ValueError) as error:
            if self._stamp is not None:  # told once for each change
                log.error("the block-list cannot be read, the last one holds: %s", _why(error))
            self._stamp = None

    @property
    def count(self) -> int:
        """How many words and phrases there are."""
        return sum(len(phrases) for phrases in self._phrases.values())

    def _read(self, path: Path) -> None:
        stamp = _stamp_of(path)
        if stamp[1] > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        phrases: dict[str, list[tuple[str, ...]]] = {}
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            phrase = tuple(words_of(line.partition("#")[0]))
            if phrase:
                phrases.setdefault(phrase[0], []).append(phrase)
        self._phrases, self._stamp = phrases, stamp


def words_of(text: str) -> list[str]:
    """Split a text into words as they are compared."""
    # Compatibility first (full width, ligatures), then case, then accents as characters of their own to drop.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (char for char in plain if unicodedata.category(char) not in ("Mn", _INVISIBLE))
    return _WORD.findall("".join(kept))


def _stamp_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return str(error.strerror if isinstance(error, OSError) else error)
