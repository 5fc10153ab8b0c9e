"""Deliver notices: what people are owed to hear about their jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, ChatUnreachable, PicturesRefused
from bot.core.jobs import GenerationParams, Job, JobId
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import Notice, NoticeKind
from bot.core.photos import PhotoSet
from bot.core.retry import SHUTDOWN_GRACE_S
from bot.db import Database
from bot.delivery.cards import CARD_PAUSE_S, ProgressCards
from bot.delivery.deletions import DeletionOutbox
from bot.delivery.outbox import Outbox, OutboxWorker
from bot.delivery.preferences import apply_silence, get_language_at
from bot.media.moderation import Moderator
from bot.media.storage import Storage
from bot.texts import translate, use_language
from bot.texts.cards import notice_reply
from bot.texts.photo_sets import set_reminder
from bot.texts.results import acceleration_note, remove_disallowed_pictures, result_title, weights_note
from gpu_worker.protocol import FallbackCause

log = logging.getLogger(__name__)

BATCH_SIZE = 100
#: So long a bot that is to end waits for its platforms.
FINAL_DELIVERY_TIMEOUT_S = 30.0
#: These are shown by editing the job's card: an edit that is repeated is not seen twice.
_CARD_NOTICE_KINDS = {NoticeKind.GENERATE_DONE, NoticeKind.GENERATE_FAILED}


class NoticeOutbox(Outbox[Notice]):
    """Notices of jobs; those of one job arrive in the order in which they were written."""

    name = "notice"

    def __init__(
        self,
        database: Database,
        storage: Storage,
        moderator: Moderator,
        cards: ProgressCards,
        on_result_sent: Callable[[], None],
    ) -> None:
        self._database = database
        self._storage = storage
        self._moderator = moderator
        self._cards = cards
        self._on_result_sent = on_result_sent

    async def list_due(self, platform: Platform) -> Sequence[Notice]:
        """Return notices that are due."""
        return await self._database.outbox.list_due_notices(BATCH_SIZE, platform)

    async def next_due_at(self, platform: Platform) -> datetime | None:
        """Return when the next notice is due."""
        return await self._database.outbox.next_notice_at(platform)

    async def finish(self, message: Notice, message_id: str | None) -> None:
        """Note that a notice was sent, or that nobody can receive it."""
        if message_id is None:
            await self._database.outbox.mark_notice_undeliverable(message.id)
        else:
            await self._database.outbox.mark_notice_sent(message.id, message_id)

    async def reschedule(self, message: Notice, at: datetime) -> None:
        """Try a notice again at a time, and later notices of its job not before it."""
        await self._database.outbox.schedule_notice_retry(message.id, at)

    async def deliver(self, chat: ChatAdapter, message: Notice) -> str:
        """Send a notice, or edit the card of its job."""
        with use_language(await get_language_at(self._database, message.address)):
            if message.kind in _CARD_NOTICE_KINDS:
                return await self._deliver_on_card(chat, message)
            return await self._send(chat, message, await self._build_reply(message))

    async def _deliver_on_card(self, chat: ChatAdapter, notice: Notice) -> str:
        # Locked from the check whether it was deleted: a result must not be shown after that.
        async with self._cards.lock_for(notice.job.id):
            # Read again: its card may have been shown since, or another one.
            job = await self._database.jobs.get(notice.job.id)
            if job is None:
                raise ChatUnreachable("its job was erased")
            notice = replace(notice, job=job)
            reply = await self._build_reply(notice)
            if job.card_message_id is not None:
                try:
                    return await self._show_on_card(chat, notice, job.card_message_id, reply)
                except ChatUnreachable as error:
                    log.info("the card of job %d cannot show its result, which is sent: %s", job.id, error)
                await self._end_card(chat, job, job.card_message_id)
            message_id = await self._send(chat, notice, reply)
            # It is the job's card from now on: what changes later is changed there.
            await self._database.results.save_card_message(job.id, message_id)
        self._on_result_sent()
        return message_id

    async def _show_on_card(self, chat: ChatAdapter, notice: Notice, card_id: str, reply: Reply) -> str:
        """Edit a card; where it takes no pictures, its words, and send the pictures to its person alone."""
        job = notice.job
        try:
            return await self._cards.edit_message(chat, job, card_id, reply)
        except PicturesRefused as error:
            log.info("the card of job %d takes no pictures: %s", job.id, error)
        # First the words: an edit that is repeated is not seen twice.
        text_reply = remove_disallowed_pictures(reply, are_sent_privately=True)
        message_id = await self._cards.edit_message(chat, job, card_id, text_reply)
        if not await self._send_privately(chat, notice, reply):
            await self._cards.edit_message(chat, job, message_id, remove_disallowed_pictures(reply))
        return message_id

    async def _end_card(self, chat: ChatAdapter, job: Job, card_id: str) -> None:
        """Let a card say that its job has ended; one that is gone, or closed to us, stays as it is."""
        try:
            await chat.edit(
                job.address, card_id, Reply(translate("card-elsewhere", result=result_title(job)))
            )
        except ChatUnreachable as error:
            log.info("the card of job %d is gone: %s", job.id, error)

    async def _send(self, chat: ChatAdapter, notice: Notice, reply: Reply) -> str:
        nonce = f"notice-{notice.id}"
        try:
            return await chat.send(notice.address, reply, nonce=nonce)
        except PicturesRefused as error:
            log.info("notice %d is sent without its pictures: %s", notice.id, error)
        text_reply = remove_disallowed_pictures(reply, are_sent_privately=True)
        message_id = await chat.send(notice.address, text_reply, nonce=f"{nonce}-text")
        if not await self._send_privately(chat, notice, reply):
            await chat.edit(notice.address, message_id, remove_disallowed_pictures(reply))
        return message_id

    async def _send_privately(self, chat: ChatAdapter, notice: Notice, reply: Reply) -> bool:
        """Send to the private chat of whoever asked; False where that takes nothing either."""
        address = notice.address.identity.private_address
        try:
            message_id = await chat.send(address, reply, nonce=f"notice-{notice.id}-dm")
        except ChatUnreachable as error:
            log.info("notice %d cannot be sent privately: %s", notice.id, error)
            return False
        if await self._database.results.add_result_message(notice.job.id, address, message_id):
            self._on_result_sent()  # its person was quicker with Delete
        return True

    async def _build_reply(self, notice: Notice) -> Reply:
        reply = await self._moderator.filter_reply(notice.address, await self._format(notice))
        return await apply_silence(self._database, reply, notice.job.account)

    async def _format(self, notice: Notice) -> Reply:
        job = notice.job
        if notice.kind is NoticeKind.GENERATE_DONE and await self._is_deleted(job):
            # Its person was quicker, with `/show`.
            return Reply(translate("result-deleted", result=result_title(job)))
        paths = [self._storage.picture_path(name) for name in notice.files]
        keeps_photos = notice.kind is NoticeKind.TRAIN_DONE and await self._database.photos.has_kept_photos(
            job.code
        )
        reply = notice_reply(notice, await asyncio.to_thread(_existing_paths, paths), keeps_photos)
        if notice.kind is NoticeKind.GENERATE_DONE:
            notes = (await self._compare_acceleration(job), await self._note_weights(job))
            reply = replace(reply, text="\n".join(filter(None, (reply.text, *notes))))
        return reply

    async def _note_weights(self, job: Job) -> str:
        return weights_note(await self._database.results.list_pictures(job.id))

    async def _compare_acceleration(self, job: Job) -> str:
        """Return the sentence for fast pictures made from others that another acceleration drew; or ""."""
        source_id = job.params.source if isinstance(job.params, GenerationParams) else None
        source = None if source_id is None else await self._database.jobs.get(source_id)
        if source is None:
            return ""
        results = self._database.results
        return acceleration_note(
            job, await results.list_pictures(job.id), source, await results.list_pictures(source.id)
        )

    async def _is_deleted(self, job: Job) -> bool:
        return any(picture.is_deleted for picture in await self._database.results.list_pictures(job.id))


class NoticeSender:
    """Sends everything about jobs: notices, progress cards, deletions of results, reminders of photo sets."""

    def __init__(
        self,
        *,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        storage: Storage,
        clock: Callable[[], datetime],
        card_pause_s: float = CARD_PAUSE_S,
        moderator: Moderator | None = None,
        shutdown_grace_s: float = SHUTDOWN_GRACE_S,
    ) -> None:
        moderator = moderator or Moderator()
        self._database = database
        self._chats = chats
        self.cards = ProgressCards(
            database, chats, storage, clock, moderator, card_pause_s, on_finished=self._wake_deletions
        )
        notices = NoticeOutbox(database, storage, moderator, self.cards, on_result_sent=self._wake_deletions)
        deletions = DeletionOutbox(database, self.cards.lock_for)
        self._notices = OutboxWorker(notices, chats, clock, shutdown_grace_s=shutdown_grace_s)
        self._deletions = OutboxWorker(deletions, chats, clock, shutdown_grace_s=shutdown_grace_s)

    def wake(self) -> None:
        """Note that a notice is owed."""
        self._notices.wake()

    def on_job_changed(self, job_id: JobId, fallback: FallbackCause | None = None) -> None:
        """Note that a job's card is out of date. A fallback is shown with its next edit, and only then."""
        self.cards.on_job_changed(job_id, fallback)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notices.run(), name="notices")
            tasks.create_task(self.cards.run(), name="cards")
            tasks.create_task(self._deletions.run(), name="deletions")

    async def deliver_due(self) -> None:
        """Deliver the notices that are due now."""
        await self._notices.deliver_due()

    async def deliver_last(self, timeout_s: float = FINAL_DELIVERY_TIMEOUT_S) -> None:
        """Deliver what is due before the bot ends; what is not taken in time waits for its next start."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.deliver_due()
        except TimeoutError:
            log.warning("not every notice was taken before the end; the rest is sent at the next start")

    async def edit_cards(self) -> float | None:
        """Edit the cards that may be edited now. Return the seconds until the next may be, if any."""
        return await self.cards.edit_due()

    async def scrub_deleted(self) -> None:
        """Remove deleted results from the messages that show them."""
        await self._deletions.deliver_due()

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        """Remind a person of the photos they are collecting. Return False when it is to be tried again."""
        chat = self._chats.get(address.platform)
        if chat is None:
            return False
        try:
            with use_language(await get_language_at(self._database, address)):
                reminder = set_reminder(photo_set)
            reply = await apply_silence(self._database, reminder, photo_set.account)
            await chat.send(address, reply, nonce=f"set-{max(photo_set.photo_ids)}")
        except ChatUnreachable as error:
            log.info("account %d cannot be reminded of its photos: %s", photo_set.account, error)
        except ChatBusy as busy:
            log.info("the reminder for account %d waits: %s", photo_set.account, busy)
            return False
        except Exception:
            log.exception("the reminder for account %d failed and will be tried again", photo_set.account)
            return False
        return True

    def _wake_deletions(self) -> None:
        self._deletions.wake()


def _existing_paths(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
