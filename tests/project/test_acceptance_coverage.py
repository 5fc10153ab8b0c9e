"""Everything that can be done on a chat, and what may happen meanwhile, has an acceptance test."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from bot.core.accounts import Platform
from tests.acceptance.uses import SITUATIONS, everything, of_button, of_words

TESTS = Path(__file__).parents[1] / "acceptance"


def claims() -> dict[Platform, set[str]]:
    """Read what the tests of `make test` say they cover."""
    found: dict[Platform, set[str]] = defaultdict(set)
    for path in sorted(TESTS.glob("test_*.py")):
        for test in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) or is_soak(test):
                continue
            for call in test.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.covers":
                    platform, *uses = (ast.literal_eval(each) for each in call.args)
                    found[Platform(platform)].update(uses)
    return found


def is_soak(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "pytest.mark.soak" in map(ast.unparse, test.decorator_list)


@pytest.mark.parametrize("platform", Platform)
def test_uses_all_have_an_acceptance_test(platform: Platform) -> None:
    assert sorted((everything(platform) | SITUATIONS[platform]) - claims()[platform]) == []


@pytest.mark.parametrize("platform", Platform)
def test_uses_that_tests_claim_exist(platform: Platform) -> None:
    assert sorted(claims()[platform] - everything(platform) - SITUATIONS[platform]) == []


def test_the_buttons_of_the_code_are_known_by_their_actions() -> None:
    pressed = (
        "vary:12:3",
        "set:5:class=dog",
        "share:17:once",
        "share:40713386",
        "draft:5:style=",
        "codes:all",
    )
    for platform in Platform:
        assert {of_button(each) for each in pressed} <= everything(platform)
    assert of_button("vary:12:3") == "[vary:*:*]"


def test_a_command_is_the_same_in_every_language_and_place() -> None:
    assert of_words("/genera 40713386 a boat --n 2") == {"/generate", "--n"}
    assert of_words("/train@loracode_bot") == {"/train"}
    assert of_words("/start share_ABC") == {"/start", "/start with a word"}
    assert of_words("hello") == {"words"}
