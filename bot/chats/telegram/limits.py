"""When the next message may go: Telegram's limits, and answers to people first. Without clock and network."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from telegram.constants import FloodLimit


class Priority(IntEnum):
    """Who goes first."""

    ANSWER = 0  #: somebody waits for it
    NOTICE = 1  #: we speak of our own accord
    CARD = 2  #: a progress card: the next one makes it needless


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many messages in any period; of those so many for progress cards, which leave room for answers."""

    count: int
    period_s: float
    card_count: int

    def count_for(self, priority: Priority) -> int:
        """Return how many there may be at a rank."""
        return self.card_count if priority is Priority.CARD else self.count


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What Telegram allows: in all, in any chat, and in a group besides. Edits count as messages.

    https://core.telegram.org/bots/faq: one a second in a chat, with short bursts; 20 a minute in a group.
    """

    overall: RateLimit = RateLimit(int(FloodLimit.MESSAGES_PER_SECOND), 1.0, 24)
    chat: RateLimit = RateLimit(3, 3.0, 1)
    group: RateLimit = RateLimit(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0, 14)


class SlidingWindow:
    """The messages of the last period.

    One counts from before it is sent until a period after it was answered: however long each is on its way,
    no more than allowed arrive at Telegram within any period.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._in_flight = 0
        self._expiry_times_s: deque[float] = deque()

    def wait_s(self, message_count: int, priority: Priority, now_s: float) -> float:
        """Return how long a call of so many messages has to wait; inf: until one under way has ended."""
        while self._expiry_times_s and self._expiry_times_s[0] <= now_s:
            self._expiry_times_s.popleft()
        used_count = self._in_flight + len(self._expiry_times_s)
        # An album of more than ever may be goes once there is nothing else.
        excess_count = min(used_count, used_count + message_count - self._limit.count_for(priority))
        if excess_count <= 0:
            return 0.0
        return (
            math.inf
            if excess_count > len(self._expiry_times_s)
            else self._expiry_times_s[excess_count - 1] - now_s
        )

    def begin(self, message_count: int) -> None:
        """Count a call that goes now."""
        self._in_flight += message_count

    def end(self, message_count: int, now_s: float) -> None:
        """Note that it was answered."""
        self._in_flight -= message_count
        self._expiry_times_s.extend([now_s + self._limit.period_s] * message_count)

    def is_empty(self, now_s: float) -> bool:
        """Return whether nothing counts any more."""
        return self.wait_s(self._limit.count, Priority.ANSWER, now_s) == 0.0


@dataclass(slots=True)
class ChatState:
    """What counts in one chat. `held_until_s`: Telegram itself asked to be left alone there."""

    windows: tuple[SlidingWindow, ...]
    paused_until_s: float = -math.inf
    open_calls: int = 0  #: that wait or are under way


@dataclass(eq=False, slots=True)
class ApiCall:
    """Something to be sent to a chat: one message, or an album of so many pictures."""

    chat_id: int
    priority: Priority
    message_count: int = 1
    edit_key: tuple[str, int] | None = None  #: what is edited, and how; the newest edit makes others needless
    sequence: int = field(default=0, init=False)
    has_begun: bool = field(default=False, init=False)


class SendQueue:
    """Calls that wait for their turn. Those of one chat and rank keep their order."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._overall = SlidingWindow(limits.overall)
        self._chats: dict[int, ChatState] = {}
        self._pending: list[ApiCall] = []
        self._last_sequence = 0

    def __len__(self) -> int:
        """Count the chats that are remembered."""
        return len(self._chats)

    def add(self, call: ApiCall) -> ApiCall | None:
        """Let a call wait; one that comes again takes its old place. Return the edit that became needless."""
        if not call.sequence:
            self._last_sequence += 1
            call.sequence = self._last_sequence
        call.has_begun = False
        self._get_chat(call.chat_id).open_calls += 1
        insort(self._pending, call, key=lambda each: (each.priority, each.sequence))
        needless = self._find_needless_edit(call)
        if needless is not None:
            self.remove(needless)
        return needless

    def _find_needless_edit(self, call: ApiCall) -> ApiCall | None:
        edits = [
            each
            for each in self._pending
            if call.edit_key is not None
            and (each.edit_key, each.chat_id, each.priority) == (call.edit_key, call.chat_id, call.priority)
        ]
        return min(edits, key=lambda each: each.sequence) if len(edits) > 1 else None

    def remove(self, call: ApiCall) -> bool:
        """Forget a call that waits no longer; False when its turn has come already."""
        if call not in self._pending:
            return False
        self._pending.remove(call)
        self._get_chat(call.chat_id).open_calls -= 1
        return True

    def chat_wait_s(self, call: ApiCall, now_s: float) -> float:
        """Return how long its chat makes a call wait, whatever else there is to say."""
        chat = self._get_chat(call.chat_id)
        window_waits_s = (each.wait_s(call.message_count, call.priority, now_s) for each in chat.windows)
        return max(chat.paused_until_s - now_s, *window_waits_s)

    def pop_ready(self, now_s: float) -> Iterator[ApiCall]:
        """Return the calls whose turn it is; each counts from then on, until it is told to have ended."""
        blocked_chats: set[int] = set()
        for call in list(self._pending):
            if self._overall.wait_s(call.message_count, call.priority, now_s) > 0:
                return  # whoever comes later has no better right
            if call.chat_id in blocked_chats or self.chat_wait_s(call, now_s) > 0:
                blocked_chats.add(call.chat_id)
                continue
            self._pending.remove(call)
            call.has_begun = True
            for window in (self._overall, *self._get_chat(call.chat_id).windows):
                window.begin(call.message_count)
            yield call

    def complete(self, call: ApiCall, now_s: float, pause_s: float = 0.0) -> None:
        """Note that a call was answered, and whether Telegram asked to be left alone in that chat."""
        chat = self._get_chat(call.chat_id)
        for window in (self._overall, *chat.windows):
            window.end(call.message_count, now_s)
        chat.paused_until_s = max(chat.paused_until_s, now_s + pause_s)
        chat.open_calls -= 1

    def wait_s(self, now_s: float) -> float:
        """Return the time after which somebody may go, if nothing happens before; inf: nobody."""
        soonest_s, seen_chats = math.inf, set[int]()
        for call in self._pending:
            overall_s = self._overall.wait_s(call.message_count, call.priority, now_s)
            if overall_s > 0:
                return min(soonest_s, overall_s)
            if call.chat_id not in seen_chats:  # whoever comes later goes after the first one there
                seen_chats.add(call.chat_id)
                soonest_s = min(soonest_s, self.chat_wait_s(call, now_s))
        return soonest_s

    def drop_idle_chats(self, now_s: float) -> None:
        """Forget chats in which nothing counts any more."""
        for chat_id, chat in list(self._chats.items()):
            is_idle = not chat.open_calls and chat.paused_until_s <= now_s
            if is_idle and all(window.is_empty(now_s) for window in chat.windows):
                del self._chats[chat_id]

    def _get_chat(self, chat_id: int) -> ChatState:
        chat = self._chats.get(chat_id)
        if chat is None:
            limits = (self._limits.chat, self._limits.group) if chat_id < 0 else (self._limits.chat,)
            chat = self._chats[chat_id] = ChatState(tuple(SlidingWindow(each) for each in limits))
        return chat
