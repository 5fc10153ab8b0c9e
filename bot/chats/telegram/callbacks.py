"""Buttons: each is handled by its action alone, so that it works after a restart and years later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from telegram import CallbackQuery, Update
from telegram.constants import CallbackQueryLimit
from telegram.error import TelegramError
from telegram.ext import ContextTypes

from bot.chats.base import handle_action
from bot.chats.telegram.replies import MessageRef, TelegramReplies, to_message_ref
from bot.chats.telegram.updates import idempotency_key
from bot.core.messages import Reply, Request
from bot.services import Services
from bot.texts import use_language

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
        is_replay: Callable[[int], bool],
        acknowledge_timeout_s: float = ACKNOWLEDGE_TIMEOUT_S,
    ) -> None:
        self._services = services
        self._replies = replies
        self._is_replay = is_replay
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
        request = Request(
            ref.identity,
            ref.address,
            idempotency_key=idempotency_key(update),
            is_replay=self._is_replay(update.update_id),
        )
        try:
            await self._run_action(query, ref, request)
        finally:
            self._in_progress.discard(press)

    async def _run_action(self, query: CallbackQuery, ref: MessageRef, request: Request) -> None:
        # A press can be acknowledged once only, and the refusal is what it is wanted for: we wait for one,
        # but not for long.
        task = asyncio.ensure_future(handle_action(self._services, query.data or "", request))
        await asyncio.wait([task], timeout=self._acknowledge_timeout_s)
        refusal = _refusal_text(task)
        was_acknowledged = await _acknowledge(query, refusal)
        reply = await task
        if refusal and was_acknowledged:
            return
        with use_language(reply.language):
            await self._show(ref, reply)

    async def _show(self, ref: MessageRef, reply: Reply) -> None:
        if reply.pressed_result_job_id is not None:
            await self._services.results.record_copy(
                reply.pressed_result_job_id, ref.address, str(ref.message_id)
            )
        if reply.edits_message and await self._replies.replace_message(ref, reply):
            return
        await self._replies.show(ref, reply)


def _refusal_text(task: asyncio.Future[Reply]) -> str | None:
    """Return the sentence of a refusal that is short enough for an alert."""
    reply = task.result() if task.done() and not task.cancelled() else None
    return (
        reply.text if reply is not None and reply.is_refusal and len(reply.text) <= MAX_ALERT_CHARS else None
    )


async def _acknowledge(query: CallbackQuery, alert: str | None = None) -> bool:
    try:
        await query.answer(alert, show_alert=alert is not None)
    except TelegramError as error:  # mostly too late for it, after a restart: the press counts all the same
        log.info("a press could not be acknowledged: %s", error.message)
        return False
    return True
