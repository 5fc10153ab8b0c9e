"""What the clock does: photos go in time, files without an owner go, the bot's folder is its own."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy
from bot.core.jobs import FailureReason, JobFailure, JobId, JobStatus
from bot.core.loras import Requester
from bot.core.photos import PhotoSet
from bot.delivery.notices import NoticeSender
from bot.ops import schedule as schedule_module
from bot.ops.daily_backup import DailyBackups
from bot.ops.schedule import Schedule
from tests.support.engine import PNG, EngineRoom, RememberingChat, open_engine_room, until
from tests.support.processes import living_children
from tests.support.services import ANNA, ANNAS, BERT, BERTS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


@dataclass
class Bell:
    """The room's notifier, counting how often it was woken."""

    room: EngineRoom
    woken: list[int]

    def wake(self) -> None:
        self.woken.append(1)

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        return await self.room.notifier.send_reminder(address, photo_set)


def schedule(room: EngineRoom, woken: list[int]) -> Schedule:
    return Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=Bell(room, woken),
        clock=room.desk.clock,
        forget_photos=room.desk.queue.forget,
    )


async def test_photos_are_forgotten_after_seven_days_and_the_person_is_told(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.send(ANNA, 6, 7)
    woken: list[int] = []
    room.desk.clock.forward(days=7, seconds=1)
    names = [
        *await room.ledger.photos.list_job_hashes(job.id),
        *await room.ledger.photo_sets.list_set_hashes(job.account),
    ]
    await schedule(room, woken).run_retention()
    assert room.desk.queue.forgotten_hashes == names, "what was derived of them goes too"
    failed = await room.job(job)
    assert failed.status is JobStatus.FAILED
    assert failed.error == JobFailure(FailureReason.PHOTOS_EXPIRED)
    assert await room.ledger.photo_sets.count_collected(job.account) == 0
    assert len(await room.owed()) == 1
    assert woken


async def test_a_set_is_remembered_once_and_forgotten_after_a_day(room: EngineRoom) -> None:
    await room.desk.send(ANNA, 6, 7)
    room.desk.clock.forward(hours=21)
    room.chat.errors.append(ChatBusy("later", 1.0))
    for _ in range(3):  # the first is refused, the second heard, the third not needed
        await schedule(room, []).send_reminders(Platform.TELEGRAM)
    [(place, reply, _)] = room.chat.sent
    assert place == ANNAS
    assert "2 of 5 photos waiting" in reply.text
    room.desk.clock.forward(hours=4)
    await schedule(room, []).run_retention()
    assert await room.ledger.photo_sets.count_collected(await room.ledger.accounts.get_or_create(ANNA)) == 0
    assert len(room.desk.queue.forgotten_hashes) == 2


async def test_a_failed_reminder_is_sent_again(room: EngineRoom, caplog: pytest.LogCaptureFixture) -> None:
    await room.desk.send(ANNA, 6, 7)
    room.desk.clock.forward(hours=21)
    room.chat.errors.append(RuntimeError("bug"))
    await schedule(room, []).send_reminders(Platform.TELEGRAM)
    assert "the reminder for account 1 failed" in caplog.text
    await schedule(room, []).send_reminders(Platform.TELEGRAM)
    assert len(room.chat.sent) == 1


async def test_a_set_that_is_about_to_be_forgotten_is_not_reminded_of(room: EngineRoom) -> None:
    await room.desk.send(ANNA, 6, 7)
    room.desk.clock.forward(hours=25)
    await schedule(room, []).send_reminders(Platform.TELEGRAM)
    assert room.chat.sent == []


async def test_a_platform_that_hangs_holds_up_neither_retention_nor_reminders_elsewhere(
    room: EngineRoom,
) -> None:
    discord = RememberingChat(Platform.DISCORD)
    notifier = NoticeSender(
        database=room.ledger,
        chats={Platform.TELEGRAM: room.chat, Platform.DISCORD: discord},
        storage=room.files,
        clock=room.desk.clock,
    )
    await room.desk.send(ANNA, 1, 2)
    await room.desk.send(BERT, 3, 4)
    room.desk.clock.forward(hours=21)
    room.chat.line.clear()
    woken = asyncio.Event()
    house = Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=WakingSender(notifier, woken),
        clock=room.desk.clock,
        forget_photos=lambda _: None,
    )
    house.start(house.wake_notices)
    try:
        async with asyncio.timeout(60):
            await until(room.has_sent)
            await woken.wait()  # the last that retention does
            await until(lambda: _is_sent(discord))
    finally:
        await house.close()
    assert [address for address, _, _ in discord.sent] == [BERTS]


