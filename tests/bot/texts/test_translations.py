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

from bot.chats.commands import COMMAND_NAMES
from bot.core.accounts import Platform
from bot.core.jobs import FailureReason, JobFailure
from bot.core.photos import PhotoRefusal
from bot.jobs.styles import load_styles
from bot.media.contact_sheet import TILE_PX
from bot.texts import languages, match_language, translate, translate_to, use_language
from bot.texts.admin.commands import ADMIN_COMMANDS
from bot.texts.cards import failure_sentence
from bot.texts.commands import command_name, command_names
from bot.texts.photo_sets import photo_refusal
from bot.texts.words import example_command
from gpu_worker.errors import BadInput
from gpu_worker.protocol import FallbackCause, JobProblem

BOT = Path(__file__).parents[3] / "bot"
FOLDER = BOT / "texts"
OTHERS = [code for code in languages() if code != "en"]
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


@cache
def syntax_trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(BOT.rglob("*.py"))}


def calls_by_function(tree: ast.Module) -> dict[ast.Call, ast.AST]:
    """Return each call of a module with the innermost function around it, or the module."""
    functions: dict[ast.Call, ast.AST] = {}
    for node in ast.walk(tree):  # the outer ones come first
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            functions.update({call: node for call in ast.walk(node) if isinstance(call, ast.Call)})
    return functions


def key_options(
    key: ast.expr, function: ast.AST, followed: frozenset[str] = frozenset()
) -> Iterator[ast.expr]:
    """Yield what a key may be: both sides of a condition, and all that a local name is assigned.

    A name that was followed already is not followed again: `key = "other" if … else key`.
    """
    if isinstance(key, ast.IfExp):
        yield from key_options(key.body, function, followed)
        yield from key_options(key.orelse, function, followed)
    elif isinstance(key, ast.Name) and key.id not in followed:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and key.id in map(ast.unparse, node.targets):
                yield from key_options(node.value, function, followed | {key.id})
    else:
        yield key


@cache
def translate_calls() -> list[tuple[Path, ast.expr, set[str] | None]]:
    """Return each call of `translate`: its file, key and values; None where a dictionary holds them."""
    calls = []
    for path, tree in syntax_trees().items():
        for node, function in calls_by_function(tree).items():
            name = ast.unparse(node.func).rpartition(".")[2]
            if name not in ("translate", "translate_to"):
                continue
            values = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            known_values = values if len(values) == len(node.keywords) else None
            for key in key_options(node.args[1 if name == "translate_to" else 0], function):
                calls.append((path, key, known_values))
    return calls


def constant_calls() -> Iterator[tuple[Path, str, set[str] | None]]:
    """Yield the calls of `translate` whose key is written out."""
    for path, key, values in translate_calls():
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield path, key.value, values


def composed_keys() -> Iterator[tuple[Path, str]]:
    """Yield the keys that are put together, such as `f"state-{lora.state}"`, as patterns."""
    for path, key, _ in translate_calls():
        if isinstance(key, ast.JoinedStr):
            parts = (
                re.escape(str(x.value)) if isinstance(x, ast.Constant) else "[a-z-]+" for x in key.values
            )
            yield path, "".join(parts)


def table_keys() -> set[str]:
    """Return the strings that may be keys in a table. A word without a hyphen is one in `translate` alone."""
    nodes = [node for tree in syntax_trees().values() for node in ast.walk(tree)]
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    prefixes = {
        str(node.values[0].value)
        for node in nodes
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant)
    }
    beginnings = tuple(prefix for prefix in prefixes if re.fullmatch(r"[a-z]+-[a-z-]*", prefix))
    return {key for key in entries("en") if "-" in key and (key in strings or key.startswith(beginnings))}


def test_languages_are_english_and_italian() -> None:
    assert languages()[:2] == ("en", "it")


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_has_every_text_and_no_other(code: str) -> None:
    assert set(entries("en")) - set(entries(code)) == set(), "missing"
    assert set(entries(code)) - set(entries("en")) == set(), "left over"


