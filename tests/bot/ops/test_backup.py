"""Backups: whole at one instant while the bot writes, put back to the last second, gone in time."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import db as bot_db
from bot.core.errors import BackupError, DatabaseError
from bot.db import Database
from bot.ops import backup
from bot.ops.backup._create import is_same_file
from bot.ops.backup._disk import sha256_of
from bot.ops.daily_backup import DailyBackups
from tests.acceptance.telegram_server import until
from tests.support.engine import PNG, EngineRoom, open_engine_room
from tests.support.processes import living_children
from tests.support.services import ANNA, Clock

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    (tmp_path / "data").mkdir()
    async with open_engine_room(tmp_path / "data") as each:
        yield each


def data(room: EngineRoom) -> Path:
    return room.files.root


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_a_backup_is_restored_byte_by_byte(room: EngineRoom, tmp_path: Path) -> None:
    room.backend.sample_png = PNG
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.dispatcher.drain()
    await room.desk.send(ANNA, 6, 7)
    (data(room) / "loras" / "notes.txt").write_text("nobody's row names this")
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    kept = {f"loras/{job.code}.safetensors", f"pictures/{job.id}-0.png", f"pictures/{drawing.id}-1.png"}
    assert names_in(made.folder) == {"ledger.sqlite3", "manifest.json", *kept}
    assert made.folder.name == "loracode-20261123T120000Z"

    restored = backup.restore(tmp_path / "safe", tmp_path / "new", NOW)
    assert str(restored) == "the database and 3 files"
    for name in kept:
        assert (tmp_path / "new" / name).read_bytes() == (data(room) / name).read_bytes()
    there = await Database.open(tmp_path / "new" / "ledger.sqlite3", Clock())
    try:
        assert await there.photo_sets.count_collected(await there.accounts.get_or_create(ANNA)) == 2
        lora = await there.loras.get_by_code(job.code)
        assert lora == await room.ledger.loras.get_by_code(job.code)
    finally:
        await there.close()


def write_until(stop: threading.Event, path: Path, committed: list[int]) -> None:
    """Commit rows as fast as the disk takes them; a row and its pair are one transaction."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        db.execute("PRAGMA synchronous=OFF")
        for number in itertools.count(1):
            if stop.is_set():
                return
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO spent_codes VALUES (?)", (f"a{number}",))
            db.execute("INSERT INTO spent_codes VALUES (?)", (f"b{number}",))
            db.execute("COMMIT")
            committed.append(number)


async def test_a_backup_under_load_holds_whole_commits_only(room: EngineRoom, tmp_path: Path) -> None:
    committed: list[int] = []
    stop = threading.Event()
    path = data(room) / "ledger.sqlite3"
    writer = threading.Thread(target=write_until, args=(stop, path, committed))
    writer.start()
    try:
        for turn in range(5):
            while len(committed) < 50 * (turn + 1):
                await asyncio.sleep(0)
            before = committed[-1]
            made = await asyncio.to_thread(
                backup.create_backup, data(room), tmp_path / "safe", NOW + timedelta(seconds=turn)
            )
            backup.restore(made.folder, tmp_path / f"new-{turn}", NOW)
            with closing(sqlite3.connect(tmp_path / f"new-{turn}" / "ledger.sqlite3")) as db:
                rows = {row[0] for row in db.execute("SELECT code FROM spent_codes")}
            last = max(int(row[1:]) for row in rows)
            assert last >= before
            assert rows == {f"{half}{number}" for half in "ab" for number in range(1, last + 1)}
    finally:
        stop.set()
        writer.join()
    assert committed[-1] > last, "somebody wrote until the end"