async def _is_sent(chat: RememberingChat) -> bool:
    return bool(chat.sent)


@dataclass
class WakingSender:
    """Sends reminders, and tells when retention wakes it."""

    notifier: NoticeSender
    woken: asyncio.Event

    def wake(self) -> None:
        self.woken.set()

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        return await self.notifier.send_reminder(address, photo_set)


async def test_expired_links_and_unanswered_requests_are_deleted(room: EngineRoom) -> None:
    code = (await room.desk.train(ANNA)).code
    await room.ledger.sharing.save_share_link(code, "ABCDEFGHJKLM", room.desk.clock.now)
    await room.ledger.sharing.add_request(
        Requester(await room.ledger.accounts.get_or_create(BERT), "Bert", BERTS), code
    )
    await room.ledger.sharing.forward_requests()
    await schedule(room, []).run_retention()
    assert len(await room.ledger.sharing.list_shares(code)) == 1
    room.desk.clock.forward(days=7, seconds=1)
    await schedule(room, []).run_retention()
    assert await room.ledger.sharing.list_shares(code) == []
    for table in ("invitations", "asks", "letters WHERE share NOT NULL"):
        assert await room.ledger._connection.fetch_rows(f"SELECT * FROM {table}") == []  # noqa: S608 - our own names


async def test_younger_photos_stay(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    room.desk.clock.forward(days=6, hours=23)
    await schedule(room, []).run_retention()
    assert len(await room.ledger.photos.get_job_photos(job.id)) == 5


async def test_files_of_a_crash_are_deleted_and_needed_ones_stay(room: EngineRoom, tmp_path: Path) -> None:
    job = await room.desk.train(ANNA)
    await room.files.write_checkpoint(job.id, b"needed")
    await room.files.write_checkpoint(JobId(99), b"orphan")
    half = tmp_path / "loras" / "12345678.safetensors.tmp"
    half.write_bytes(b"half")
    fresh = tmp_path / "pictures" / "5-1.png.tmp"
    fresh.write_bytes(b"being written")
    for path in [half, *(tmp_path / "checkpoints").iterdir()]:
        os.utime(path, (0, 0))
    await schedule(room, []).run_retention()
    assert await room.files.read_checkpoint(job.id) == b"needed"
    assert await room.files.read_checkpoint(JobId(99)) is None
    assert not half.exists()
    assert fresh.exists()


async def test_results_without_a_row_are_swept_and_those_of_people_stay(
    room: EngineRoom, tmp_path: Path
) -> None:
    room.backend.sample_png = PNG
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.dispatcher.drain()
    kept = {f"{job.code}.safetensors", f"{job.id}-0.png", f"{drawing.id}-1.png", "my own notes.txt"}
    (tmp_path / "pictures" / "my own notes.txt").touch()
    for orphan in ("pictures/77-1.png", "pictures/77-0.png", "exports/loracode-1of2.safetensors"):
        (tmp_path / orphan).touch()
    (tmp_path / "loras" / f"{(int(job.code) + 1) % 10**8:08d}.safetensors").touch()
    (tmp_path / "previews" / "77.png").touch()
    folders = [tmp_path / name for name in ("loras", "pictures", "exports", "previews")]
    for path in [each for folder in folders for each in folder.iterdir()]:
        os.utime(path, (0, 0))
    young = tmp_path / "pictures" / "78-1.png"
    young.touch()
    await schedule(room, []).run_retention()
    left = {path.name for folder in folders for path in folder.iterdir()}
    assert left == kept | {young.name}


async def test_a_deleted_result_is_not_kept_for_its_notice(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.dispatcher.drain()
    await room.ledger.results.delete_result(drawing.id)  # and then the machine lost power
    os.utime(room.files.picture_path(f"{drawing.id}-1.png"), (0, 0))
    await schedule(room, []).run_retention()
    assert not room.files.picture_path(f"{drawing.id}-1.png").exists()


async def test_the_data_folder_is_for_its_owner_only(room: EngineRoom, tmp_path: Path) -> None:
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ledger.sqlite3").stat().st_mode) == 0o600


async def test_the_schedule_starts_and_stops(room: EngineRoom) -> None:
    woken_closed: list[int] = []
    closed = schedule(room, woken_closed)
    closed.start(room.desk.ledger.checkpoint_wal)
    await closed.close()
    woken: list[int] = []
    running = schedule(room, woken)
    running.start(room.desk.ledger.checkpoint_wal)

    async def was_woken() -> bool:
        return bool(woken)

    await until(was_woken)  # its first round is over
    assert not woken_closed, "the first round of the other one was due earlier"
    await running.close()
    await running.close()


class LateClock(datetime):
    """A machine that stood still since it read the time, for longer than APScheduler excuses."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(seconds=90)


async def test_a_late_scheduled_run_still_happens(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    each = schedule(room, woken)
    monkeypatch.setattr(schedule_module, "datetime", LateClock)
    each.start(room.desk.ledger.checkpoint_wal)
    async with asyncio.timeout(20):
        while not woken:
            await asyncio.sleep(0.01)
    await each.close()


async def test_a_run_at_shutdown_is_cancelled_and_starts_no_backup(
    room: EngineRoom, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await room.desk.send(ANNA, 6, 7)
    room.desk.clock.forward(hours=21)
    before, bell = set(living_children()), SlowBell(room, [])
    backups = DailyBackups(room.files.root, tmp_path / "safe", 30, room.desk.clock)
    house = Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=bell,
        clock=room.desk.clock,
        forget_photos=room.desk.queue.forget,
        backups=backups,
    )
    house.start(house.wake_notices)
    await bell.asked.wait()
    await house.close()
    assert bell.was_broken_off
    await asyncio.sleep(0)  # APScheduler's own callback runs after the task has ended
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not set(living_children()) - before
    assert backups.last_backup_at() is None and backups.last_error is None


async def test_a_backup_under_way_when_the_bot_stops_ends_with_it(room: EngineRoom, tmp_path: Path) -> None:
    before = set(living_children())
    backups = DailyBackups(room.files.root, tmp_path / "safe", 30, room.desk.clock)
    house = Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=Bell(room, []),
        clock=room.desk.clock,
        forget_photos=lambda _: None,
        backups=backups,
    )
    house.start(house.wake_notices)
    async with asyncio.timeout(60):
        while not set(living_children()) - before:
            await asyncio.sleep(0.01)
    await house.close()
    assert not set(living_children()) - before


async def test_a_failed_retention_run_is_backed_up_all_the_same(
    room: EngineRoom, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backups = DailyBackups(room.files.root, tmp_path / "safe", 30, room.desk.clock)

    def fails(left: Sequence[str]) -> None:
        raise OSError("no luck")

    await Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=Bell(room, []),
        clock=room.desk.clock,
        forget_photos=fails,
        backups=backups,
    ).run_hourly()
    assert "retention run failed" in caplog.text
    assert backups.last_backup_at() is not None


@dataclass
class SlowBell(Bell):
    """Hangs at the first person it is to remind."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    was_broken_off: bool = False

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_broken_off = True
        raise AssertionError("nobody rings")