def test_every_text_is_used() -> None:
    used = {key for _, key, _ in constant_calls()} | table_keys()
    used |= {name for each in entries("en").values() for name in Parts(each).references}
    patterns = [pattern for _, pattern in composed_keys()]
    unused = [
        key for key in entries("en") if key not in used and not any(re.fullmatch(x, key) for x in patterns)
    ]
    assert not unused


def test_every_text_that_is_used_exists() -> None:
    calls = list(constant_calls())
    assert len(calls) > 200, "the calls of `translate` were not found"
    assert [(path.name, key) for path, key, _ in calls if key not in entries("en")] == []
    composed = list(composed_keys())
    assert composed, "the keys that are put together were not found"
    assert [x for x in composed if not any(re.fullmatch(x[1], key) for key in entries("en"))] == []


def is_bare_translation(value: ast.expr | None) -> bool:
    """Check whether an expression is `translate("key", …)` or `Reply(translate("key", …))` and no more."""
    if not isinstance(value, ast.Call) or not value.args:
        return False
    if ast.unparse(value.func) == "Reply":
        return len(value.args) == 1 and is_bare_translation(value.args[0])
    return ast.unparse(value.func) == "translate" and isinstance(value.args[0], ast.Constant | ast.JoinedStr)


def test_no_function_of_the_texts_only_wraps_translate() -> None:
    wrappers = []
    for path, tree in syntax_trees().items():
        for node in tree.body:
            if path.parent != FOLDER or not isinstance(node, ast.FunctionDef):
                continue
            statements = [each for each in node.body if not isinstance(each, ast.Expr)]
            if isinstance(statements[0], ast.Return) and is_bare_translation(statements[0].value):
                wrappers.append(f"{path.name}: {node.name}")
    assert wrappers == []


def test_a_text_gets_the_values_it_needs() -> None:
    for path, key, values in constant_calls():
        inside = [Parts(entries("en")[name]).variables for name in Parts(entries("en")[key]).references]
        needed = Parts(entries("en")[key]).variables.union(*inside)
        assert values is None or values == needed, f"{path.name}: {key}"


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_uses_the_same_values(code: str) -> None:
    for key, english in entries("en").items():
        assert Parts(entries(code)[key]).variables == Parts(english).variables, key


@pytest.mark.parametrize("code", languages())
def test_counted_texts_have_every_plural_form_of_their_language(code: str) -> None:
    for key, message in entries(code).items():
        for variable, forms in Parts(message).plurals:
            assert forms == PLURALS[code], key
            english = {name for name, _ in Parts(entries("en")[key]).plurals}
            assert variable in english, key


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_is_not_the_english_text(code: str) -> None:
    same = [key for key, each in entries(code).items() if translate_to("en", key) == translate_to(code, key)]
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
    assert match_language(locale) == code


def test_a_language_is_spoken_inside_its_block_alone() -> None:
    english = translate("stale-button")
    with use_language("it-IT"):
        italian = translate("stale-button")
        with use_language("fr"):
            assert english == translate("stale-button")
        assert italian == translate("stale-button")
    assert translate("stale-button") == english != italian


def test_values_are_written_as_they_are() -> None:
    with use_language("it"):
        assert "40713386" in example_command(Platform.TELEGRAM, "40713386")
        assert translate("pictures", count=1500) == "1500 immagini"
        assert translate("pictures", count=1) == "1 immagine"
        assert "\u2068" not in translate("link-word", word="ABCDEF")


def test_a_text_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError):
        translate("no-such-text")


@pytest.mark.parametrize("code", languages())
def test_each_reason_to_refuse_a_photo_has_a_sentence_of_its_own(code: str) -> None:
    with use_language(code):
        sentences = [photo_refusal(reason) for reason in PhotoRefusal]
    assert len(set(sentences)) == len(PhotoRefusal)
    assert not [sentence for sentence in sentences if "{" in sentence], "a value is missing"
    assert "20 MB" in sentences[PhotoRefusal.TOO_MANY_BYTES]
    assert "201 mil" in sentences[PhotoRefusal.TOO_MANY_PIXELS]
    assert "50 mil" in sentences[PhotoRefusal.TOO_MANY_PIXELS_WHOLE]
    assert "25 mil" in sentences[PhotoRefusal.TOO_MANY_PIXELS_WEB]
    assert "256 pixel" in sentences[PhotoRefusal.TOO_SMALL]


