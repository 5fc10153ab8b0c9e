"""Messages that are no command, and the updates of a platform that are stored until they were processed."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.errors import UserError
from bot.core.loras import LoraCode
from bot.core.messages import AccountState, Reply, Request
from bot.core.outbox import IncomingUpdate
from bot.db import Database
from bot.services.context import JobQueue, ServiceContext
from bot.services.drafts import DraftService
from bot.services.loras import RENAME_PREFIX, LoraService
from bot.services.photo_sets import TRAIN_PAYLOAD, PhotoSetService
from bot.services.sharing import SharingService
from bot.texts import translate


class MessageService:
    """Finds out what a plain message is meant for."""

    def __init__(
        self,
        context: ServiceContext,
        sharing: SharingService,
        photo_sets: PhotoSetService,
        loras: LoraService,
        drafts: DraftService,
    ) -> None:
        self._database = context.database
        self._sharing = sharing
        self._photo_sets = photo_sets
        self._loras = loras
        self._drafts = drafts

    async def start_chat(self, request: Request) -> Reply:
        """Return what will happen, and ask for consent; the text may be the word of a link."""
        share_reply = await self._sharing.redeem_token(request)
        if share_reply is not None:
            return share_reply
        is_continuing = request.text.strip() == TRAIN_PAYLOAD
        if is_continuing and request.account_state.photo_set.photo_ids:
            return await self._photo_sets.start_training(request)
        return await self._photo_sets.show_welcome(request)

    async def answer_text(self, request: Request) -> Reply | None:
        """Take a plain message as a word, a name or a prompt. Return None when none of them is waited for."""
        if request.was_invited:
            return await self.start_chat(request)
        share_reply = await self._sharing.redeem_token(request)
        if share_reply is not None:
            return share_reply
        return await self._answer_question(request) or await self._drafts.generate_with_prompt(request)

    async def _answer_question(self, request: Request) -> Reply | None:
        question = request.account_state.question
        if question is None or not request.answers(question):
            return None
        if question.subject == "set":
            reply = await self._photo_sets.set_name(request)
        else:
            code = LoraCode(question.subject.removeprefix(RENAME_PREFIX))
            reply = await self._loras.rename_lora(request, code)
        await self._database.accounts.delete_question(request.account)
        return reply

    async def drop_question(self, request: Request) -> Reply:
        """End the question whose button was pressed."""
        if request.account_state.question is None:
            raise UserError(translate("stale-button"))
        await self._database.accounts.delete_question(request.account)
        return Reply(translate("question-dropped"), edits_message=True)

    async def end_questions(self, state: AccountState) -> None:
        """End what waits for a person's words: after a command they are meant for something else."""
        if state.question is not None:
            await self._database.accounts.delete_question(state.account)
        if state.draft is not None and state.draft.waits_for_words:
            await self._database.results.delete_draft(state.account)

    async def record_question(self, request: Request, message_ids: Sequence[str]) -> None:
        """Store which messages ask what is open in a chat."""
        state = (await self._database.access.read_request_state(request.identity)).account_state
        if state is not None:
            await self._database.accounts.save_question_messages(
                state.account, request.address, ",".join(message_ids)
            )


class UpdateInbox:
    """Stores what a platform handed over until it was processed: a bot that dies meanwhile finds it again."""

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    async def store(self, updates: Sequence[IncomingUpdate]) -> set[int]:
        """Store updates; return the ids of those that were not handed over before."""
        return await self._database.outbox.store_updates(updates)

    async def list_pending(self) -> list[IncomingUpdate]:
        """Return, in their order, the updates that an earlier run did not finish."""
        return await self._database.outbox.list_pending_updates()

    async def has_job(self, idempotency_key: str) -> bool:
        """Return whether a request has queued its job already; its card is then shown again."""
        job = await self._database.jobs.find_by_idempotency_key(idempotency_key)
        if job is not None:
            self._queue.notify_changed(job.id)
        return job is not None

    async def mark_processed(self, update_id: int) -> None:
        """Delete what an update said."""
        await self._database.outbox.mark_update_processed(update_id)
