"""The operator's list: whole words, however they are dressed, and read again when it changes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bot.core.errors import SettingsError
from bot.media.moderation.blocked_words import BlockList

LIST = """\
# what we do not want
Dragon   # a comment
evil twin
Straße
 ﬁre

"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "blocked.txt"
    path.write_text(LIST, encoding="utf-8")
    return path


def read(path: Path | None) -> BlockList:
    blocked = BlockList(path)
    blocked.load()
    return blocked


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("sks person with a dragon", "dragon"),
        ("(DRAGON:1.2)", "dragon"),
        ("dragón", "dragon"),
        ("\uff44\uff52\uff41\uff47\uff4f\uff4e", "dragon"),  # full width
        ("dra\u200bgon", "dragon"),
        ("dra\u00adgon", "dragon"),
        ("an Evil, twin", "evil twin"),
        ("STRASSE", "strasse"),
        ("on fire", "fire"),
        ("dragonfly", None),
        ("an evil person and his twin", None),
        ("twin evil", None),
        ("evil", None),
        ("dr4gon", None),  # not promised
        ("", None),
    ],
)
def test_whole_words_and_phrases_are_found_in_any_spelling_form(
    path: Path, prompt: str, found: str | None
) -> None:
    assert read(path).find_match(prompt) == found


def test_words_are_not_blocked_without_a_list() -> None:
    assert read(None).find_match("dragon") is None


def test_a_list_that_changed_holds_from_the_next_prompt_on(path: Path) -> None:
    blocked = read(path)
    assert blocked.phrase_count == 4
    path.write_text("unicorn", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert blocked.find_match("a dragon") is None
    assert blocked.find_match("a unicorn") == "unicorn"


def test_a_list_that_vanishes_holds_on_and_is_told_of_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = read(path)
    path.unlink()
    for _ in range(3):
        assert blocked.find_match("a dragon") == "dragon"
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    path.write_text("unicorn", encoding="utf-8")
    assert blocked.find_match("a unicorn") == "unicorn"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfd", b"x" * (2**20 + 1)])
def test_a_list_that_cannot_be_read_at_the_start_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "blocked.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^BLOCK_LIST: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)
