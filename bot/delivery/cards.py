"""Keep progress cards up to date: the one message that shows a job while it waits and runs.

A card is a courtesy. An edit that fails is skipped, and the next one shows the latest state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable, PicturesRefused
from bot.core.jobs import TERMINAL_STATUSES, Job, JobId, JobKind, JobStatus, estimate_job
from bot.core.messages import ChatAdapter, Reply
from bot.core.retry import wait_for_event
from bot.db import Database
from bot.delivery.preferences import get_language_at
from bot.media.moderation import Moderator
from bot.media.storage import Storage
from bot.texts import use_language
from bot.texts.cards import job_card
from gpu_worker.protocol import FallbackCause

log = logging.getLogger(__name__)

#: Who answers a command saves the id of the card it sent. After this long it is taken for lost, and another
#: card is sent.
CARD_ID_GRACE = timedelta(seconds=10)
#: Between two edits of one card, as platforms count edits as messages.
CARD_PAUSE_S = 4.0


class ProgressCards:
    """Edits the cards of jobs that changed.

    `pause_s` is the least time between two edits of one card.
    `on_finished` is called when a job has ended and its card is left as it is.
    """

    def __init__(
        self,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        storage: Storage,
        clock: Callable[[], datetime],
        moderator: Moderator,
        pause_s: float,
        on_finished: Callable[[], None],
    ) -> None:
        self._database = database
        self._chats = chats
        self._storage = storage
        self._clock = clock
        self._moderator = moderator
        self._pause_s = pause_s
        self._on_finished = on_finished
        self._wake_event = asyncio.Event()
        self._stale_cards: set[JobId] = set()
        self._cards_in_edit: set[JobId] = set()
        self._fallbacks: dict[JobId, FallbackCause] = {}  # shown with the next edit, and only then
        self._preview_mtimes_ns: dict[JobId, int] = {}  # of the preview that a card shows
        self._next_edit_at_s: dict[JobId, float] = {}  # monotonic time
        # One edit of a card at a time: a late progress edit must not cover the picture.
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()

    def on_job_changed(self, job_id: JobId, fallback: FallbackCause | None = None) -> None:
        """Note that a job's card is out of date. A fallback is shown with its next edit, and only then."""
        if fallback is not None:
            self._fallbacks[job_id] = fallback
        self._stale_cards.add(job_id)
        self._wake_event.set()

    def lock_for(self, job_id: JobId) -> asyncio.Lock:
        """Return the lock to hold while the card of a job is edited."""
        lock = self._locks.get(job_id)
        if lock is None:
            lock = self._locks[job_id] = asyncio.Lock()
        return lock

    async def run(self) -> None:
        """Edit cards until cancelled. No card waits for another one: its platform may hang."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake_event.clear()
                for job_id in self._take_due():
                    tasks.create_task(self._edit_card(job_id), name=f"card-{job_id}")
                await wait_for_event(self._wake_event, self._next_edit_delay_s())

    async def edit_due(self) -> float | None:
        """Edit the cards that may be edited now. Return the seconds until the next may be, if any."""
        await asyncio.gather(*(self._edit_card(each) for each in self._take_due()))
        return self._next_edit_delay_s()

    def _take_due(self) -> list[JobId]:
        """Return the jobs whose cards may be edited now; the caller edits each."""
        now_s = time.monotonic()
        waiting = self._stale_cards - self._cards_in_edit
        due = [each for each in waiting if self._next_edit_at_s.get(each, 0.0) <= now_s]
        self._stale_cards.difference_update(due)
        self._cards_in_edit.update(due)
        return due

    def _next_edit_delay_s(self) -> float | None:
        waiting = self._stale_cards - self._cards_in_edit
        next_edit_times_s = [self._next_edit_at_s.get(each, 0.0) for each in waiting]
        return max(0.0, min(next_edit_times_s) - time.monotonic()) if next_edit_times_s else None

    async def _edit_card(self, job_id: JobId) -> None:
        try:
            async with self.lock_for(job_id):
                pause_s = await self._update(job_id)
        finally:
            self._cards_in_edit.discard(job_id)
        if pause_s is None:
            self._next_edit_at_s.pop(job_id, None)
        else:
            self._next_edit_at_s[job_id] = time.monotonic() + pause_s
        if job_id in self._stale_cards:  # it changed meanwhile
            self._wake_event.set()

    async def edit_message(self, chat: ChatAdapter, job: Job, message_id: str, reply: Reply) -> str:
        """Edit the card of a job. Return its id, which is saved if it changed (pictures are part of it)."""
        shown_id = await chat.edit(job.address, message_id, reply)
        if shown_id != message_id:
            await self._database.results.save_card_message(job.id, shown_id)
        return shown_id

    async def _update(self, job_id: JobId) -> float | None:
        """Edit a card. Return how many seconds it then rests; None when no further edit will come."""
        # Read before the job: a fallback that comes between the two belongs to the next edit.
        fallback = self._fallbacks.get(job_id)
        job = await self._database.jobs.get(job_id)
        if job is None or job.status in TERMINAL_STATUSES:
            self._fallbacks.pop(job_id, None)
            self._preview_mtimes_ns.pop(job_id, None)
            fallback = None
        if job is None or (job.status in TERMINAL_STATUSES and not _has_final_card(job)):
            self._on_finished()
            return None
        chat = self._chats.get(job.address.platform)
        if chat is None:
            return None
        if job.card_message_id is None and abs(self._clock() - job.created_at) < CARD_ID_GRACE:
            self._stale_cards.add(job_id)
            return 1.0
        try:
            with use_language(await get_language_at(self._database, job.address)):
                await self._show(chat, job, fallback)
        except ChatBusy as busy:
            self._stale_cards.add(job_id)
            return busy.retry_after_s
        except ChatUnreachable as error:
            log.info("the card of job %d cannot be shown: %s", job_id, error)
        except FileNotFoundError:  # the preview was deleted when the job ended; its result comes next
            log.debug("the preview of job %d is gone", job_id)
        except Exception:
            log.exception("the card of job %d could not be edited", job_id)
        return None if job.status in TERMINAL_STATUSES else self._pause_s

    async def _show(self, chat: ChatAdapter, job: Job, fallback: FallbackCause | None) -> None:
        mtime_ns = await asyncio.to_thread(_mtime_ns, self._storage.preview_path(job.id))
        is_new_preview = mtime_ns is not None and mtime_ns != self._preview_mtimes_ns.get(job.id)
        card = await self._build(job, fallback, is_new_preview)
        reply = await self._moderator.filter_reply(job.address, card)
        try:
            await self._edit_or_send(chat, job, reply)
        except PicturesRefused as error:
            log.info("the card of job %d takes no preview: %s", job.id, error)
            await self._edit_or_send(chat, job, replace(reply, pictures=(), keeps_pictures=True))
        if card.pictures and mtime_ns is not None:
            self._preview_mtimes_ns[job.id] = mtime_ns
        if fallback and self._fallbacks.get(job.id) is fallback:  # otherwise a newer one came meanwhile
            del self._fallbacks[job.id]

    async def _edit_or_send(self, chat: ChatAdapter, job: Job, reply: Reply) -> None:
        if job.card_message_id is not None:
            await self.edit_message(chat, job, job.card_message_id, reply)
        elif job.status not in TERMINAL_STATUSES:  # the bot died before the id of the card was saved
            message_id = await chat.send(job.address, reply, nonce=f"card-{job.id}")
            await self._database.results.save_card_message(job.id, message_id)

    async def _build(self, job: Job, fallback: FallbackCause | None, has_new_preview: bool) -> Reply:
        estimate = await estimate_job(self._database.jobs, job, self._clock())
        preview = self._storage.preview_path(job.id) if has_new_preview else None
        reply = job_card(job, estimate.remaining_s, estimate.position, fallback, preview)
        # A picture is sent once, not with each step. The card of a finished training goes on showing it.
        is_successful = job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}
        return replace(reply, keeps_pictures=is_successful and not reply.pictures)


def _has_final_card(job: Job) -> bool:
    # The result of a generation takes the place of its card, unless the job was cancelled.
    return job.kind is JobKind.TRAIN or job.status is JobStatus.CANCELLED


def _mtime_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
