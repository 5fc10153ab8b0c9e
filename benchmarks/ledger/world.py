"""Who is in a database that was filled: people, codes and jobs, drawn at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from benchmarks.ledger.filling import DatabaseSize
from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.jobs import GenerationParams, Job, JobId, JobKind, TrainingParams
from bot.core.loras import LoraCode, Requester
from bot.core.photos import NewPhoto
from bot.db import Database

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PARAMS = GenerationParams("standing on a boat")
Arguments = tuple[object, ...]


@dataclass
class RandomRecords:
    """Draws people, codes and jobs of a database that was filled, at random but the same every time."""

    database: Database
    size: DatabaseSize
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    _counter: count[int] = field(default_factory=count)

    @property
    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def account(self) -> AccountId:
        """Draw somebody; one of ten times it is the one with thousands of jobs."""
        return AccountId(1 if self.rng.random() < 0.1 else self.rng.randint(1, self.size.accounts))

    def open_number(self) -> int:
        """Draw one of those who have a set, a draft, a question, a word."""
        return self.rng.randint(1, self.size.open_items)

    def identity(self) -> Identity:
        """Draw somebody, as their platform calls them."""
        return identity_of(self.account())

    def code(self) -> LoraCode:
        """Draw a code that is somebody's."""
        return LoraCode(f"{self.rng.randint(1, self.size.jobs // 5):08d}")

    def job(self) -> JobId:
        """Draw a job."""
        return JobId(self.rng.randint(1, self.size.jobs))

    def next_number(self) -> int:
        """Return a number that nobody had."""
        return next(self._counter)

    def new_photo(self) -> NewPhoto:
        """Return a photo that nobody sent."""
        return NewPhoto(f"new{self.next_number()}", self.rng.randbytes(30_000))

    async def create_account(self) -> AccountId:
        """Return somebody who has nothing yet."""
        return await self.database.accounts.get_or_create(
            Identity(Platform.TELEGRAM, f"new{self.next_number()}")
        )

    async def create_photo_set(self, photos: int = 4) -> AccountId:
        """Return somebody who has sent so many photos."""
        account = await self.create_account()
        await self.database.photo_sets.add_photos(
            account, [self.new_photo() for _ in range(photos)], chat_address(account), None
        )
        return account

    async def queue_job(self, kind: JobKind) -> Job:
        """Queue a job."""
        if kind is JobKind.GENERATE:
            account = self.account()
            return await self.database.jobs.add_generation(
                account, first_code(account), PARAMS, chat_address(account)
            )
        account = await self.create_photo_set(5)
        job = await self.database.photo_sets.start_training(account, chat_address(account), TrainingParams())
        assert job is not None  # noqa: S101 - there are five
        return job

    async def start_job(self, kind: JobKind) -> Job:
        """Start a job, and queue another one in its place."""
        await self.queue_job(kind)
        job = await self.database.jobs.claim_next(kind)
        assert job is not None  # noqa: S101 - one has just been queued
        return job

    async def start_attempt(self, kind: JobKind = JobKind.GENERATE) -> tuple[JobId, int]:
        """Start a job; return the attempt that fences its writes."""
        job = await self.start_job(kind)
        return job.id, job.attempt


def identity_of(account: int) -> Identity:
    """Return who an account is."""
    return Identity(Platform.TELEGRAM, str(account))


def chat_address(account: int) -> ChatAddress:
    """Return where an account writes from."""
    return ChatAddress(Platform.TELEGRAM, str(account), str(account))


def first_code(account: int) -> LoraCode:
    """Return the first LoraCode of an account."""
    return LoraCode(f"{account:08d}")


def requester(account: int) -> Requester:
    """Return somebody who asks."""
    return Requester(AccountId(account), "Anna", chat_address(account))
