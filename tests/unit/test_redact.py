"""No token leaves through a log, whoever writes it and however it is wrapped."""

from __future__ import annotations

import logging

import pytest

from bot.redact import RedactingFormatter, redacted

TELEGRAM = "123456789:AAcanary-token_of-telegram-12345678901"
DISCORD = "canaryMTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.canary-secret_of-discord-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"POST https://api.telegram.org/bot{TELEGRAM}/getMe",
        f"GET https://api.telegram.org/file/bot{TELEGRAM.replace(':', '%3A')}/photos/1.jpg",
        f"Authorization: Bot {DISCORD}",
        f"ExtBot[token={TELEGRAM}]",
    ],
)
def test_tokens_are_redacted_in_any_text(text: str) -> None:
    assert "canary" not in redacted(text)


def test_arguments_and_tracebacks_are_redacted_too() -> None:
    try:
        raise ValueError(f"the token {TELEGRAM} was rejected")
    except ValueError as error:
        caught = error
    record = logging.LogRecord(
        "x", logging.ERROR, "x.py", 1, "failed: %r", (DISCORD,), (type(caught), caught, caught.__traceback__)
    )
    line = RedactingFormatter("%(message)s").format(record)
    assert "failed" in line
    assert "was rejected" in line
    assert "canary" not in line


def test_ordinary_text_stays_as_it_is() -> None:
    text = "job 12:34 of account 7 at 2030-01-01 12:00:00.123 is 40713386"
    assert redacted(text) == text
