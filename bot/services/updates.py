"""Messages that are no command, and the updates of a platform that are stored until they were processed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.core.accounts import CONFIRM_PREFIX, ChatAddress, Identity, PendingQuestion
from bot.core.errors import UserError
from bot.core.loras import LoraCode
from bot.core.messages import AccountState, Reply, Request, RequestState
from bot.core.outbox import IncomingUpdate
from bot.db import Database
from bot.services import access
from bot.services.context import JobQueue, ServiceContext
from bot.services.drafts import DraftService
from bot.services.generation import GenerationService
from bot.services.loras import RENAME_PREFIX, LoraService
from bot.services.photo_sets import TRAIN_PAYLOAD, PhotoSetService
from bot.services.sharing import SharingService
from bot.texts import translate
from bot.texts.words import SmallTalk, read_small_talk, reads_like_talk

_LINK_PATTERN = re.compile(r"https?://\S+")


class MessageService:
    """Finds out what a plain message is meant for."""

    def __init__(
        self,
        context: ServiceContext,
        sharing: SharingService,
        photo_sets: PhotoSetService,
        loras: LoraService,
        drafts: DraftService,
        generation: GenerationService,
    ) -> None:
        self._database = context.database
        self._sharing = sharing
        self._photo_sets = photo_sets
        self._loras = loras
        self._drafts = drafts
        self._generation = generation

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
        """Take a plain message as a word, a name, a prompt or small talk. Return None when it is none."""
        if request.was_invited:
            return await self.start_chat(request)
        share_reply = await self._sharing.redeem_token(request)
        if share_reply is not None:
            return share_reply
        return (
            await self._answer_question(request)
            or await self._answer_small_talk(request)
            or await self._draw_with_answer(request)
            or await self._drafts.generate_with_prompt(request)
        )

    async def note_question(self, request: Request, state: RequestState, reply: Reply) -> None:
        """Store what a typed yes would do next; whatever else a person asks for ends that question."""
        account_state, accounts = request.state or state.account_state, self._database.accounts
        if account_state is None:
            return
        account, earlier_question = account_state.account, account_state.question
        if reply.yes_action:
            subject = f"{CONFIRM_PREFIX}{reply.yes_action}"
            await accounts.save_question(account, PendingQuestion(subject, request.address.words_address))
        elif (
            earlier_question is not None
            and earlier_question.confirmed_action
            and await accounts.get_question(account) == earlier_question  # no other one was asked since
        ):
            await accounts.delete_question(account)

    def find_confirmed_action(self, request: Request) -> str:
        """Return what a typed yes does, as the button would; empty where it is no yes, or nothing is open."""
        question = request.account_state.question
        if question is None or read_small_talk(request.text) is not SmallTalk.YES:
            return ""
        return question.confirmed_action if request.answers(question) else ""

    async def _answer_small_talk(self, request: Request) -> Reply | None:
        draft = request.account_state.draft
        is_whole = draft is not None or bool(request.replied_message_id)
        match read_small_talk(request.text, is_whole):
            case SmallTalk.GREETING:
                return await self._greet(request)
            case SmallTalk.THANKS:
                return Reply(translate("you-are-welcome"))
            case SmallTalk.NO if request.answers(draft):
                return await self._drafts.drop_draft(request)
            case SmallTalk.NO:
                return Reply(translate("answered-no"))
            case SmallTalk.YES:
                return Reply(translate("nothing-asked"), is_refusal=True)
        return None

    async def answer_lost(self, request: Request) -> Reply:
        """Return what is said to words that are not understood: to somebody new, how to begin."""
        state = request.account_state
        if _LINK_PATTERN.fullmatch(request.text.strip()):
            key = "cannot-open-links"
        elif state.photo_set.photo_ids:
            key = "lost-with-photos"
        elif state.open_jobs:
            key = "lost-with-jobs"
        elif await self._is_newcomer(request):
            return await self._photo_sets.show_welcome(request)
        else:
            key = "unknown-command"
        return Reply(translate(key), is_refusal=True)

    async def _greet(self, request: Request) -> Reply:
        if await self._is_newcomer(request):
            return await self._photo_sets.show_welcome(request)
        return Reply(translate("greeting"))

    async def _is_newcomer(self, request: Request) -> bool:
        has_photos = bool(request.account_state.photo_set.photo_ids)
        return not has_photos and not await self._database.loras.list_for_account(request.account)

    async def _draw_with_answer(self, request: Request) -> Reply | None:
        """Draw a result again with the words that answer its picture; what a group says of one is its own."""
        if not request.replied_message_id or not request.address.is_private:
            return None
        job_id = await self._database.results.find_by_message(
            request.account, request.address, request.replied_message_id
        )
        if job_id is None:
            return None
        request = replace(request, arguments=(str(job_id),))
        if reads_like_talk(request.text):
            return await self._drafts.ask_to_draw(request, await self._generation.make_edit(request))
        return await self._generation.generate_edited(request)

    async def _answer_question(self, request: Request) -> Reply | None:
        question = request.account_state.question
        if question is None or not request.answers(question):
            return None
        if question.confirmed_action:
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
        access.require_own_button(request)
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

    async def record_question(
        self, identity: Identity, address: ChatAddress, message_ids: Sequence[str]
    ) -> None:
        """Store which messages ask what is open in a chat."""
        account = await self._database.accounts.find_by_identity(identity)
        if account is not None:
            await self._database.accounts.save_question_messages(account, address, ",".join(message_ids))


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
