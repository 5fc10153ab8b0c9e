"""The last errors of this run, for administrators: without secrets, and never more than a few."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.core.logging import redact

MAX_ENTRIES = 50
MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class LoggedError:
    """One line of the log that told of an error."""

    at: datetime
    text: str


class RecentErrors(logging.Handler):
    """Keeps what is logged as an error, one line each: no traceback, whose lines may quote people."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._entries: deque[LoggedError] = deque(maxlen=MAX_ENTRIES)
        #: How many there were since the start.
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.count += 1
        error_type = record.exc_info[0] if record.exc_info else None
        message = (
            record.getMessage() if error_type is None else f"{record.getMessage()} ({error_type.__name__})"
        )
        text = " ".join(redact(f"{record.name}: {message}").split())
        self._entries.append(LoggedError(datetime.fromtimestamp(record.created, UTC), text[:MAX_CHARS]))

    def last(self, limit: int) -> list[LoggedError]:
        """Return the last ones, the newest first."""
        return list(reversed(self._entries))[:limit]
