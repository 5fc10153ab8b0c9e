"""The styles that come with LoraCode, and how a person finds one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.errors import SettingsError, UserError
from bot.jobs.styles import load_styles

STYLES = load_styles()


def test_about_a_dozen_styles_go_around_the_prompt() -> None:
    assert 10 <= len(list(STYLES)) <= 20
    for style in STYLES:
        assert style.prompt.count("{prompt}") == 1
        assert style.negative
        assert len(style.label) <= 20
        assert len(f"draft:style={style.name}".encode()) <= 64, "it must fit a button"


@pytest.mark.parametrize("written", ["oil", "OIL", "Oil painting", "oil-painting", "oilpainting"])
def test_a_style_is_known_by_its_name_or_label(written: str) -> None:
    assert STYLES.resolve(written).name == "oil"


def test_an_unknown_style_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean watercolour"):
        STYLES.resolve("watercol")
    with pytest.raises(UserError, match="I know photo, portrait"):
        STYLES.resolve("x" * 4000)


def test_styles_are_offered_by_what_is_typed() -> None:
    assert [each.value for each in STYLES.search("film")] == ["cinema", "noir"]
    assert len(STYLES.search("")) == len(list(STYLES))
    assert STYLES.search("zzz") == []


@pytest.mark.parametrize(
    "text",
    ["[oil]\nlabel = 'Oil'", "not toml", "[oil]\nlabel = 'Oil'\nprompt = 'oil'\nnegative = ''", "oil = 1"],
)
def test_a_broken_file_of_styles_is_one_readable_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "styles.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"styles\.toml") as caught:
        load_styles(path)
    assert "\n" not in str(caught.value)
