"""Who is in a ledger that was filled: people, codes and jobs, drawn at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from benchmarks.ledger.filling import Size
from bot.core.accounts import AccountId, Identity, Place, Platform
from bot.core.jobs import GenerateWish, Job, JobId, JobKind, TrainWish
from bot.core.loras import Asker, LoraCode
from bot.core.photos import NewPhoto
from bot.db import Ledger

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WISH = GenerateWish("standing on a boat")
Arguments = tuple[object, ...]


@dataclass
class World:
    """Draws people, codes and jobs of a ledger that was filled, at random but the same every time."""

    ledger: Ledger
    size: Size
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    _new: count[int] = field(default_factory=count)

    @property
    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def account(self) -> AccountId:
        """Draw somebody; one of ten times it is the one with thousands of jobs."""
        return AccountId(1 if self.dice.random() < 0.1 else self.dice.randint(1, self.size.accounts))

    def opened(self) -> int:
        """Draw one of those who have a set, a draft, a question, a word."""
        return self.dice.randint(1, self.size.open)

    def who(self) -> Identity:
        """Draw somebody, as their platform calls them."""
        return person(self.account())

    def code(self) -> LoraCode:
        """Draw a code that is somebody's."""
        return LoraCode(f"{self.dice.randint(1, self.size.jobs // 5):08d}")

    def job(self) -> JobId:
        """Draw a job."""
        return JobId(self.dice.randint(1, self.size.jobs))

    def number(self) -> int:
        """Give a number that nobody had."""
        return next(self._new)

    def photo(self) -> NewPhoto:
        """Give a photo that nobody sent."""
        return NewPhoto(f"new{self.number()}", self.dice.randbytes(30_000))

    async def newcomer(self) -> AccountId:
        """Give somebody who has nothing yet."""
        return await self.ledger.account_of(Identity(Platform.TELEGRAM, f"new{self.number()}"))

    async def collecting(self, photos: int = 4) -> AccountId:
        """Give somebody who has sent so many photos."""
        account = await self.newcomer()
        await self.ledger.add_photos(account, [self.photo() for _ in range(photos)], place(account), None)
        return account

    async def waiting(self, kind: JobKind) -> Job:
        """Queue a job."""
        if kind is JobKind.GENERATE:
            account = self.account()
            return await self.ledger.add_generation(account, first_code(account), WISH, place(account))
        account = await self.collecting(5)
        job = await self.ledger.start_training(account, place(account), TrainWish())
        assert job is not None  # noqa: S101 - there are five
        return job

    async def running(self, kind: JobKind) -> Job:
        """Have a job begin; as many wait as before."""
        await self.waiting(kind)
        job = await self.ledger.claim(kind)
        assert job is not None  # noqa: S101 - one has just been queued
        return job

    async def attempt(self, kind: JobKind = JobKind.GENERATE) -> tuple[JobId, int]:
        """Have a job begin; gives what its writes are fenced by."""
        job = await self.running(kind)
        return job.id, job.attempt


def person(account: int) -> Identity:
    """Give who an account is."""
    return Identity(Platform.TELEGRAM, str(account))


def place(account: int) -> Place:
    """Give where an account writes from."""
    return Place(Platform.TELEGRAM, str(account), str(account))


def first_code(account: int) -> LoraCode:
    """Give the first LoraCode of an account."""
    return LoraCode(f"{account:08d}")


def asker(account: int) -> Asker:
    """Give somebody who asks."""
    return Asker(AccountId(account), "Anna", place(account))
