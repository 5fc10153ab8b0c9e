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

from bot import texts
from bot.core.accounts import AccountId, Identity, Place, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import TERMINAL, Job, JobId, JobKind, JobStatus, estimate
from bot.core.logging import about
from bot.core.messages import Chat, Reply
from bot.core.outbox import Notice, NoticeKind
from bot.core.photos import PhotoSet
from bot.core.retry import back_off_s, finished, ring
from bot.db import Ledger
from bot.delivery.deletions import Copies
from bot.media.moderation import Guard
from bot.media.storage import Files

log = logging.getLogger(__name__)

BATCH = 100
#: A platform that is switched off now may be on again after a restart with its token.
ABSENT_CHAT_RETRY_S = 600.0
#: From then on a notice that the platform does not take is a warning in the log.
LOUD_AFTER_TRIES = 4
#: How long whoever answered has to note the card it showed, before we take it for lost and show another.
CARD_NOTE_GRACE = timedelta(seconds=10)
#: Kinds that are told by making the job's card read so: an edit that is repeated is not seen twice.
_TOLD_ON_THE_CARD = {NoticeKind.GENERATE_DONE, NoticeKind.GENERATE_FAILED}


class Notifier:
    """Owed notices come from the ledger and survive everything; cards are a courtesy and may be skipped.

    `card_pause_s` is the least time between two edits of one card (platforms count edits as messages).
    """

    def __init__(
        self,
        ledger: Ledger,
        chats: Mapping[Platform, Chat],
        files: Files,
        clock: Callable[[], datetime],
        card_pause_s: float = 4.0,
        guard: Guard | None = None,
    ) -> None:
        self._ledger = ledger
        self._chats = chats
        self._files = files
        self._clock = clock
        self._card_pause_s = card_pause_s
        self._guard = guard or Guard()
        self._owed = asyncio.Event()
        self._changed = asyncio.Event()
        self._stale_cards: set[JobId] = set()
        self._remarks: dict[JobId, str] = {}  # what a card says once, until it is edited again
        self._previews: dict[JobId, int] = {}  # what a card shows: when that was written, in ns
        self._not_before: dict[JobId, float] = {}  # of an open job's card: monotonic time of the next edit
        # A card is written by one at a time: a late progress edit must not cover the picture.
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()
        self._copies = Copies(ledger, chats, clock, self._lock)

    def wake(self) -> None:
        """Say that a notice is owed."""
        self._owed.set()

    def progressed(self, job_id: JobId, remark: str = "") -> None:
        """Say that a job's card is no longer true; a remark is shown with its next edit, and only then."""
        if remark:
            self._remarks[job_id] = remark
        self._stale_cards.add(job_id)
        self._changed.set()

    async def remind(self, place: Place, photo_set: PhotoSet) -> bool:
        """Remind a person of the photos they are collecting; False when it is to be tried again later."""
        chat = self._chats.get(place.platform)
        if chat is None:
            return False
        nonce = f"set-{max(photo_set.photos)}"
        try:
            with texts.use_language(await self._language(place)):
                waits = texts.set_waits(len(photo_set.photos))
            reply = await self._as_wanted(waits, photo_set.account)
            await chat.send(place, reply, nonce=nonce)
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
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._deliver_for_ever(), name="notices")
            loops.create_task(self._edit_for_ever(), name="cards")
            loops.create_task(self._copies.run(), name="copies")

    async def deliver_owed(self) -> None:
        """Deliver what is due now: different chats side by side, one chat in order."""
        by_place: dict[object, list[Notice]] = defaultdict(list)
        for notice in await self._ledger.owed(BATCH):
            by_place[notice.job.place].append(notice)
        await asyncio.gather(*(self._deliver_in_order(notices) for notices in by_place.values()))

    async def take_out_deleted(self) -> None:
        """Take results that were deleted out of the messages that show them."""
        await self._copies.take_out()

    async def edit_cards(self) -> float | None:
        """Edit the cards that may be edited now; gives the seconds until the next may be, if any."""
        now = time.monotonic()
        for job_id in [each for each in self._stale_cards if self._not_before.get(each, 0.0) <= now]:
            self._stale_cards.discard(job_id)
            pause_s = await self._edit_card(job_id)
            if pause_s is None:
                self._not_before.pop(job_id, None)
            else:
                self._not_before[job_id] = time.monotonic() + pause_s
        later = [self._not_before.get(each, 0.0) for each in self._stale_cards]
        return max(0.0, min(later) - time.monotonic()) if later else None

    async def _deliver_for_ever(self) -> None:
        while True:
            self._owed.clear()
            await self.deliver_owed()
            due = await self._ledger.next_notice_at()
            wait_s = None if due is None else max(0.0, (due - self._clock()).total_seconds())
            await ring(self._owed, wait_s)

    async def _edit_for_ever(self) -> None:
        while True:
            self._changed.clear()
            await ring(self._changed, await self.edit_cards())

    async def _deliver_in_order(self, notices: list[Notice]) -> None:
        for notice in notices:
            if not await self._deliver(notice):
                return  # what came later waits behind it

    async def _deliver(self, notice: Notice) -> bool:
        with about(job=notice.job.id, account=notice.job.account):
            return await finished(self._delivered(notice))

    async def _delivered(self, notice: Notice) -> bool:
        chat = self._chats.get(notice.job.place.platform)
        if chat is None:
            await self._later(notice, ABSENT_CHAT_RETRY_S)
            return False
        try:
            with texts.use_language(await self._language(notice.job.place)):
                message_id = await self._tell(chat, notice)
        except ChatUnreachable as error:
            log.info("notice %d cannot be delivered: %s", notice.id, error)
            await self._ledger.notice_undeliverable(notice.id)
        except ChatBusy as busy:
            log.log(_loudness(notice), "notice %d waits after try %d: %s", notice.id, notice.tries + 1, busy)
            await self._later(notice, max(busy.retry_after_s, back_off_s(notice.tries)))
            return False
        except Exception:
            log.exception("notice %d failed; it is tried again", notice.id)
            await self._later(notice, back_off_s(notice.tries))
            return False
        else:
            await self._ledger.notice_sent(notice.id, message_id)
        return True

    async def _tell(self, chat: Chat, notice: Notice) -> str:
        if notice.kind not in _TOLD_ON_THE_CARD:
            return await self._send(chat, notice, await self._reply(notice))
        # From the look whether it was deleted on: a result must not be shown after it was taken out.
        async with self._lock(notice.job.id):
            job = await self._ledger.job(notice.job.id)  # its card may have been shown, or another one, since
            if job is None:
                raise ChatUnreachable("its job was forgotten meanwhile")
            notice = replace(notice, job=job)
            reply = await self._reply(notice)
            if job.card_message_id is not None:
                try:
                    return await self._edited(chat, job, job.card_message_id, reply)
                except ChatUnreachable:
                    log.info("the card of job %d is gone; its result is sent anew", job.id)
            message_id = await self._send(chat, notice, reply)
            await self._ledger.card_shown(job.id, message_id)  # what is to change later, such as its end
        self._copies.wake()  # it may have been deleted while it was sent
        return message_id

    async def _send(self, chat: Chat, notice: Notice, reply: Reply) -> str:
        return await chat.send(notice.job.place, reply, nonce=f"notice-{notice.id}")

    async def _reply(self, notice: Notice) -> Reply:
        reply = await self._guard.screened(notice.job.place, await self._words(notice))
        return await self._as_wanted(reply, notice.job.account)

    async def _edited(self, chat: Chat, job: Job, message_id: str, reply: Reply) -> str:
        """Edit a job's card; what stands in further messages, such as pictures, is remembered with it."""
        shown = await chat.edit(job.place, message_id, reply)
        if shown != message_id:
            await self._ledger.card_shown(job.id, shown)
        return shown

    async def _as_wanted(self, reply: Reply, account: AccountId) -> Reply:
        return replace(reply, is_silent=(await self._ledger.preferences_of(account)).is_silent)

    async def _words(self, notice: Notice) -> Reply:
        job = notice.job
        if notice.kind is NoticeKind.GENERATE_DONE and await self._is_deleted(job):
            return texts.result_deleted(job)  # its person was quicker, with `/show`
        paths = [self._files.picture_path(name) for name in notice.files]
        keeps = notice.kind is NoticeKind.TRAIN_DONE and await self._ledger.keeps_photos_of(job.code)
        return texts.notice(notice, await asyncio.to_thread(_existing, paths), keeps)

    async def _language(self, place: Place) -> str:
        """Give the language of whoever asked for something at a place."""
        return await self._ledger.language_of(Identity(place.platform, place.user_id))

    async def _edit_card(self, job_id: JobId) -> float | None:
        """Make a card true; gives how long it rests then, None when there will be no further edit."""
        async with self._lock(job_id):
            # First: what comes between the two is shown with the next edit, and not beside an older step.
            remark = self._remarks.get(job_id, "")
            job = await self._ledger.job(job_id)
            if job is None or job.status in TERMINAL:
                self._remarks.pop(job_id, None)
                self._previews.pop(job_id, None)
                remark = ""
            if job is None or (job.status in TERMINAL and not _shows_its_end(job)):
                self._copies.wake()  # of a result it is changed when it was deleted
                return None
            chat = self._chats.get(job.place.platform)
            if chat is None:
                return None
            if job.card_message_id is None and abs(self._clock() - job.created_at) < CARD_NOTE_GRACE:
                self._stale_cards.add(job_id)
                return 1.0
            try:
                with texts.use_language(await self._language(job.place)):
                    await self._show(chat, job, remark)
            except ChatBusy as busy:
                self._stale_cards.add(job_id)
                return busy.retry_after_s
            except ChatUnreachable as error:
                log.info("the card of job %d cannot be shown: %s", job_id, error)
            except FileNotFoundError:  # the preview went with the end of its job, whose result comes next
                log.debug("the card of job %d was overtaken", job_id)
            except Exception:
                log.exception("the card of job %d could not be edited", job_id)
            return None if job.status in TERMINAL else self._card_pause_s

    async def _show(self, chat: Chat, job: Job, remark: str) -> None:
        written_ns = await asyncio.to_thread(_written_ns, self._files.preview_path(job.id))
        is_new = written_ns is not None and written_ns != self._previews.get(job.id)
        card = await self._card(job, remark, is_new)
        reply = await self._guard.screened(job.place, card)
        if job.card_message_id is not None:
            await self._edited(chat, job, job.card_message_id, reply)
        elif job.status not in TERMINAL:  # the bot died before it could note the card it had shown
            message_id = await chat.send(job.place, reply, nonce=f"card-{job.id}")
            await self._ledger.card_shown(job.id, message_id)
        if card.pictures and written_ns is not None:
            self._previews[job.id] = written_ns
        if remark and self._remarks.get(job.id) == remark:  # else a newer one came meanwhile
            del self._remarks[job.id]

    async def _card(self, job: Job, remark: str, has_new_picture: bool) -> Reply:
        guess = await estimate(self._ledger, job, self._clock())
        preview = self._files.preview_path(job.id) if has_new_picture else None
        reply = texts.card(job, guess.left_s, guess.position, remark, preview)
        # A picture is sent once, not with each step; the card of a training that is done goes on showing it.
        is_kept = job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}
        return replace(reply, keeps_pictures=is_kept and not reply.pictures)

    async def _is_deleted(self, job: Job) -> bool:
        return any(picture.is_deleted for picture in await self._ledger.pictures_of(job.id))

    async def _later(self, notice: Notice, pause_s: float) -> None:
        await self._ledger.notice_retry(notice.id, self._clock() + timedelta(seconds=pause_s))

    def _lock(self, job_id: JobId) -> asyncio.Lock:
        lock = self._locks.get(job_id)
        if lock is None:
            lock = self._locks[job_id] = asyncio.Lock()
        return lock


def _shows_its_end(job: Job) -> bool:
    # Of a generation the result itself takes the card's place, unless it was cancelled.
    return job.kind is JobKind.TRAIN or job.status is JobStatus.CANCELLED


def _written_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def _loudness(notice: Notice) -> int:
    """A busy platform is everyday life; one that stays so is something for whoever runs the bot."""
    return logging.WARNING if notice.tries >= LOUD_AFTER_TRIES else logging.INFO
