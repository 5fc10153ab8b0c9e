"""Languages: every text is there in each, none is left over, and all say the same of the same values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fluent.syntax import FluentParser
from fluent.syntax import ast as fluent
from fluent.syntax.visitor import Visitor
from PIL import ImageFont

from bot import db, texts
from bot.core.photos import PhotoRefusal
from bot.db.statements.queue import WORKER_CRASHED_MESSAGE
from bot.jobs.styles import load_styles
from bot.media.contact_sheet import TILE_PX

BOT = Path(__file__).parents[3] / "bot"
FOLDER = BOT / "texts"
OTHERS = [code for code in texts.languages() if code != "en"]
#: What Babel knows as the plural forms of counts that people meet here.
PLURALS = {"en": {"one", "other"}, "it": {"one", "other"}}


@cache
def entries(code: str) -> dict[str, fluent.Message]:
    resource = FluentParser().parse((FOLDER / f"{code}.ftl").read_text(encoding="utf-8"))
    junk = [each.content for each in resource.body if isinstance(each, fluent.Junk)]
    assert not junk, f"{code}.ftl cannot be read: {junk}"
    messages = [each for each in resource.body if isinstance(each, fluent.Message)]
    names = [each.id.name for each in messages]
    assert len(set(names)) == len(names), f"twice in {code}.ftl: {[x for x in names if names.count(x) > 1]}"
    return dict(zip(names, messages, strict=True))


class Parts(Visitor):
    """Collects what a text is made of."""

    def __init__(self, message: fluent.Message) -> None:
        self.variables: set[str] = set()
        self.references: set[str] = set()
        self.plurals: list[tuple[str, set[str]]] = []
        self.visit(message)

    def visit_VariableReference(self, node: fluent.VariableReference) -> None:
        self.variables.add(node.id.name)

    def visit_MessageReference(self, node: fluent.MessageReference) -> None:
        self.references.add(node.id.name)

    def visit_SelectExpression(self, node: fluent.SelectExpression) -> None:
        assert isinstance(node.selector, fluent.VariableReference)
        names = {each.key.name for each in node.variants if isinstance(each.key, fluent.Identifier)}
        self.plurals.append((node.selector.id.name, names))
        self.generic_visit(node)


def said_by_code() -> Iterator[tuple[str, bool]]:
    """Yield each key that the code says, and whether it is only how a key begins."""
    for path in BOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, False
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                yield str(node.values[0].value), True
    for name in texts.__annotations__:
        yield name.lower().replace("_", "-"), False


def calls_of_say() -> Iterator[tuple[Path, str, set[str] | None]]:
    """Yield where each text is said, and with which values; None where those are put together elsewhere."""
    for path in BOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).removeprefix("texts.")
            if name not in ("translate", "translate_to"):
                continue
            key = node.args[1 if name == "translate_to" else 0]
            options = [key.body, key.orelse] if isinstance(key, ast.IfExp) else [key]
            for each in options:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    values = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                    yield path, each.value, values if len(values) == len(node.keywords) else None


def test_there_are_english_and_italian() -> None:
    assert texts.languages()[:2] == ("en", "it")


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_has_every_text_and_no_other(code: str) -> None:
    assert set(entries("en")) - set(entries(code)) == set(), "missing"
    assert set(entries(code)) - set(entries("en")) == set(), "left over"


def test_every_text_is_said_somewhere() -> None:
    said = list(said_by_code())
    whole = {key for key, begins in said if not begins}
    begun = tuple(key for key, begins in said if begins and re.fullmatch(r"[a-z]+-[a-z-]*", key))
    inside = {name for each in entries("en").values() for name in Parts(each).references}
    unused = [key for key in entries("en") if key not in whole | inside and not key.startswith(begun)]
    assert not unused


def test_every_text_that_is_said_is_there() -> None:
    missing = [(path.name, key) for path, key, _ in calls_of_say() if key not in entries("en")]
    assert not missing
    lazy = [name.lower().replace("_", "-") for name in texts.__annotations__]
    assert [key for key in lazy if key not in entries("en")] == []
    assert [key for key in lazy if Parts(entries("en")[key]).variables] == [], "these need values"


def test_a_text_gets_the_values_it_needs() -> None:
    for path, key, values in calls_of_say():
        inside = [Parts(entries("en")[name]).variables for name in Parts(entries("en")[key]).references]
        needed = Parts(entries("en")[key]).variables.union(*inside)
        assert values is None or values == needed, f"{path.name}: {key}"


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_uses_the_same_values(code: str) -> None:
    for key, english in entries("en").items():
        assert Parts(entries(code)[key]).variables == Parts(english).variables, key


@pytest.mark.parametrize("code", texts.languages())
def test_what_is_counted_has_every_plural_of_its_language(code: str) -> None:
    for key, message in entries(code).items():
        for variable, forms in Parts(message).plurals:
            assert forms == PLURALS[code], key
            english = {name for name, _ in Parts(entries("en")[key]).plurals}
            assert variable in english, key


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_is_not_the_english_text(code: str) -> None:
    same = [
        key
        for key, each in entries(code).items()
        if texts.translate_to("en", key) == texts.translate_to(code, key)
    ]
    assert len(same) < len(entries("en")) / 10, same


@pytest.mark.parametrize(
    ("locale", "code"),
    [
        ("it", "it"),
        ("it-IT", "it"),
        ("it_IT.UTF-8", "it"),
        ("IT", "it"),
        ("C", "en"),
        ("", "en"),
        ("xx", "en"),
    ],
)
def test_a_locale_finds_its_language(locale: str, code: str) -> None:
    assert texts.match_language(locale) == code


def test_a_language_is_spoken_inside_its_block_alone() -> None:
    english = texts.STALE_BUTTON
    with texts.use_language("it-IT"):
        italian = texts.STALE_BUTTON
        with texts.use_language("fr"):
            assert english == texts.STALE_BUTTON
        assert italian == texts.STALE_BUTTON
    assert texts.STALE_BUTTON == english != italian


def test_values_are_written_as_they_are() -> None:
    with texts.use_language("it"):
        assert "40713386" in texts.example_command(texts.Platform.TELEGRAM, "40713386")
        assert texts.translate("pictures", count=1500) == "1500 immagini"
        assert texts.translate("pictures", count=1) == "1 immagine"
        assert "\u2068" not in texts.link_token("ABCDEF").text


def test_a_text_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError):
        texts.translate("no-such-text")


@pytest.mark.parametrize("code", texts.languages())
def test_each_reason_to_refuse_a_photo_has_a_sentence_of_its_own(code: str) -> None:
    with texts.use_language(code):
        sentences = [texts.photo_refusal(reason) for reason in PhotoRefusal]
    assert len(set(sentences)) == len(PhotoRefusal)
    assert not [sentence for sentence in sentences if "{" in sentence], "a value is missing"
    assert "20 MB" in sentences[PhotoRefusal.TOO_MANY_BYTES]
    assert "50 mil" in sentences[PhotoRefusal.TOO_MANY_PIXELS]
    assert "16 mil" in sentences[PhotoRefusal.TOO_MANY_PIXELS]
    assert "256 pixel" in sentences[PhotoRefusal.TOO_SMALL]


@pytest.mark.parametrize("code", texts.languages())
def test_commands_are_named_as_both_platforms_take_them(code: str) -> None:
    names = [texts.command_name(each, code) for each in texts.COMMANDS]
    assert len(set(names)) == len(names)
    assert not set(names) & set(texts.ADMIN_COMMANDS)
    for each, name in zip(texts.COMMANDS, names, strict=True):
        assert re.fullmatch(r"[a-z0-9_]{1,32}", name), name
        assert 1 <= len(texts.translate_to(code, f"telegram-{each}")) <= 256
    described = [key for key in entries("en") if key.startswith("discord-")]
    assert [key for key in described if len(texts.translate_to(code, key)) > 100] == []


def test_a_name_means_one_command_in_all_languages_together() -> None:
    meanings = [(also, each) for each in texts.COMMANDS for also in texts.command_names(each)]
    assert len(dict(meanings)) == len(meanings)


@pytest.mark.parametrize("code", texts.languages())
def test_a_text_names_commands_as_its_language_does(code: str) -> None:
    known = {texts.command_name(each, code) for each in texts.COMMANDS} | {"quit"}
    source = (FOLDER / f"{code}.ftl").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if not line.startswith("#")]
    named = {name for line in lines for name in re.findall(r"(?<![\w/])/([a-z]+)", line)}
    assert named <= known


@pytest.mark.parametrize("code", OTHERS)
def test_what_stands_below_a_picture_stays_short_enough_for_telegram(code: str) -> None:
    for key in entries(code):
        assert len(texts.translate_to(code, key)) <= 1024, key


def test_what_the_ledger_writes_of_failures_is_known_to_every_language() -> None:
    assert texts.translate_to("en", "photos-too-old") == db._PHOTOS_EXPIRED_MESSAGE
    assert texts.translate_to("en", "worker-keeps-dying") == WORKER_CRASHED_MESSAGE


@pytest.mark.parametrize("code", OTHERS)
def test_every_style_has_a_label_in_every_language(code: str) -> None:
    assert [style.name for style in load_styles() if code not in style.labels] == []
    with texts.use_language("it"):
        assert load_styles().resolve("pittura a olio").name == "oil"
        assert [each.label for each in load_styles().search("olio")] == ["Pittura a olio"]


@pytest.mark.parametrize("code", texts.languages())
def test_what_stands_beneath_a_photo_of_the_contact_sheet_fits(code: str) -> None:
    font = ImageFont.load_default(17)
    for key in entries(code):
        if key.startswith(("mark-", "example-")) and key != "example-discord":
            values = dict.fromkeys(Parts(entries(code)[key]).variables, "10")
            assert font.getlength(texts.translate_to(code, key, **values)) <= TILE_PX - 8, key
