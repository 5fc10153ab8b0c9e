"""Dispatcher and notifier on a real database, with a fake backend and a chat that remembers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatUnreachable, PicturesRefused
from bot.core.jobs import Job, JobStatus
from bot.core.messages import Reply
from bot.core.outbox import NoticeKind
from bot.db import Database
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.styles import load_styles
from bot.media.storage import Storage
from tests.support.data_dirs import create_data_dir
from tests.support.services import (
    ANNA,
    ANNAS,
    BERT,
    Clock,
    Desk,
    InProcessDecoder,
    RecordingQueue,
    consented,
    tools,
)
from tests.support.use_cases import Studio


def png(shade: int = 90) -> bytes:
    """A small picture, as a training draws on its way."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


PNG = png()


@dataclass
class RememberingChat:
    """A chat that keeps what it was sent; `errors` are raised first, one a call.

    While `line` is cleared, it has what it was sent, and whoever sent it does not know yet.
    """

    platform: Platform = Platform.TELEGRAM
    max_file_bytes: int = 50_000_000
    sent: list[tuple[ChatAddress, Reply, str]] = field(default_factory=list)
    edits: list[tuple[str, Reply]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    unreachable_chats: list[str] = field(default_factory=list)
    refuses_pictures_in: str = ""  #: a chat
    line: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.line.set()

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        self._fail(address, reply)
        self.sent.append((address, reply, nonce))
        await self.line.wait()
        return f"m{len(self.sent)}"

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        self._fail(address, reply)
        self.edits.append((message_id, reply))
        return message_id

    def _fail(self, address: ChatAddress, reply: Reply) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if address.chat_id in self.unreachable_chats:
            raise ChatUnreachable("closed")
        if reply.pictures and address.chat_id == self.refuses_pictures_in:
            raise PicturesRefused("no pictures here")


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 100.0) -> None:
    """Let everybody else run until something is true."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0)


@dataclass
class EngineRoom:
    desk: Desk
    files: Storage
    backend: FakeBackend
    chat: RememberingChat
    notifier: NoticeSender
    dispatcher: Dispatcher

    @property
    def ledger(self) -> Database:
        return self.desk.ledger

    async def job(self, job: Job) -> Job:
        found = await self.ledger.jobs.get(job.id)
        assert found is not None
        return found

    async def has_step(self, job: Job) -> bool:
        return (await self.job(job)).step > 0

    async def is_done(self, job: Job) -> bool:
        return (await self.job(job)).status is JobStatus.DONE

    async def has_sent(self) -> bool:
        """Return whether the chat was sent anything."""
        return bool(self.chat.sent)

    async def owed(self) -> list[NoticeKind]:
        return [notice.kind for notice in await self.ledger.outbox.list_due_notices(100)]

    async def trained(self) -> Job:
        """Train a Lora of Anna's to its end and deliver its notice."""
        job = await self.desk.train(ANNA)
        await self.dispatcher.drain()
        await self.notifier.deliver_due()
        return await self.job(job)

    async def draws(self, code: str, prompt: str = "on the moon") -> Job:
        reply = await self.desk.studio.generate_from_text(ANNA, ANNAS, f"{code} {prompt}")
        assert reply.card_job_id is not None
        job = await self.ledger.jobs.get(reply.card_job_id)
        assert job is not None
        return job


@asynccontextmanager
async def open_engine_room(folder: Path) -> AsyncIterator[EngineRoom]:
    clock, backend, chat, files = Clock(), FakeBackend(), RememberingChat(), create_data_dir(folder)
    ledger = await Database.open(folder / "ledger.sqlite3", clock)
    notifier = NoticeSender(
        database=ledger, chats={chat.platform: chat}, storage=files, clock=clock, card_pause_s=0.0
    )
    dispatcher = Dispatcher(ledger, backend, files, notifier, load_styles(), retry_backoff_s=0.0)
    desk_tools = tools(ledger, dispatcher, files, clock)
    await consented(ledger, ANNA, BERT)
    studio = Studio(desk_tools, InProcessDecoder(), frozenset())
    try:
        yield EngineRoom(
            Desk(ledger, RecordingQueue(), clock, studio, files), files, backend, chat, notifier, dispatcher
        )
    finally:
        await ledger.close()
