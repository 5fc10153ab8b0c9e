"""Brings letters: one after another on each platform, no faster than the platform likes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.messages import Chat, Reply
from bot.core.outbox import Letter
from bot.core.retry import back_off_s, finished, ring
from bot.db import Ledger

log = logging.getLogger(__name__)

#: Telegram lets a bot write to 30 people a second in all; answers to people come first.
PAUSE_S = 0.1


class Postman:
    """Letters come from the ledger and survive everything. `pause_s` lies between two on one platform."""

    def __init__(
        self,
        ledger: Ledger,
        chats: Mapping[Platform, Chat],
        clock: Callable[[], datetime],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._ledger = ledger
        self._chats = chats
        self._clock = clock
        self._pause_s = pause_s
        self._bells: dict[Platform, asyncio.Event] = {}

    def wake(self) -> None:
        """Say that letters are owed."""
        for bell in self._bells.values():
            bell.set()

    async def run(self) -> None:
        """Deliver until cancelled, on every platform that is switched on."""
        await self._ledger.go_on_telling_everybody()
        async with asyncio.TaskGroup() as rounds:
            for platform in self._chats:
                rounds.create_task(self._serve(platform), name=f"letters-{platform}")
            await asyncio.Event().wait()  # also with no platform at all

    async def deliver(self) -> None:
        """Deliver what is due now."""
        await asyncio.gather(*(self._round(platform) for platform in self._chats))

    async def _serve(self, platform: Platform) -> None:
        bell = self._bells[platform] = asyncio.Event()
        while True:
            bell.clear()
            rest_s = await self._round(platform)
            due = await self._ledger.next_letter_at(platform)
            if due is not None:
                rest_s = max(rest_s, (due - self._clock()).total_seconds())
            await ring(bell, None if due is None else rest_s)

    async def _round(self, platform: Platform) -> float:
        """Deliver one after another; gives how long the platform wants to be left alone then."""
        await self._ledger.pass_requests_on()
        while (letter := await self._ledger.next_letter(platform)) is not None:
            try:
                await finished(self._deliver(self._chats[platform], letter))
            except ChatBusy as busy:  # what was not tried yet waits as well
                await self._ledger.letter_retry(letter, self._clock() + timedelta(seconds=busy.retry_after_s))
                return busy.retry_after_s
            await asyncio.sleep(self._pause_s)
        return 0.0

    async def _deliver(self, chat: Chat, letter: Letter) -> None:
        try:
            with texts.use_language(await self._ledger.language_of(letter.to)):
                reply = _reply(letter)
            if reply is not None:
                account = await self._ledger.known_account(letter.to)
                if account is not None:
                    reply = replace(reply, is_silent=(await self._ledger.preferences_of(account)).is_silent)
                await chat.send(letter.to.alone, reply, nonce=f"letter-{letter.id}")
        except ChatUnreachable as error:
            log.info("letter %d cannot be delivered: %s", letter.id, error)
        except ChatBusy:
            raise
        except Exception:
            log.exception("letter %d failed; it is tried again", letter.id)
            rest = timedelta(seconds=back_off_s(letter.tries))
            await self._ledger.letter_retry(letter, self._clock() + rest)
            return
        await self._ledger.letter_ended(letter)


def _reply(letter: Letter) -> Reply | None:
    """Give what a letter says; nothing when its owner thought better of what whoever asked was to hear."""
    share = letter.share
    if share is None:
        return Reply(letter.words)
    if letter.to == share.place.person:
        return Reply(texts.you_may_draw(share)) if share.may_draw else None
    return texts.share_card(share)
