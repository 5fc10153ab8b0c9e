"""Buttons: their actions go to the Studio as they are, so that they work after a restart and years later."""

from __future__ import annotations

import asyncio
import logging

from telegram import CallbackQuery, Update
from telegram.constants import CallbackQueryLimit
from telegram.error import TelegramError
from telegram.ext import ContextTypes

from bot.chats.base import answered, speaking
from bot.chats.telegram.replies import Answers, Spot, spot_of
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)

#: Telegram gives up on a press after some fifteen seconds; people do so sooner.
ACKNOWLEDGE_WITHIN_S = 2.0
_MAX_ALERT = int(CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH)


class Presses:
    """Carries presses out and acknowledges each; a refusal is told to whoever pressed, alone."""

    def __init__(
        self, studio: Studio, answers: Answers, acknowledge_within_s: float = ACKNOWLEDGE_WITHIN_S
    ) -> None:
        self._studio = studio
        self._answers = answers
        self._acknowledge_within_s = acknowledge_within_s
        self._under_way: set[tuple[Spot, str]] = set()

    async def on_press(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Take a press. Of a message too old for Telegram to show, chat and number are enough."""
        query = update.callback_query
        if query is None or query.data is None or query.message is None:
            return
        spot = spot_of(query.message, query.from_user)
        if spot is None:
            return
        press = (spot, query.data)
        if press in self._under_way:  # a double tap
            await _acknowledge(query)
            return
        self._under_way.add(press)
        try:
            async with speaking(self._studio, spot.who):
                await self._carry_out(query, spot, query.data)
        finally:
            self._under_way.discard(press)

    async def _carry_out(self, query: CallbackQuery, spot: Spot, action: str) -> None:
        # A press can be acknowledged once only, and the refusal is what it is wanted for: we wait for one,
        # but not for long.
        work: asyncio.Task[Reply] = asyncio.ensure_future(self._studio.press(spot.who, spot.place, action))
        await asyncio.wait([work], timeout=self._acknowledge_within_s)
        refusal = _refusal(work)
        told = await _acknowledge(query, refusal)
        reply = await answered(work)
        if refusal and told:
            return
        if reply.pressed_copy_of is not None:
            await self._studio.copy_shown(reply.pressed_copy_of, spot.place, str(spot.message_id))
        if reply.replaces and await self._answers.replace(spot, reply):
            return
        await self._answers.give(spot, reply)


def _refusal(work: asyncio.Task[Reply]) -> str | None:
    """Give the sentence of a refusal that is short enough to be told by an alert."""
    error = work.exception() if work.done() and not work.cancelled() else None
    return error.sentence if isinstance(error, UserError) and len(error.sentence) <= _MAX_ALERT else None


async def _acknowledge(query: CallbackQuery, alert: str | None = None) -> bool:
    try:
        await query.answer(alert, show_alert=alert is not None)
    except TelegramError as error:  # mostly too late for it, after a restart: the press counts all the same
        log.info("a press could not be acknowledged: %s", error.message)
        return False
    return True
