"""A Studio on a real database, with photos decoded in this process and a queue that only takes notes."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import Job, JobId, JobKind
from bot.core.loras import Lora
from bot.core.messages import Reply, Upload
from bot.core.photos import NewPhoto, PhotoRefused, StoredPhoto
from bot.db import Database
from bot.jobs.styles import load_styles
from bot.media.decoding import decode_photo
from bot.media.storage import Storage
from bot.services.context import JobQueue, ServiceContext
from bot.texts.photo_sets import photo_refusal
from gpu_worker.protocol import Crop, WorkerHealth
from tests.support.data_dirs import create_data_dir
from tests.support.use_cases import Studio

ANNA = Identity(Platform.TELEGRAM, "1")
BERT = Identity(Platform.DISCORD, "2")
ADMIN = Identity(Platform.TELEGRAM, "99")
ANNAS = ChatAddress(Platform.TELEGRAM, "100", "1")
BERTS = ChatAddress(Platform.DISCORD, "200", "2")
PLACES = {ANNA: ANNAS, BERT: BERTS}


@cache
def photo(number: int) -> Upload:
    """A small picture, different for each number."""
    image = Image.new("RGB", (256, 256), (number * 37 % 256, number * 91 % 256, 128))
    ImageDraw.Draw(image).rectangle((10, 10, 20 + number, 60), fill="white")
    file = io.BytesIO()
    image.save(file, "PNG")
    return Upload(f"{number}.png", file.getvalue())


def album(*numbers: int) -> list[Upload]:
    return [photo(number) for number in numbers]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **passed: float) -> None:
        self.now += timedelta(**passed)


#: The same few photos are sent in hundreds of tests.
_decode = lru_cache(maxsize=100)(decode_photo)


def forget_decoded_photos() -> None:
    """Have the next photos decoded, and hashed, anew."""
    _decode.cache_clear()


class InProcessDecoder:
    """The real decode, without the child process around it."""

    async def decode(self, upload: Upload) -> NewPhoto:
        try:
            return _decode(upload.data or b"")
        except PhotoRefused as error:
            raise UserError(photo_refusal(error.reason)) from error


@dataclass
class RecordingQueue:
    """A queue that carries nothing out."""

    wake_count: int = 0
    aborted_jobs: list[JobId] = field(default_factory=list)
    changed_jobs: list[JobId] = field(default_factory=list)
    current_health: WorkerHealth | None = None
    is_shutting_down: bool = False
    prefetched_photos: list[bytes] = field(default_factory=list)
    prefetched_crops: list[Crop | None] = field(default_factory=list)
    forgotten_hashes: list[str] = field(default_factory=list)

    def wake(self) -> None:
        self.wake_count += 1

    def prefetch(self, photos: Iterable[StoredPhoto], crops: Iterable[Crop | None] = ()) -> None:
        self.prefetched_photos.extend(photo.data for photo in photos)
        self.prefetched_crops.extend(crops)

    def forget(self, photo_hashes: Sequence[str]) -> None:
        self.forgotten_hashes.extend(photo_hashes)

    async def abort_job(self, job_id: JobId) -> None:
        self.aborted_jobs.append(job_id)

    def notify_changed(self, job_id: JobId) -> None:
        self.changed_jobs.append(job_id)

    def health(self) -> WorkerHealth | None:
        return self.current_health

    def request_shutdown(self) -> None:
        self.is_shutting_down = True


async def consented(ledger: Database, *people: Identity) -> None:
    """Let people have agreed to what their photos must be, as nearly all of them have."""
    for who in people:
        await ledger.accounts.record_consent(await ledger.accounts.get_or_create(who))


def tools(
    ledger: Database, queue: JobQueue, files: Storage, clock: Clock, max_file_bytes: int = 50_000_000
) -> ServiceContext:
    return ServiceContext(ledger, queue, files, load_styles(), clock, lambda platform: max_file_bytes)


@dataclass
class Desk:
    """All that a test of the use cases needs."""

    ledger: Database
    queue: RecordingQueue
    clock: Clock
    studio: Studio
    files: Storage

    async def send(self, who: Identity, *numbers: int) -> Reply:
        return await self.studio.add_photos(who, PLACES[who], album(*numbers))

    async def loras(self, who: Identity) -> list[Lora]:
        return await self.ledger.loras.list_for_account(await self.ledger.accounts.get_or_create(who))

    async def jobs(self, who: Identity) -> list[Job]:
        return await self.ledger.jobs.list_open_for_account(await self.ledger.accounts.get_or_create(who))

    async def train(self, who: Identity, first: int = 1) -> Job:
        """Send five photos and give the job they started."""
        reply = await self.send(who, *range(first, first + 5))
        assert reply.card_job_id is not None
        job = await self.ledger.jobs.get(reply.card_job_id)
        assert job is not None
        return job

    async def claim(self, kind: JobKind) -> Job:
        job = await self.ledger.jobs.claim_next(kind)
        assert job is not None
        return job

    async def ready(self, who: Identity, first: int = 1, seconds: float = 1500) -> Job:
        """Have a Lora trained; the job it gives is done."""
        await self.train(who, first)
        job = await self.claim(JobKind.TRAIN)
        assert await self.ledger.jobs.record_progress(job.id, job.attempt, 1500, 1500)
        self.clock.forward(seconds=seconds)
        assert await self.ledger.jobs.finish_training(
            job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64)
        )
        return job


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    clock, queue, files = Clock(), RecordingQueue(), create_data_dir(folder)
    ledger = await Database.open(folder / "ledger.sqlite3", clock)
    await consented(ledger, ANNA, BERT)
    try:
        studio = Studio(tools(ledger, queue, files, clock), InProcessDecoder(), {ADMIN})
        yield Desk(ledger, queue, clock, studio, files)
    finally:
        await ledger.close()
