"""A platform that hangs holds up nothing of another one, and no stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import Job, JobKind
from bot.core.messages import Reply
from bot.delivery.direct_messages import DirectMessageSender
from bot.delivery.notices import NoticeSender
from tests.support.engine import EngineRoom, RememberingChat, open_engine_room, until
from tests.support.services import ANNA, BERT, BERTS, PLACES


@dataclass
class HangingChat:
    """A platform that takes what it is sent, and never answers."""

    platform: Platform = Platform.TELEGRAM
    max_file_bytes: int = 50_000_000
    call_count: int = 0
    cancelled_count: int = 0

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        return await self._hang()

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        return await self._hang()

    async def _hang(self) -> str:
        self.call_count += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled_count += 1
        raise AssertionError("it never answers")


@dataclass
class Platforms:
    """Telegram, which hangs, and Discord."""

    room: EngineRoom
    telegram: HangingChat = field(default_factory=HangingChat)
    discord: RememberingChat = field(default_factory=lambda: RememberingChat(Platform.DISCORD))

    def __post_init__(self) -> None:
        self.chats = {Platform.TELEGRAM: self.telegram, Platform.DISCORD: self.discord}
        self.sender = NoticeSender(
            database=self.room.ledger,
            chats=self.chats,
            storage=self.room.files,
            clock=self.room.desk.clock,
            card_pause_s=0.0,
            shutdown_grace_s=0.0,
        )

    async def train(self, person: Identity) -> Job:
        job = await self.room.desk.train(person)
        await self.room.dispatcher.drain()
        return job

    async def delete_result(self, person: Identity) -> None:
        """Let a person delete a result that a card shows."""
        code = (await self.train(person)).code
        reply = await self.room.desk.studio.generate_from_text(person, PLACES[person], f"{code} a boat")
        assert reply.card_job_id is not None
        await self.room.desk.studio.record_card(reply.card_job_id, f"card{reply.card_job_id}")
        await self.room.dispatcher.drain()
        for notice in await self.room.ledger.outbox.list_due_notices(100):
            await self.room.ledger.outbox.mark_notice_sent(notice.id, "sent")
        await self.room.ledger.results.delete_result(reply.card_job_id)

    async def show_card(self, person: Identity) -> Job:
        """Let a person have a training whose card is out of date."""
        job = await self.room.desk.train(person)
        await self.room.desk.studio.record_card(job.id, f"card{job.id}")
        await self.room.desk.claim(JobKind.TRAIN)
        self.sender.on_job_changed(job.id)
        return job

    async def does_hang(self) -> bool:
        return self.telegram.call_count > 0

    async def has_discord_sent(self) -> bool:
        return bool(self.discord.sent)

    async def has_discord_edited(self) -> bool:
        return bool(self.discord.edits)


@pytest.fixture
async def platforms(tmp_path: Path) -> AsyncIterator[Platforms]:
    async with open_engine_room(tmp_path) as room:
        yield Platforms(room)


@asynccontextmanager
async def running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run something meanwhile, and stop it."""
    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=30)
    assert task.cancelled()


async def test_notices_of_another_platform_go_out(platforms: Platforms) -> None:
    await platforms.train(ANNA)
    async with running(platforms.sender.run):
        await until(platforms.does_hang)
        await platforms.train(BERT)
        platforms.sender.wake()
        await until(platforms.has_discord_sent)
    assert [address for address, _, _ in platforms.discord.sent] == [BERTS]


async def test_cards_of_another_platform_are_edited(platforms: Platforms) -> None:
    await platforms.show_card(ANNA)
    async with running(platforms.sender.run):
        await until(platforms.does_hang)
        job = await platforms.show_card(BERT)
        await until(platforms.has_discord_edited)
    assert platforms.discord.edits[0][0] == f"card{job.id}"


async def test_a_card_that_hangs_is_edited_once_at_a_time(platforms: Platforms) -> None:
    job = await platforms.show_card(ANNA)
    async with running(platforms.sender.run):
        await until(platforms.does_hang)
        for _ in range(3):
            platforms.sender.on_job_changed(job.id)
            await platforms.room.job(job)  # the loop has run meanwhile
        assert platforms.telegram.call_count == 1


async def test_results_that_were_deleted_go_from_another_platform(platforms: Platforms) -> None:
    for person in (ANNA, BERT):
        await platforms.delete_result(person)
    async with running(platforms.sender.run):
        await until(platforms.does_hang)
        await until(platforms.has_discord_edited)
    assert "deleted" in platforms.discord.edits[-1][1].text


async def test_direct_messages_of_another_platform_go_out(platforms: Platforms) -> None:
    await platforms.room.ledger.outbox.add_direct_messages([ANNA, BERT], "hello")
    letters = DirectMessageSender(
        platforms.room.ledger, platforms.chats, platforms.room.desk.clock, shutdown_grace_s=0.0
    )
    async with running(letters.run):
        await until(platforms.does_hang)
        await until(platforms.has_discord_sent)


async def test_a_bot_that_is_to_end_does_not_wait_for_it_forever(
    platforms: Platforms, caplog: pytest.LogCaptureFixture
) -> None:
    await platforms.train(ANNA)
    await platforms.train(BERT)
    async with asyncio.timeout(30):
        await platforms.sender.deliver_last(timeout_s=0.2)
    assert platforms.telegram.cancelled_count == 1
    assert len(platforms.discord.sent) == 1
    assert "at the next start" in caplog.text
    assert len(await platforms.room.owed()) == 1, "its notice waits for the next start"
