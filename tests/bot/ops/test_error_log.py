"""The last errors are kept, few and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from bot.ops.error_log import MAX_CHARS, MAX_ENTRIES, RecentErrors

log = logging.getLogger("loracode.test")


@pytest.fixture
def troubles() -> Iterator[RecentErrors]:
    handler = RecentErrors()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_errors_are_kept_newest_first_and_warnings_are_not(troubles: RecentErrors) -> None:
    log.error("first")
    log.warning("no error")
    log.error("second")
    assert [each.text for each in troubles.last(10)] == ["loracode.test: second", "loracode.test: first"]
    assert len(troubles.last(1)) == 1


def test_an_exception_is_named_but_its_words_and_lines_are_not_told(troubles: RecentErrors) -> None:
    try:
        raise ValueError("what a person wrote")
    except ValueError:
        log.exception("a use case failed")
    assert [each.text for each in troubles.last(1)] == ["loracode.test: a use case failed (ValueError)"]


def test_a_token_is_never_kept(troubles: RecentErrors) -> None:
    log.error("refused: %s", "123456789:" + "A" * 35)
    assert "AAAA" not in troubles.last(1)[0].text


def test_the_error_log_keeps_a_few_short_lines(troubles: RecentErrors) -> None:
    for _ in range(MAX_ENTRIES + 5):
        log.error("x\n" * 1000)
    kept = troubles.last(1000)
    assert len(kept) == MAX_ENTRIES
    assert all(len(each.text) <= MAX_CHARS and "\n" not in each.text for each in kept)
