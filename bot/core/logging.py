"""Logging that cannot tell a token, whoever logs it."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from traceback import extract_tb

from bot.core.errors import LoraCodeError, UserError

#: Telegram: `123456:` (in links also `%3A`) and at least 30 more. Discord: three base64 parts with dots; in
#: an address, that of an interaction: for 15 minutes whoever has it speaks in our name.
_TOKEN_PATTERN = re.compile(
    r"[0-9]{6,}(?::|%3A)[A-Za-z0-9_-]{30,}|[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{25,}"
    r"|(?:interactions|webhooks)/[0-9]+/[^/?\s]+"
)
#: httpx logs whole URLs at INFO, and Telegram's hold the token; the others are only loud.
_NOISY_LOGGERS = ("httpx", "httpcore", "telegram", "discord", "apscheduler", "aiosqlite")


def redact(text: str) -> str:
    """Replace whatever looks like a token."""
    return _TOKEN_PATTERN.sub("(token)", text)


class RedactingFormatter(logging.Formatter):
    """Redacts the finished text: message, arguments and traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record without its tokens."""
        return redact(super().format(record))


#: Whom and what the lines of this task are about: numbers only.
_log_context: ContextVar[Mapping[str, int]] = ContextVar("about", default={})  # noqa: B039 - never changed in place
#: Errors whose words are of machines and settings. Others may quote a person, so only their kind is told.
_SAFE_ERRORS = (OSError, sqlite3.Error, LoraCodeError)


@contextmanager
def log_context(**ids: int) -> Iterator[None]:
    """Let lines that are logged inside name these ids, such as `job` and `account`, where they are JSON."""
    token = _log_context.set({**_log_context.get(), **ids})
    try:
        yield
    finally:
        _log_context.reset(token)


def add_log_context(**ids: int) -> None:
    """Add ids that have just become known to the `about` we are in, such as the account of who asks."""
    _log_context.set({**_log_context.get(), **ids})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ids; of an error its kind and where it was."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record without its tokens, and without the words of errors that may quote a person."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_log_context.get(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = type(error).__name__
            if isinstance(error, _SAFE_ERRORS) and not isinstance(error, UserError):
                entry["reason"] = redact(str(error))
            entry["at"] = [
                f"{each.filename}:{each.lineno} {each.name}" for each in extract_tb(error.__traceback__)
            ]
        return json.dumps(entry, ensure_ascii=False)


def configure_logging(level: str, log_format: str = "text") -> None:
    """Log to stderr at this level, as `text` or `json`; loud libraries at WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    text_formatter = RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text_formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