@pytest.mark.parametrize("code", languages())
def test_commands_are_named_as_both_platforms_take_them(code: str) -> None:
    names = [command_name(each, code) for each in COMMAND_NAMES]
    assert len(set(names)) == len(names)
    assert not set(names) & set(ADMIN_COMMANDS)
    for each, name in zip(COMMAND_NAMES, names, strict=True):
        assert re.fullmatch(r"[a-z0-9_]{1,32}", name), name
        assert 1 <= len(translate_to(code, f"telegram-{each}")) <= 256
    described = [key for key in entries("en") if key.startswith("discord-")]
    assert [key for key in described if len(translate_to(code, key)) > 100] == []


def test_a_name_means_one_command_in_all_languages_together() -> None:
    meanings = [(also, each) for each in COMMAND_NAMES for also in command_names(each)]
    assert len(dict(meanings)) == len(meanings)


@pytest.mark.parametrize("code", languages())
def test_a_text_names_commands_as_its_language_does(code: str) -> None:
    known = {command_name(each, code) for each in COMMAND_NAMES} | {"quit"}
    source = (FOLDER / f"{code}.ftl").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if not line.startswith("#")]
    named = {name for line in lines for name in re.findall(r"(?<![\w/])/([a-z]+)", line)}
    assert named <= known


@pytest.mark.parametrize("code", OTHERS)
def test_a_caption_stays_short_enough_for_telegram(code: str) -> None:
    for key in entries(code):
        assert len(translate_to(code, key)) <= 1024, key


#: What the texts of problems name.
PROBLEM_VALUES = (
    *("resolution_px", "name", "known", "limit", "low", "high", "part", "dtype", "detail", "needed_gb"),
    *("free_gb", "gpu", "architecture", "torch", "command", "signal", "status", "kind", "model", "wanted"),
    *("trained_kind", "needed_gib", "free_gib", "device"),
)


@pytest.mark.parametrize("code", languages())
def test_each_reason_of_a_failure_has_a_sentence_of_its_own(code: str) -> None:
    values = {name: "7" for name in PROBLEM_VALUES}
    reasons = [*FailureReason, *JobProblem]
    with use_language(code):
        sentences = [failure_sentence(JobFailure(reason, values)) for reason in reasons]
    assert len({*sentences}) == len(reasons)
    assert not [each for each in sentences if each is None or "{" in each], "a value is missing"
    if (
        code == "en"
    ):  # as the worker's command line writes it, where a person of a chat can do the same about it
        written = {each: str(BadInput(each, **values)) for each in JobProblem}
        differing = [
            each
            for each, sentence in zip(reasons, sentences, strict=True)
            if each in written and written[JobProblem(each)] != sentence
        ]
        assert differing == [JobProblem.TRAINING_OUT_OF_MEMORY, JobProblem.TRAINING_NOT_FINITE]


@pytest.mark.parametrize("code", languages())
def test_each_cause_of_a_fallback_has_a_text(code: str) -> None:
    assert [cause for cause in FallbackCause if f"fallback-{cause}" not in entries(code)] == []


def test_a_sentence_that_an_earlier_version_kept_is_shown_as_it_is() -> None:
    with use_language("it"):
        assert failure_sentence(JobFailure(sentence="The base model is a pickle.")) == (
            "The base model is a pickle."
        )


@pytest.mark.parametrize("code", OTHERS)
def test_every_style_has_a_label_in_every_language(code: str) -> None:
    assert [style.name for style in load_styles() if code not in style.labels] == []
    with use_language("it"):
        assert load_styles().resolve("pittura a olio").name == "oil"
        assert [each.label for each in load_styles().search("olio")] == ["Pittura a olio"]


@pytest.mark.parametrize("code", languages())
def test_a_remark_under_a_photo_of_the_contact_sheet_fits(code: str) -> None:
    font = ImageFont.load_default(17)
    for key in entries(code):
        if key.startswith(("mark-", "example-")) and key != "example-discord":
            values = dict.fromkeys(Parts(entries(code)[key]).variables, "10")
            assert font.getlength(translate_to(code, key, **values)) <= TILE_PX - 8, key
