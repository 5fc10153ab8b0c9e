"""Logging that cannot tell a token, whoever logs it."""

from __future__ import annotations

import logging
import re
import sys

#: Telegram: `123456:` (in links also `%3A`) and at least 30 more; Discord: three base64 parts with dots.
_TOKENS = re.compile(
    r"[0-9]{6,}(?::|%3A)[A-Za-z0-9_-]{30,}|[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{25,}"
)
#: httpx logs whole URLs at INFO, and Telegram's hold the token; the others are only loud.
_QUIET = ("httpx", "httpcore", "telegram", "discord", "apscheduler", "aiosqlite")


def redacted(text: str) -> str:
    """Replace whatever looks like a token."""
    return _TOKENS.sub("(token)", text)


class RedactingFormatter(logging.Formatter):
    """Redacts the finished text: message, arguments and traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record without its tokens."""
        return redacted(super().format(record))


def set_up_logging(level: str) -> None:
    """Log to stderr at this level; loud libraries at WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
