"""Brings people what they are owed, and keeps the progress cards fresh."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import TERMINAL_STATUSES, Job, JobId, JobKind, JobStatus, estimate_job
from bot.core.logging import log_context
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import Notice, NoticeKind
from bot.core.photos import PhotoSet
from bot.core.retry import backoff_s, run_to_completion, wait_for_event
from bot.db import Database
from bot.delivery.deletions import StaleMessages
from bot.media.moderation import Moderator
from bot.media.storage import Storage
from bot.texts import translate, use_language
from bot.texts.cards import job_card, notice_reply
from bot.texts.photo_sets import set_reminder
from bot.texts.results import result_title

log = logging.getLogger(__name__)

BATCH_SIZE = 100
#: A platform that is switched off now may be on again after a restart with its token.
DISABLED_CHAT_RETRY_S = 600.0
#: From then on a notice that the platform does not take is a warning in the log.
WARN_AFTER_ATTEMPTS = 4
#: How long whoever answered has to note the card it showed, before we take it for lost and show another.
CARD_ID_GRACE = timedelta(seconds=10)
#: Kinds that are told by making the job's card read so: an edit that is repeated is not seen twice.
_CARD_NOTICE_KINDS = {NoticeKind.GENERATE_DONE, NoticeKind.GENERATE_FAILED}


class NoticeSender:
    """Owed notices come from the ledger and survive everything; cards are a courtesy and may be skipped.

    `card_pause_s` is the least time between two edits of one card (platforms count edits as messages).
    """

    def __init__(
        self,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        storage: Storage,
        clock: Callable[[], datetime],
        card_pause_s: float = 4.0,
        moderator: Moderator | None = None,
    ) -> None:
        self._database = database
        self._chats = chats
        self._storage = storage
        self._clock = clock
        self._card_pause_s = card_pause_s
        self._moderator = moderator or Moderator()
        self._notices_due = asyncio.Event()
        self._cards_changed = asyncio.Event()
        self._stale_cards: set[JobId] = set()
        self._remarks: dict[JobId, str] = {}  # what a card says once, until it is edited again
        self._preview_mtimes_ns: dict[JobId, int] = {}  # what a card shows: when that was written, in ns
        self._next_edit_at_s: dict[
            JobId, float
        ] = {}  # of an open job's card: monotonic time of the next edit
        # A card is written by one at a time: a late progress edit must not cover the picture.
        self._card_locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()
        self._stale_messages = StaleMessages(database, chats, clock, self._lock_for)

    def wake(self) -> None:
        """Say that a notice is owed."""
        self._notices_due.set()

    def on_job_changed(self, job_id: JobId, remark: str = "") -> None:
        """Say that a job's card is no longer true; a remark is shown with its next edit, and only then."""
        if remark:
            self._remarks[job_id] = remark
        self._stale_cards.add(job_id)
        self._cards_changed.set()

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        """Remind a person of the photos they are collecting; False when it is to be tried again later."""
        chat = self._chats.get(address.platform)
        if chat is None:
            return False
        nonce = f"set-{max(photo_set.photo_ids)}"
        try:
            with use_language(await self._language_at(address)):
                reminder = set_reminder(len(photo_set.photo_ids))
            reply = await self._apply_preferences(reminder, photo_set.account)
            await chat.send(address, reply, nonce=nonce)
        except ChatUnreachable as error:
            log.info("nobody can be reminded there: %s", error)
        except ChatBusy as busy:
            log.info("a reminder waits: %s", busy)
            return False
        except Exception:
            log.exception("a reminder failed; it is tried again")
            return False
        return True

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_notices(), name="notices")
            tasks.create_task(self._run_cards(), name="cards")
            tasks.create_task(self._stale_messages.run(), name="copies")

    async def deliver_due(self) -> None:
        """Deliver what is due now: different chats side by side, one chat in order."""
        notices_by_address: dict[object, list[Notice]] = defaultdict(list)
        for notice in await self._database.outbox.list_due_notices(BATCH_SIZE):
            notices_by_address[notice.job.address].append(notice)
        await asyncio.gather(*(self._deliver_in_order(notices) for notices in notices_by_address.values()))

    async def scrub_deleted(self) -> None:
        """Take results that were deleted out of the messages that show them."""
        await self._stale_messages.scrub()

    async def edit_cards(self) -> float | None:
        """Edit the cards that may be edited now; gives the seconds until the next may be, if any."""
        now = time.monotonic()
        for job_id in [each for each in self._stale_cards if self._next_edit_at_s.get(each, 0.0) <= now]:
            self._stale_cards.discard(job_id)
            pause_s = await self._edit_card(job_id)
            if pause_s is None:
                self._next_edit_at_s.pop(job_id, None)
            else:
                self._next_edit_at_s[job_id] = time.monotonic() + pause_s
        next_edit_times_s = [self._next_edit_at_s.get(each, 0.0) for each in self._stale_cards]
        return max(0.0, min(next_edit_times_s) - time.monotonic()) if next_edit_times_s else None

    async def _run_notices(self) -> None:
        while True:
            self._notices_due.clear()
            await self.deliver_due()
            due_at = await self._database.outbox.next_notice_at()
            wait_s = None if due_at is None else max(0.0, (due_at - self._clock()).total_seconds())
            await wait_for_event(self._notices_due, wait_s)

    async def _run_cards(self) -> None:
        while True:
            self._cards_changed.clear()
            await wait_for_event(self._cards_changed, await self.edit_cards())

    async def _deliver_in_order(self, notices: list[Notice]) -> None:
        for notice in notices:
            if not await self._deliver(notice):
                return  # what came later waits behind it

    async def _deliver(self, notice: Notice) -> bool:
        with log_context(job=notice.job.id, account=notice.job.account):
            return await run_to_completion(self._attempt_delivery(notice))

    async def _attempt_delivery(self, notice: Notice) -> bool:
        chat = self._chats.get(notice.job.address.platform)
        if chat is None:
            await self._reschedule(notice, DISABLED_CHAT_RETRY_S)
            return False
        try:
            with use_language(await self._language_at(notice.job.address)):
                message_id = await self._send_notice(chat, notice)
        except ChatUnreachable as error:
            log.info("notice %d cannot be delivered: %s", notice.id, error)
            await self._database.outbox.mark_notice_undeliverable(notice.id)
        except ChatBusy as busy:
            log.log(_log_level(notice), "notice %d waits after try %d: %s", notice.id, notice.tries + 1, busy)
            await self._reschedule(notice, max(busy.retry_after_s, backoff_s(notice.tries)))
            return False
        except Exception:
            log.exception("notice %d failed; it is tried again", notice.id)
            await self._reschedule(notice, backoff_s(notice.tries))
            return False
        else:
            await self._database.outbox.mark_notice_sent(notice.id, message_id)
        return True

    async def _send_notice(self, chat: ChatAdapter, notice: Notice) -> str:
        if notice.kind not in _CARD_NOTICE_KINDS:
            return await self._send_message(chat, notice, await self._build_reply(notice))
        # From the look whether it was deleted on: a result must not be shown after it was taken out.
        async with self._lock_for(notice.job.id):
            job = await self._database.jobs.get(
                notice.job.id
            )  # its card may have been shown, or another one, since
            if job is None:
                raise ChatUnreachable("its job was forgotten meanwhile")
            notice = replace(notice, job=job)
            reply = await self._build_reply(notice)
            if job.card_message_id is not None:
                try:
                    return await self._edit_message(chat, job, job.card_message_id, reply)
                except ChatUnreachable:
                    log.info("the card of job %d is gone; its result is sent anew", job.id)
            message_id = await self._send_message(chat, notice, reply)
            await self._database.results.save_card_message(
                job.id, message_id
            )  # what is to change later, such as its end
        self._stale_messages.wake()  # it may have been deleted while it was sent
        return message_id

    async def _send_message(self, chat: ChatAdapter, notice: Notice, reply: Reply) -> str:
        return await chat.send(notice.job.address, reply, nonce=f"notice-{notice.id}")

    async def _build_reply(self, notice: Notice) -> Reply:
        reply = await self._moderator.filter_reply(notice.job.address, await self._format_notice(notice))
        return await self._apply_preferences(reply, notice.job.account)

    async def _edit_message(self, chat: ChatAdapter, job: Job, message_id: str, reply: Reply) -> str:
        """Edit a job's card; what stands in further messages, such as pictures, is remembered with it."""
        shown_id = await chat.edit(job.address, message_id, reply)
        if shown_id != message_id:
            await self._database.results.save_card_message(job.id, shown_id)
        return shown_id

    async def _apply_preferences(self, reply: Reply, account_id: AccountId) -> Reply:
        return replace(reply, is_silent=(await self._database.accounts.get_preferences(account_id)).is_silent)

    async def _format_notice(self, notice: Notice) -> Reply:
        job = notice.job
        if notice.kind is NoticeKind.GENERATE_DONE and await self._is_deleted(job):
            return Reply(
                translate("result-deleted", result=result_title(job))
            )  # its person was quicker, with `/show`
        paths = [self._storage.picture_path(name) for name in notice.files]
        keeps_photos = notice.kind is NoticeKind.TRAIN_DONE and await self._database.photos.has_kept_photos(
            job.code
        )
        return notice_reply(notice, await asyncio.to_thread(_existing_paths, paths), keeps_photos)

    async def _language_at(self, address: ChatAddress) -> str:
        """Give the language of whoever asked for something at a place."""
        return await self._database.accounts.get_language(Identity(address.platform, address.user_id))

    async def _edit_card(self, job_id: JobId) -> float | None:
        """Make a card true; gives how long it rests then, None when there will be no further edit."""
        async with self._lock_for(job_id):
            # First: what comes between the two is shown with the next edit, and not beside an older step.
            remark = self._remarks.get(job_id, "")
            job = await self._database.jobs.get(job_id)
            if job is None or job.status in TERMINAL_STATUSES:
                self._remarks.pop(job_id, None)
                self._preview_mtimes_ns.pop(job_id, None)
                remark = ""
            if job is None or (job.status in TERMINAL_STATUSES and not _has_final_card(job)):
                self._stale_messages.wake()  # of a result it is changed when it was deleted
                return None
            chat = self._chats.get(job.address.platform)
            if chat is None:
                return None
            if job.card_message_id is None and abs(self._clock() - job.created_at) < CARD_ID_GRACE:
                self._stale_cards.add(job_id)
                return 1.0
            try:
                with use_language(await self._language_at(job.address)):
                    await self._show_card(chat, job, remark)
            except ChatBusy as busy:
                self._stale_cards.add(job_id)
                return busy.retry_after_s
            except ChatUnreachable as error:
                log.info("the card of job %d cannot be shown: %s", job_id, error)
            except FileNotFoundError:  # the preview went with the end of its job, whose result comes next
                log.debug("the card of job %d was overtaken", job_id)
            except Exception:
                log.exception("the card of job %d could not be edited", job_id)
            return None if job.status in TERMINAL_STATUSES else self._card_pause_s

    async def _show_card(self, chat: ChatAdapter, job: Job, remark: str) -> None:
        mtime_ns = await asyncio.to_thread(_mtime_ns, self._storage.preview_path(job.id))
        is_new_preview = mtime_ns is not None and mtime_ns != self._preview_mtimes_ns.get(job.id)
        card = await self._build_card(job, remark, is_new_preview)
        reply = await self._moderator.filter_reply(job.address, card)
        if job.card_message_id is not None:
            await self._edit_message(chat, job, job.card_message_id, reply)
        elif job.status not in TERMINAL_STATUSES:  # the bot died before it could note the card it had shown
            message_id = await chat.send(job.address, reply, nonce=f"card-{job.id}")
            await self._database.results.save_card_message(job.id, message_id)
        if card.pictures and mtime_ns is not None:
            self._preview_mtimes_ns[job.id] = mtime_ns
        if remark and self._remarks.get(job.id) == remark:  # else a newer one came meanwhile
            del self._remarks[job.id]

    async def _build_card(self, job: Job, remark: str, has_new_preview: bool) -> Reply:
        job_estimate = await estimate_job(self._database.jobs, job, self._clock())
        preview = self._storage.preview_path(job.id) if has_new_preview else None
        reply = job_card(job, job_estimate.remaining_s, job_estimate.position, remark, preview)
        # A picture is sent once, not with each step; the card of a training that is done goes on showing it.
        is_successful = job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}
        return replace(reply, keeps_pictures=is_successful and not reply.pictures)

    async def _is_deleted(self, job: Job) -> bool:
        return any(picture.is_deleted for picture in await self._database.results.list_pictures(job.id))

    async def _reschedule(self, notice: Notice, delay_s: float) -> None:
        await self._database.outbox.schedule_notice_retry(
            notice.id, self._clock() + timedelta(seconds=delay_s)
        )

    def _lock_for(self, job_id: JobId) -> asyncio.Lock:
        lock = self._card_locks.get(job_id)
        if lock is None:
            lock = self._card_locks[job_id] = asyncio.Lock()
        return lock


def _has_final_card(job: Job) -> bool:
    # Of a generation the result itself takes the card's place, unless it was cancelled.
    return job.kind is JobKind.TRAIN or job.status is JobStatus.CANCELLED


def _mtime_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _existing_paths(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def _log_level(notice: Notice) -> int:
    """A busy platform is everyday life; one that stays so is something for whoever runs the bot."""
    return logging.WARNING if notice.tries >= WARN_AFTER_ATTEMPTS else logging.INFO
