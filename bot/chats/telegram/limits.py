"""When the next message may go: Telegram's limits, and answers to people first. Without clock and network."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from telegram.constants import FloodLimit


class Rank(IntEnum):
    """Who goes first."""

    ANSWER = 0  #: somebody waits for it
    NOTICE = 1  #: we speak of our own accord
    CARD = 2  #: a progress card: the next one makes it needless


@dataclass(frozen=True, slots=True)
class Limit:
    """So many messages in any period; of those so many for progress cards, which leave room for answers."""

    count: int
    period_s: float
    cards: int

    def of(self, rank: Rank) -> int:
        """Give how many there may be at a rank."""
        return self.cards if rank is Rank.CARD else self.count


@dataclass(frozen=True, slots=True)
class Limits:
    """What Telegram allows: in all, in any chat, and in a group besides. Edits count as messages.

    https://core.telegram.org/bots/faq: one a second in a chat, with short bursts; 20 a minute in a group.
    """

    overall: Limit = Limit(int(FloodLimit.MESSAGES_PER_SECOND), 1.0, 24)
    chat: Limit = Limit(3, 3.0, 1)
    group: Limit = Limit(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0, 14)


class Window:
    """The messages of the last period.

    One counts from before it is sent until a period after it was answered: however long each is on its way,
    no more than allowed arrive at Telegram within any period.
    """

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._under_way = 0
        self._until_s: deque[float] = deque()

    def wait_s(self, weight: int, rank: Rank, now_s: float) -> float:
        """Give how long a call of so many messages has to wait; inf: until one under way has ended."""
        while self._until_s and self._until_s[0] <= now_s:
            self._until_s.popleft()
        used = self._under_way + len(self._until_s)
        # An album of more than ever may be goes once there is nothing else.
        too_many = min(used, used + weight - self._limit.of(rank))
        if too_many <= 0:
            return 0.0
        return math.inf if too_many > len(self._until_s) else self._until_s[too_many - 1] - now_s

    def begin(self, weight: int) -> None:
        """Count a call that goes now."""
        self._under_way += weight

    def end(self, weight: int, now_s: float) -> None:
        """Note that it was answered."""
        self._under_way -= weight
        self._until_s.extend([now_s + self._limit.period_s] * weight)

    def is_empty(self, now_s: float) -> bool:
        """Tell whether nothing counts any more."""
        return self.wait_s(self._limit.count, Rank.ANSWER, now_s) == 0.0


@dataclass(slots=True)
class Chat:
    """What counts in one chat. `held_until_s`: Telegram itself asked to be left alone there."""

    windows: tuple[Window, ...]
    held_until_s: float = -math.inf
    calls: int = 0  #: that wait or are under way


@dataclass(eq=False, slots=True)
class Call:
    """Something to be sent to a chat: one message, or an album of `weight` pictures."""

    chat_id: int
    rank: Rank
    weight: int = 1
    number: int = field(default=0, init=False)


class Line:
    """Calls that wait for their turn. Those of one chat and rank keep their order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._overall = Window(limits.overall)
        self._chats: dict[int, Chat] = {}
        self._waiting: list[Call] = []
        self._count = 0

    def __len__(self) -> int:
        """Count the chats that are remembered."""
        return len(self._chats)

    def join(self, call: Call) -> None:
        """Let a call wait."""
        self._count += 1
        call.number = self._count
        self._chat(call.chat_id).calls += 1
        insort(self._waiting, call, key=lambda each: (each.rank, each.number))

    def leave(self, call: Call) -> bool:
        """Forget a call that waits no longer; False when its turn has come already."""
        if call not in self._waiting:
            return False
        self._waiting.remove(call)
        self._chat(call.chat_id).calls -= 1
        return True

    def chat_wait_s(self, call: Call, now_s: float) -> float:
        """Give how long its chat makes a call wait, whatever else there is to say."""
        chat = self._chat(call.chat_id)
        waits_s = (each.wait_s(call.weight, call.rank, now_s) for each in chat.windows)
        return max(chat.held_until_s - now_s, *waits_s)

    def go(self, now_s: float) -> Iterator[Call]:
        """Give the calls whose turn it is; each counts from then on, until it is told to have ended."""
        blocked: set[int] = set()
        for call in list(self._waiting):
            if self._overall.wait_s(call.weight, call.rank, now_s) > 0:
                return  # whoever comes later has no better right
            if call.chat_id in blocked or self.chat_wait_s(call, now_s) > 0:
                blocked.add(call.chat_id)
                continue
            self._waiting.remove(call)
            for window in (self._overall, *self._chat(call.chat_id).windows):
                window.begin(call.weight)
            yield call

    def end(self, call: Call, now_s: float, hold_s: float = 0.0) -> None:
        """Note that a call was answered, and whether Telegram asked to be left alone in that chat."""
        chat = self._chat(call.chat_id)
        for window in (self._overall, *chat.windows):
            window.end(call.weight, now_s)
        chat.held_until_s = max(chat.held_until_s, now_s + hold_s)
        chat.calls -= 1

    def wait_s(self, now_s: float) -> float:
        """Give the time after which somebody may go, if nothing happens before; inf: nobody."""
        soonest_s, chats = math.inf, set[int]()
        for call in self._waiting:
            overall_s = self._overall.wait_s(call.weight, call.rank, now_s)
            if overall_s > 0:
                return min(soonest_s, overall_s)
            if call.chat_id not in chats:  # whoever comes later goes after the first one there
                chats.add(call.chat_id)
                soonest_s = min(soonest_s, self.chat_wait_s(call, now_s))
        return soonest_s

    def tidy(self, now_s: float) -> None:
        """Forget chats in which nothing counts any more."""
        for chat_id, chat in list(self._chats.items()):
            is_quiet = not chat.calls and chat.held_until_s <= now_s
            if is_quiet and all(window.is_empty(now_s) for window in chat.windows):
                del self._chats[chat_id]

    def _chat(self, chat_id: int) -> Chat:
        chat = self._chats.get(chat_id)
        if chat is None:
            limits = (self._limits.chat, self._limits.group) if chat_id < 0 else (self._limits.chat,)
            chat = self._chats[chat_id] = Chat(tuple(Window(each) for each in limits))
        return chat
