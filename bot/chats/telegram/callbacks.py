"""Buttons: their actions go to the Studio as they are, so that they work after a restart and years later."""

from __future__ import annotations

import asyncio
import logging

from telegram import CallbackQuery, Update
from telegram.constants import CallbackQueryLimit
from telegram.error import TelegramError
from telegram.ext import ContextTypes

from bot.chats.base import run_use_case, use_language_of
from bot.chats.telegram.replies import MessageRef, TelegramReplies, to_message_ref
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services import Services

log = logging.getLogger(__name__)

#: Telegram gives up on a press after some fifteen seconds; people do so sooner.
ACKNOWLEDGE_TIMEOUT_S = 2.0
MAX_ALERT_CHARS = int(CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH)


class CallbackHandlers:
    """Carries presses out and acknowledges each; a refusal is told to whoever pressed, alone."""

    def __init__(
        self,
        services: Services,
        replies: TelegramReplies,
        acknowledge_timeout_s: float = ACKNOWLEDGE_TIMEOUT_S,
    ) -> None:
        self._services = services
        self._replies = replies
        self._acknowledge_timeout_s = acknowledge_timeout_s
        self._in_progress: set[tuple[MessageRef, str]] = set()

    async def on_callback_query(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Take a press. Of a message too old for Telegram to show, chat and number are enough."""
        query = update.callback_query
        if query is None or query.data is None or query.message is None:
            return
        ref = to_message_ref(query.message, query.from_user)
        if ref is None:
            return
        press = (ref, query.data)
        if press in self._in_progress:  # a double tap
            await _acknowledge(query)
            return
        self._in_progress.add(press)
        try:
            async with use_language_of(self._services, ref.identity):
                await self._run_action(query, ref, query.data)
        finally:
            self._in_progress.discard(press)

    async def _run_action(self, query: CallbackQuery, ref: MessageRef, action: str) -> None:
        # A press can be acknowledged once only, and the refusal is what it is wanted for: we wait for one,
        # but not for long.
        task: asyncio.Task[Reply] = asyncio.ensure_future(
            self._services.handle_button(ref.identity, ref.address, action)
        )
        await asyncio.wait([task], timeout=self._acknowledge_timeout_s)
        refusal = _refusal_text(task)
        was_acknowledged = await _acknowledge(query, refusal)
        reply = await run_use_case(task)
        if refusal and was_acknowledged:
            return
        if reply.pressed_result_job_id is not None:
            await self._services.record_copy(reply.pressed_result_job_id, ref.address, str(ref.message_id))
        if reply.edits_message and await self._replies.replace_message(ref, reply):
            return
        await self._replies.show(ref, reply)


def _refusal_text(task: asyncio.Task[Reply]) -> str | None:
    """Give the sentence of a refusal that is short enough to be told by an alert."""
    error = task.exception() if task.done() and not task.cancelled() else None
    return error.message if isinstance(error, UserError) and len(error.message) <= MAX_ALERT_CHARS else None


async def _acknowledge(query: CallbackQuery, alert: str | None = None) -> bool:
    try:
        await query.answer(alert, show_alert=alert is not None)
    except TelegramError as error:  # mostly too late for it, after a restart: the press counts all the same
        log.info("a press could not be acknowledged: %s", error.message)
        return False
    return True
