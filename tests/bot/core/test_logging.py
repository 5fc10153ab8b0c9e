"""No token leaves through a log, whoever writes it and however it is wrapped."""

from __future__ import annotations

import json
import logging

import pytest

from bot.core.errors import UserError
from bot.core.logging import JsonFormatter, RedactingFormatter, add_log_context, log_context, redact

TELEGRAM = "123456789:AAcanary-token_of-telegram-12345678901"
DISCORD = "canaryMTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.canary-secret_of-discord-0123456789"

INTERACTION = "aW50ZXJhY3Rpb246MTIzNDU2Nzg5Ocanary_of-an-interaction"


@pytest.mark.parametrize(
    "text",
    [
        f"POST https://api.telegram.org/bot{TELEGRAM}/getMe",
        f"GET https://api.telegram.org/file/bot{TELEGRAM.replace(':', '%3A')}/photos/1.jpg",
        f"Authorization: Bot {DISCORD}",
        f"ExtBot[token={TELEGRAM}]",
        # As aiohttp tells of a connection that took too long.
        f"Connection timeout to host https://discord.com/api/v10/interactions/123/{INTERACTION}/callback",
        f"Connection timeout to host https://discord.com/api/v10/webhooks/123/{INTERACTION}/messages/@original",
        f"Connection timeout to host https://discord.com/api/v10/webhooks/123/{INTERACTION}?wait=true",
    ],
)
def test_tokens_are_redacted_in_any_text(text: str) -> None:
    assert "canary" not in redact(text)


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
    assert redact(text) == text


def line_of(message: str, *args: object, error: Exception | None = None) -> dict[str, object]:
    """What the JSON formatter makes of a record."""
    thrown = None
    if error is not None:
        try:
            raise error
        except type(error) as caught:
            thrown = (type(caught), caught, caught.__traceback__)
    record = logging.LogRecord("bot.x", logging.ERROR, "x.py", 1, message, args, thrown)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read: dict[str, object] = json.loads(line)
    return read


def test_a_json_line_names_the_job_and_the_account_it_is_about() -> None:
    with log_context(job=12, account=3):
        with log_context(attempt=2):
            inner = line_of("it ran")
        outer = line_of("it ended")
    assert (inner["job"], inner["account"], inner["attempt"]) == (12, 3, 2)
    assert outer["message"] == "it ended"
    assert "attempt" not in outer
    assert not {"job", "account"} & line_of("nothing").keys()


def test_log_context_added_in_a_task_ends_with_the_task() -> None:
    with log_context():
        add_log_context(account=3)
        assert line_of("x")["account"] == 3
    assert "account" not in line_of("y")


def test_a_json_line_has_no_token_and_no_message_of_an_error() -> None:
    line = line_of("failed: %r", DISCORD, error=ValueError("canary in a red hat"))
    assert "canary" not in json.dumps(line)
    assert line["error"] == "ValueError"
    assert str(line["at"]).count("line_of") == 1
    assert "canary" not in json.dumps(line_of("failed", error=UserError("canary in a red hat")))
    told = line_of("failed", error=OSError(28, f"No space left, said {TELEGRAM}"))
    assert "No space left" in str(told["reason"])
    assert "canary" not in str(told["reason"])
