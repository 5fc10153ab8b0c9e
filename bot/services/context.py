"""What the use cases need of other parts, in as few words as possible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from bot.core.accounts import AccessRules, AccountId, Platform
from bot.core.jobs import JobId
from bot.core.messages import Upload
from bot.core.photos import NewPhoto, StoredPhoto
from bot.db import Database
from bot.jobs.styles import Styles
from bot.media.contact_sheet import ThumbnailCache
from bot.media.moderation import Moderator
from bot.media.moderation.blocked_words import BlockList
from bot.media.quality import QualityReport
from bot.media.storage import Storage
from bot.ops.error_log import RecentErrors
from gpu_worker.protocol import Crop, WorkerHealth


class PhotoDecoder(Protocol):
    """Decodes photos that people send."""

    async def decode(self, upload: Upload) -> NewPhoto:
        """Return the photo as it is stored. Raise UserError when it cannot be used."""


class JobQueue(Protocol):
    """Carries jobs out."""

    def wake(self) -> None:
        """Say that the database holds a new job."""

    def prefetch(self, photos: Iterable[StoredPhoto], crops: Iterable[Crop | None] = ()) -> None:
        """Let the worker encode photos, or parts of them, of a set that is being collected."""

    def forget(self, photo_hashes: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""

    async def abort_job(self, job_id: JobId) -> None:
        """End the attempt of a job that was cancelled, if there is one."""

    def notify_changed(self, job_id: JobId) -> None:
        """Say that the message which shows a job is no longer true."""

    def health(self) -> WorkerHealth | None:
        """What the worker last said of itself; None while there is none."""

    def request_shutdown(self) -> None:
        """Let no further job begin in this run, and end with those that are under way."""


class DirectMessageNotifier(Protocol):
    """Wakes the sender of direct messages."""

    def wake(self) -> None:
        """Note that a direct message is owed."""


class NullDirectMessageNotifier:
    """Wakes nobody: direct messages wait in the database."""

    def wake(self) -> None:
        """Do nothing."""


class PhotoReviewer(Protocol):
    """Says of photos whether they help a training."""

    async def review_photos(self, photos: Sequence[StoredPhoto], class_word: str) -> QualityReport | None:
        """Judge photos, in their order; None when nothing is said of them."""

    def forget(self, photo_hashes: Iterable[str]) -> None:
        """Forget what was measured of photos, named by the SHA-256 of their bytes."""


class NullPhotoReviewer:
    """Says nothing."""

    async def review_photos(self, photos: Sequence[StoredPhoto], class_word: str) -> QualityReport | None:
        """Judge nothing."""

    def forget(self, photo_hashes: Iterable[str]) -> None:
        """There is nothing to forget."""


class AccountLocks:
    """One person's photos and requests are taken one after another; a lock lives while someone holds it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[AccountId, asyncio.Lock] = WeakValueDictionary()

    def get_lock(self, account: AccountId) -> asyncio.Lock:
        """Return the lock of an account."""
        lock = self._locks.get(account)
        if lock is None:
            lock = self._locks[account] = asyncio.Lock()
        return lock


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What the use cases work with. `clock` tells the time in UTC, `max_file_bytes` what a platform takes.

    `rules` say who may use the bot, and how much. `start_link` gives an address that opens the bot with a
    word, and nothing where there is none.
    """

    database: Database
    queue: JobQueue
    storage: Storage
    styles: Styles
    clock: Callable[[], datetime]
    max_file_bytes: Callable[[Platform], int]
    locks: AccountLocks = field(default_factory=AccountLocks)
    #: Held from the look at the line to the job in it: no two take the last place. Inside a person's lock.
    admission_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    recent_errors: RecentErrors = field(default_factory=RecentErrors)
    rules: AccessRules = field(default_factory=AccessRules)
    direct_messages: DirectMessageNotifier = field(default_factory=NullDirectMessageNotifier)
    moderator: Moderator = field(default_factory=Moderator)
    block_list: BlockList = field(default_factory=lambda: BlockList(None))
    start_link: Callable[[str], str] = lambda word: ""
    coach: PhotoReviewer = field(default_factory=NullPhotoReviewer)
    thumbnails: ThumbnailCache = field(default_factory=ThumbnailCache)

    def forget_photos(self, photo_hashes: Sequence[str]) -> None:
        """Let everybody forget what was derived of photos, named by the SHA-256 of their bytes."""
        self.queue.forget(photo_hashes)
        self.forget_cached_photos(photo_hashes)

    def forget_cached_photos(self, photo_hashes: Sequence[str]) -> None:
        """Let the bot itself forget them: they are collected no more, while a worker may be at them."""
        self.coach.forget(photo_hashes)
        self.thumbnails.forget(photo_hashes)
