"""Telegram's documented limits, kept by the server: what crosses them is counted and refused."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class RateWindow:
    """At most `count` messages in any `period_s`."""

    count: int
    period_s: float
    _times_s: deque[float] = field(default_factory=deque)

    def wait_s(self, weight: int, now_s: float) -> float:
        """Return the time after which so many more would fit; 0: now."""
        while self._times_s and self._times_s[0] <= now_s - self.period_s:
            self._times_s.popleft()
        missing = min(len(self._times_s), len(self._times_s) + weight - self.count)
        return 0.0 if missing <= 0 else self._times_s[missing - 1] + self.period_s - now_s

    def add(self, weight: int, now_s: float) -> None:
        """Count messages."""
        self._times_s.extend([now_s] * weight)


class FloodControl:
    """30 messages a second in all, one a second in a chat with bursts of three, 20 a minute in a group."""

    def __init__(self) -> None:
        self._overall = RateWindow(30, 1.0)
        self._chats: dict[int, list[RateWindow]] = {}
        self.violations: list[str] = []

    def wait_s(self, chat: int, weight: int, now_s: float) -> float:
        """Count messages to a chat and give 0; or note that they cross a limit, and give how long to wait."""
        windows = self._chats.get(chat)
        if windows is None:
            windows = self._chats[chat] = [RateWindow(3, 3.0), *([RateWindow(20, 60.0)] if chat < 0 else [])]
        for window in (self._overall, *windows):
            wait_s = window.wait_s(weight, now_s)
            if wait_s > 0:
                scope = "all chats" if window is self._overall else f"chat {chat}"
                self.violations.append(f"more than {window.count} in {window.period_s:.0f} s to {scope}")
                return wait_s
        for window in (self._overall, *windows):
            window.add(weight, now_s)
        return 0.0
