"""Where something listens."""

from __future__ import annotations

from typing import NamedTuple


class ListenAddress(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