async def test_the_database_can_be_written_while_it_is_backed_up(room: EngineRoom, tmp_path: Path) -> None:
    """Nobody waits: a copy that is under way holds up no writer."""
    with closing(sqlite3.connect(f"{(data(room) / 'ledger.sqlite3').as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()  # as `backup` holds it while it copies
        await asyncio.wait_for(room.ledger.accounts.get_or_create(ANNA), 2)


async def test_a_lora_deleted_during_a_backup_is_not_in_it(room: EngineRoom, tmp_path: Path) -> None:
    job = await room.trained()
    lora = room.files.lora_path(f"{job.code}.safetensors")
    copies: list[bool] = []

    def copy(source: Path, target: Path) -> None:
        bot_db.copy_database(source, target)
        copies.append(job.code in str(bot_db.list_referenced_files(target).loras))
        if lora.exists():  # its owner deletes it now: first the row, then the file
            with closing(sqlite3.connect(source)) as db, db:
                db.execute("UPDATE loras SET file = NULL")
            lora.unlink()

    made = backup.create_backup(data(room), tmp_path / "safe", NOW, copy_database=copy)
    assert copies == [True, False]
    assert made.manifest.missing == ()
    assert names_in(made.folder) == {"ledger.sqlite3", "manifest.json"}
    assert not bot_db.list_referenced_files(made.folder / "ledger.sqlite3").loras


async def test_a_missing_file_is_reported_and_the_rest_is_backed_up(room: EngineRoom, tmp_path: Path) -> None:
    job = await room.trained()
    (data(room) / "loras" / f"{job.code}.safetensors").unlink()
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    assert made.manifest.missing == (f"loras/{job.code}.safetensors",)
    assert "1 were not there" in str(made)
    backup.restore(made.folder, tmp_path / "new", NOW)


async def test_a_second_backup_shares_the_files_of_the_first(room: EngineRoom, tmp_path: Path) -> None:
    job = await room.trained()
    name = f"loras/{job.code}.safetensors"
    one = backup.create_backup(data(room), tmp_path / "safe", NOW)
    # As on another disk: the file there has the same time and size, and no link to the data folder.
    content = (data(room) / name).read_bytes()
    times = (data(room) / name).stat()
    (one.folder / name).unlink()
    (one.folder / name).write_bytes(content)
    os.utime(one.folder / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert is_same_file(one.folder / name, data(room) / name)
    two = backup.create_backup(data(room), tmp_path / "safe", NOW + timedelta(days=1))
    assert (two.folder / name).read_bytes() == content
    backup.delete_old_backups(tmp_path / "safe", 1, NOW + timedelta(days=1))
    assert (two.folder / name).read_bytes() == content, "what is shared outlives the first"
    restored = tmp_path / "new"
    backup.restore(two.folder, restored, NOW)
    assert (restored / name).stat().st_nlink == 1, "the bot's own file is no link into a backup"


async def test_backups_are_for_their_owner_only(room: EngineRoom, tmp_path: Path) -> None:
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    assert stat.S_IMODE((tmp_path / "safe").stat().st_mode) == 0o700
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((made.folder / "ledger.sqlite3").stat().st_mode) == 0o600


async def test_a_deleted_photo_is_in_no_backup_after_thirty_days(room: EngineRoom, tmp_path: Path) -> None:
    canary = b"canary-photo-" * 40
    with closing(sqlite3.connect(data(room) / "ledger.sqlite3", isolation_level=None)) as db:
        account = await room.ledger.accounts.get_or_create(ANNA)
        insert = (
            "INSERT INTO photos (account, sha256, data_sha256, created_ms, data) VALUES (?, 'x', 'y', 0, ?)"
        )
        db.execute(insert, (account, canary))
    clock = Clock()
    backups = DailyBackups(data(room), tmp_path / "safe", 30, clock)
    await backups.run_if_due()
    assert len(holding(tmp_path / "safe", canary)) == 1
    await room.ledger.photo_sets.delete_set(account)
    clock.forward(days=29)
    await backups.run_if_due()
    assert len(holding(tmp_path / "safe", canary)) == 1
    for _ in range(23):  # as the clock tells it, every hour
        clock.forward(hours=1)
        await backups.run_if_due()
    assert not holding(tmp_path / "safe", canary)
    assert backup.newest_backup(tmp_path / "safe") is not None


def holding(folder: Path, content: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


async def test_a_backup_is_made_daily_and_at_once_after_a_missed_day(
    room: EngineRoom, tmp_path: Path
) -> None:
    clock = Clock()
    backups = DailyBackups(data(room), tmp_path / "safe", 30, clock)
    for _ in range(48):
        await backups.run_if_due()
        clock.forward(hours=1)
    assert len(backup.list_backups(tmp_path / "safe")) == 2
    clock.forward(days=3)
    await backups.run_if_due()
    assert len(backup.list_backups(tmp_path / "safe")) == 3


async def test_a_failed_backup_is_remembered_until_one_succeeds(
    room: EngineRoom, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "safe").write_text("a file where the folder should be")
    backups = DailyBackups(data(room), tmp_path / "safe", 30, Clock())
    await backups.run_if_due()
    assert backups.last_error
    assert [record.levelname for record in caplog.records if "backup" in record.name] == ["ERROR"]
    (tmp_path / "safe").unlink()
    await backups.run_if_due()
    assert backups.last_error == ""


async def test_a_backup_that_cannot_be_made_is_reported_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody can look there, not even root.
    unreadable = DailyBackups(tmp_path / "data", tmp_path / ("x" * 300), 30, Clock())
    assert unreadable.last_backup_at() is None
    await unreadable.run_if_due()
    assert "File name too long" in str(unreadable.last_error)
    # More than a program may be started with.
    unstartable = DailyBackups(Path("x" * 2**18), tmp_path / "safe", 30, Clock())
    await unstartable.run_if_due()
    assert "could not be started" in str(unstartable.last_error)
    assert [record.levelname for record in caplog.records if "backup" in record.name] == ["ERROR"] * 2


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_backup_that_is_being_made_ends_with_the_bot(
    room: EngineRoom, tmp_path: Path, is_cancelled: bool
) -> None:
    before = set(living_children())
    backups = DailyBackups(data(room), tmp_path / "safe", 30, Clock())
    making = asyncio.create_task(backups.run_if_due())
    await until(lambda: set(living_children()) - before)
    if is_cancelled:
        making.cancel()
        await asyncio.wait([making])
    else:
        await backups.close()
    assert not set(living_children()) - before
    await asyncio.wait([making])
    assert making.cancelled() == is_cancelled
    assert not backup.list_backups(tmp_path / "safe")


async def test_an_unfinished_backup_is_none_and_goes_with_the_next(room: EngineRoom, tmp_path: Path) -> None:
    torn = tmp_path / "safe" / "loracode-20261122T120000Z.unfinished"
    torn.mkdir(parents=True)
    (torn / "ledger.sqlite3").write_bytes(b"half")
    with pytest.raises(BackupError, match="no backup"):
        backup.restore(tmp_path / "safe", tmp_path / "new", NOW)
    backup.create_backup(data(room), tmp_path / "safe", NOW)
    assert not torn.exists()


def test_an_unfinished_backup_is_removed_before_free_space_is_counted(tmp_path: Path) -> None:
    torn = tmp_path / "safe" / "loracode-20261122T120000Z.unfinished"
    torn.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "ledger.sqlite3").open("wb") as ledger_file:
        ledger_file.truncate(2**43)  # with holes: more than there is room for
    with pytest.raises(BackupError, match="MB are free"):
        backup.create_backup(tmp_path / "data", tmp_path / "safe", NOW)
    assert not torn.exists()


def test_a_half_deleted_backup_is_deleted_too(tmp_path: Path) -> None:
    left = tmp_path / "loracode-20261022T120000Z" / "pictures"
    left.mkdir(parents=True)
    (left / "1-0.png").write_bytes(PNG)
    backup.delete_old_backups(tmp_path, 30, NOW)
    assert not left.parent.exists()


def test_a_disk_that_rounds_times_holds_the_same_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path, at_s in ((one, 1_000_000_001.9999999), (other, 1_000_000_000.0)):
        path.write_bytes(b"lora")
        os.utime(path, (at_s, at_s))
    assert is_same_file(one, other)  # FAT keeps even seconds
    os.utime(other, (1_000_000_009, 1_000_000_009))
    assert not is_same_file(one, other)


async def test_a_backup_of_a_newer_version_is_refused_naming_an_earlier_one(
    room: EngineRoom, tmp_path: Path
) -> None:
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    with closing(sqlite3.connect(made.folder / "ledger.sqlite3")) as db, db:
        db.execute("INSERT INTO migrations SELECT max(number) + 1, 'of tomorrow', '' FROM migrations")
    manifest = made.folder / "manifest.json"
    digests = (sha256_of(made.folder / "ledger.sqlite3"), made.manifest.files["ledger.sqlite3"])
    manifest.write_text(manifest.read_text().replace(digests[1], digests[0]))
    with pytest.raises(DatabaseError, match="newer LoraCode: upgrade, or take an earlier backup"):
        backup.restore(made.folder, tmp_path / "new", NOW)
    assert not (tmp_path / "new").exists()


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="File name too long"):
        backup.restore(tmp_path / ("x" * 300), tmp_path / "new", NOW)


async def test_a_changed_backup_is_refused_and_nothing_is_touched(room: EngineRoom, tmp_path: Path) -> None:
    job = await room.trained()
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    lora = made.folder / "loras" / f"{job.code}.safetensors"
    content = lora.read_bytes()
    lora.unlink()
    lora.write_bytes(content[:-1] + b"x")
    with pytest.raises(BackupError, match="not as it was backed up"):
        backup.restore(made.folder, tmp_path / "new", NOW)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "loras/../../x", "loras/.hidden", "pulse.json"])
