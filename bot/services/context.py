"""What the use cases need of other parts, in as few words as possible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from bot.core.accounts import AccountId, Platform, Rules
from bot.core.jobs import JobId
from bot.core.messages import Upload
from bot.core.photos import NewPhoto
from bot.db import Ledger
from bot.jobs.styles import Styles
from bot.media.contact_sheet import Tiles
from bot.media.moderation import Guard
from bot.media.moderation.blocked_words import BlockList
from bot.media.quality import Report
from bot.media.storage import Files
from bot.ops.error_log import Troubles
from gpu_worker.protocol import Crop, Health


class Gate(Protocol):
    """Lets photos in."""

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo as it is kept; UserError says why it cannot be used."""


class JobQueue(Protocol):
    """Carries jobs out."""

    def wake(self) -> None:
        """Say that the ledger holds a new job."""

    def prepare(self, photos: Iterable[bytes], crops: Iterable[Crop | None] = ()) -> None:
        """Let the worker encode photos, or parts of them, of a set that is being collected."""

    def forget(self, photos: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""

    async def stop(self, job_id: JobId) -> None:
        """End the attempt of a job that was cancelled, if there is one."""

    def changed(self, job_id: JobId) -> None:
        """Say that the message which shows a job is no longer true."""

    def health(self) -> Health | None:
        """What the worker last said of itself; None while there is none."""

    def finish(self) -> None:
        """Let no further job begin in this run, and end with those that are under way."""


class Mailbox(Protocol):
    """Brings letters."""

    def wake(self) -> None:
        """Say that letters are owed."""


class NoMailbox:
    """Nobody to wake: letters wait in the ledger."""

    def wake(self) -> None:
        """Do nothing."""


class PhotoCoach(Protocol):
    """Says of photos whether they help a training."""

    async def look(self, photos: Sequence[bytes], class_word: str) -> Report | None:
        """Judge photos, in their order; None when nothing is said of them."""

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was measured of photos, named by the SHA-256 of their bytes."""


class NoCoach:
    """Says nothing."""

    async def look(self, photos: Sequence[bytes], class_word: str) -> Report | None:
        """Judge nothing."""

    def forget(self, names: Iterable[str]) -> None:
        """There is nothing to forget."""


class Locks:
    """One person's photos and requests are taken one after another; a lock lives while someone holds it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[AccountId, asyncio.Lock] = WeakValueDictionary()

    def of(self, account: AccountId) -> asyncio.Lock:
        """Give the lock of an account."""
        lock = self._locks.get(account)
        if lock is None:
            lock = self._locks[account] = asyncio.Lock()
        return lock


@dataclass(frozen=True, slots=True)
class Tools:
    """What the use cases work with. `clock` tells the time in UTC, `max_file_bytes` what a platform takes.

    `rules` say who may use the bot, and how much. `start_link` gives an address that opens the bot with a
    word, and nothing where there is none.
    """

    ledger: Ledger
    queue: JobQueue
    files: Files
    styles: Styles
    clock: Callable[[], datetime]
    max_file_bytes: Callable[[Platform], int]
    locks: Locks = field(default_factory=Locks)
    #: Held from the look at the line to the job in it: no two take the last place. Inside a person's lock.
    admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    troubles: Troubles = field(default_factory=Troubles)
    rules: Rules = field(default_factory=Rules)
    mailbox: Mailbox = field(default_factory=NoMailbox)
    guard: Guard = field(default_factory=Guard)
    block_list: BlockList = field(default_factory=lambda: BlockList(None))
    start_link: Callable[[str], str] = lambda word: ""
    coach: PhotoCoach = field(default_factory=NoCoach)
    tiles: Tiles = field(default_factory=Tiles)

    def forget(self, photos: Sequence[str]) -> None:
        """Let everybody forget what was derived of photos, named by the SHA-256 of their bytes."""
        self.queue.forget(photos)
        self.forget_looks(photos)

    def forget_looks(self, photos: Sequence[str]) -> None:
        """Let the bot itself forget them: they are collected no more, while a worker may be at them."""
        self.coach.forget(photos)
        self.tiles.forget(photos)
