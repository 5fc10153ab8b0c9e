"""The last errors of this run, for administrators: without secrets, and never more than a few."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.core.logging import redacted

MAX_KEPT = 50
MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class Trouble:
    """One line of the log that told of an error."""

    at: datetime
    words: str


class Troubles(logging.Handler):
    """Keeps what is logged as an error, one line each: no traceback, whose lines may quote people."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._kept: deque[Trouble] = deque(maxlen=MAX_KEPT)
        #: How many there were since the start.
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.count += 1
        kind = record.exc_info[0] if record.exc_info else None
        line = record.getMessage() if kind is None else f"{record.getMessage()} ({kind.__name__})"
        words = " ".join(redacted(f"{record.name}: {line}").split())
        self._kept.append(Trouble(datetime.fromtimestamp(record.created, UTC), words[:MAX_CHARS]))

    def last(self, count: int) -> list[Trouble]:
        """Give the last ones, the newest first."""
        return list(reversed(self._kept))[:count]