async def test_a_manifest_that_names_other_files_is_refused(
    room: EngineRoom, tmp_path: Path, name: str
) -> None:
    made = backup.create_backup(data(room), tmp_path / "safe", NOW)
    manifest = made.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"ledger.sqlite3"', f'"{name}"'))
    with pytest.raises(BackupError, match="no file of ours"):
        backup.restore(made.folder, tmp_path / "new", NOW)


async def test_a_restore_replaces_nothing_unasked_or_under_a_running_bot(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    async with open_engine_room(folder) as room:
        await room.desk.send(ANNA, 1, 2)
        backup.create_backup(folder, tmp_path / "safe", NOW)
        with pytest.raises(DatabaseError, match="already running"):
            backup.restore(tmp_path / "safe", folder, NOW, replace=True)
        await room.desk.send(ANNA, 3)
    with pytest.raises(BackupError, match="--replace"):
        backup.restore(tmp_path / "safe", folder, NOW)
    backup.restore(tmp_path / "safe", folder, NOW + timedelta(hours=1), replace=True)
    assert await held(folder) == 2
    # What was replaced was backed up, so that it can be undone.
    backup.restore(tmp_path / "safe", folder, NOW + timedelta(hours=2), replace=True)
    assert await held(folder) == 3


async def held(folder: Path) -> int:
    there = await Database.open(folder / "ledger.sqlite3", Clock())
    try:
        return await there.photo_sets.count_collected(await there.accounts.get_or_create(ANNA))
    finally:
        await there.close()
