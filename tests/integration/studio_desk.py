"""A Studio on a real ledger, with photos decoded in this process and a queue that only takes notes."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image, ImageDraw

from bot.core.accounts import Identity, Place, Platform
from bot.core.jobs import Job, JobId, JobKind
from bot.core.loras import Lora
from bot.core.messages import Reply, Upload
from bot.core.photos import NewPhoto
from bot.db import Ledger
from bot.jobs.styles import read_styles
from bot.media.decoding import decode
from bot.media.storage import Files
from bot.services.context import JobQueue, Tools
from bot.services.studio import Studio
from gpu_worker.protocol import Crop, Health

ANNA = Identity(Platform.TELEGRAM, "1")
BERT = Identity(Platform.DISCORD, "2")
ADMIN = Identity(Platform.TELEGRAM, "99")
ANNAS = Place(Platform.TELEGRAM, "100", "1")
BERTS = Place(Platform.DISCORD, "200", "2")
PLACES = {ANNA: ANNAS, BERT: BERTS}


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


class GateHere:
    """The real decode, without the child process around it."""

    async def check(self, upload: Upload) -> NewPhoto:
        return decode(upload.data or b"")


@dataclass
class NotedQueue:
    """A queue that carries nothing out."""

    woken: int = 0
    stopped: list[JobId] = field(default_factory=list)
    seen_again: list[JobId] = field(default_factory=list)
    said: Health | None = None
    is_finishing: bool = False
    prepared: list[bytes] = field(default_factory=list)
    crops: list[Crop | None] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def wake(self) -> None:
        self.woken += 1

    def prepare(self, photos: Iterable[bytes], crops: Iterable[Crop | None] = ()) -> None:
        self.prepared.extend(photos)
        self.crops.extend(crops)

    def forget(self, photos: Sequence[str]) -> None:
        self.forgotten.extend(photos)

    async def stop(self, job_id: JobId) -> None:
        self.stopped.append(job_id)

    def changed(self, job_id: JobId) -> None:
        self.seen_again.append(job_id)

    def health(self) -> Health | None:
        return self.said

    def finish(self) -> None:
        self.is_finishing = True


async def consented(ledger: Ledger, *people: Identity) -> None:
    """Let people have agreed to what their photos must be, as nearly all of them have."""
    for who in people:
        await ledger.consent(await ledger.account_of(who))


def tools(
    ledger: Ledger, queue: JobQueue, files: Files, clock: Clock, max_file_bytes: int = 50_000_000
) -> Tools:
    return Tools(ledger, queue, files, read_styles(), clock, lambda platform: max_file_bytes)


@dataclass
class Desk:
    """All that a test of the use cases needs."""

    ledger: Ledger
    queue: NotedQueue
    clock: Clock
    studio: Studio
    files: Files

    async def send(self, who: Identity, *numbers: int) -> Reply:
        return await self.studio.add_photos(who, PLACES[who], album(*numbers))

    async def loras(self, who: Identity) -> list[Lora]:
        return await self.ledger.loras_of(await self.ledger.account_of(who))

    async def jobs(self, who: Identity) -> list[Job]:
        return await self.ledger.open_jobs_of(await self.ledger.account_of(who))

    async def train(self, who: Identity, first: int = 1) -> Job:
        """Send five photos and give the job they started."""
        reply = await self.send(who, *range(first, first + 5))
        assert reply.card_of is not None
        job = await self.ledger.job(reply.card_of)
        assert job is not None
        return job

    async def claim(self, kind: JobKind) -> Job:
        job = await self.ledger.claim(kind)
        assert job is not None
        return job

    async def ready(self, who: Identity, first: int = 1, seconds: float = 1500) -> Job:
        """Have a Lora trained; the job it gives is done."""
        await self.train(who, first)
        job = await self.claim(JobKind.TRAIN)
        assert await self.ledger.progressed(job.id, job.attempt, 1500, 1500)
        self.clock.forward(seconds=seconds)
        assert await self.ledger.finish_training(job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64))
        return job


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    clock, queue, files = Clock(), NotedQueue(), Files(folder)
    files.prepare()
    ledger = await Ledger.open(folder / "ledger.sqlite3", clock)
    await consented(ledger, ANNA, BERT)
    try:
        studio = Studio(tools(ledger, queue, files, clock), GateHere(), {ADMIN})
        yield Desk(ledger, queue, clock, studio, files)
    finally:
        await ledger.close()
