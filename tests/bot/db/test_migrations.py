"""Migrations: whole or not there, applied once, and rows of earlier versions keep their meaning."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from bot.core.errors import DatabaseError
from bot.core.jobs import FailureReason, GenerationParams, JobFailure
from bot.db.sqlite.migrate import MIGRATIONS_DIR, Migration, migrate, read_migrations
from bot.db.statements.queue import decode_failure


def test_a_migration_is_whole_or_not_there() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    broken = Migration(1, "0001_broken", "CREATE TABLE one (a);\nCREATE TABLE one (a);\n", "x")
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, [broken])
    assert db.execute("SELECT name FROM sqlite_master WHERE name = 'one'").fetchall() == []
    db.close()


def test_a_migration_is_applied_once_and_refused_when_edited() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, read_migrations())
    before = db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrate(db, read_migrations())
    assert db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    edited = [Migration(each.number, each.name, each.sql, "other") for each in read_migrations()]
    with pytest.raises(DatabaseError, match="was changed after"):
        migrate(db, edited)
    with pytest.raises(DatabaseError, match="newer LoraCode"):
        migrate(db, [])
    db.close()


def test_an_installation_without_migrations_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no migrations in .*--editable"):
        read_migrations(tmp_path)


def test_old_photos_and_identities_keep_their_values_and_get_hashes() -> None:
    earlier, later = read_migrations()[:21], read_migrations()
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA foreign_keys=ON")
    migrate(db, earlier)
    db.execute("INSERT INTO accounts (id, created_ms) VALUES (1, 0), (2, 0)")
    people = [("discord", "8", 2, ""), ("telegram", "7", 1, "it-IT")]
    db.executemany("INSERT INTO identities (platform, user_id, account, locale) VALUES (?, ?, ?, ?)", people)
    insert = "INSERT INTO photos (account, sha256, created_ms, data, hint) VALUES (1, ?, 0, ?, 'seen')"
    db.executemany(insert, [("pixels1", b"one"), ("pixels2", b"two"), ("pixels3", b"deleted")])
    db.execute("DELETE FROM photos WHERE id = 3")
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL"
    before = {table: set(db.execute(indexes, (table,)).fetchall()) for table in ("photos", "identities")}
    migrate(db, later)
    assert before == {table: set(db.execute(indexes, (table,)).fetchall()) for table in before}
    photo_rows = db.execute("SELECT id, sha256, data, hint, data_sha256 FROM photos ORDER BY id").fetchall()
    assert photo_rows == [
        (number, f"pixels{number}", data, "seen", hashlib.sha256(data).hexdigest())
        for number, data in ((1, b"one"), (2, b"two"))
    ]
    new = "INSERT INTO photos (account, sha256, data_sha256, created_ms, data) VALUES (1, 'p', 'd', 0, x'00')"
    assert db.execute(new).lastrowid == 4, "the number of a deleted photo is not given again"
    assert db.execute("SELECT * FROM identities ORDER BY platform").fetchall() == people
    db.execute("INSERT INTO identities (platform, user_id, account) VALUES ('matrix', '@a:b', 1)")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO identities (platform, user_id, account) VALUES ('matrix', '@c:d', 99)")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO identities (platform, user_id, account) VALUES ('telegram', '7', 2)")
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


def test_tables_do_not_name_platforms() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, read_migrations())
    for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"):
        assert "telegram" not in sql, name
    db.close()


def test_results_of_before_get_their_pictures_from_their_notices() -> None:
    first, *others = read_migrations()
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, [first])
    db.execute("INSERT INTO accounts VALUES (1, 0)")
    db.execute("INSERT INTO loras VALUES ('40713386', 1, 'sks', 'person', 'ready', NULL, NULL, 0, 0)")
    db.execute(
        "INSERT INTO jobs (id, kind, status, account, code, wish, platform, chat_id, user_id, created_ms)"
        """ VALUES (7, 'generate', 'done', 1, '40713386', '{"prompt":"a boat"}', 'console', 'me', 'me', 0)"""
    )
    db.execute(
        "INSERT INTO notices (job, kind, files, state, next_try_ms, created_ms)"
        """ VALUES (7, 'generate_done', '["7-1.png","7-2.png"]', 'sent', 0, 0)"""
    )
    migrate(db, [first, *others])
    rows = db.execute("SELECT job, number, file, deleted_ms FROM pictures ORDER BY number").fetchall()
    assert rows == [(7, 1, "7-1.png", None), (7, 2, "7-2.png", None)]
    db.close()


def test_old_failures_become_reasons_and_other_sentences_are_read() -> None:
    earlier = [each for each in read_migrations() if each.number < 24]
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, earlier)
    db.execute("INSERT INTO accounts (id, created_ms) VALUES (1, 0)")
    db.execute(
        "INSERT INTO loras (code, account, token, class_word, state, created_ms)"
        " VALUES ('40713386', 1, 'sks', 'person', 'failed', 0)"
    )
    sentences = (
        "The photos of this training are seven days old, and I do not keep photos longer. Please send them.",
        "The picture this was to begin from is no longer here.",
        "The base model is a pickle.",
    )
    db.executemany(
        "INSERT INTO jobs (kind, status, account, code, wish, platform, chat_id, user_id, created_ms, error)"
        " VALUES ('generate', 'failed', 1, '40713386', '{}', 'console', 'me', 'me', 0, ?)",
        [(each,) for each in sentences],
    )
    migrate(db, read_migrations())
    failures = [decode_failure(row[0]) for row in db.execute("SELECT error FROM jobs ORDER BY id")]
    assert failures == [
        JobFailure(FailureReason.PHOTOS_EXPIRED),
        JobFailure(FailureReason.START_PICTURE_GONE),
        JobFailure(sentence="The base model is a pickle."),
    ]
    db.close()


def test_stored_parameters_of_older_versions_are_still_read() -> None:
    old = b'{"prompt":"a boat","negative":"","seed":7,"width_px":512,"height_px":768,"count":2}'
    wish = msgspec.json.decode(old, type=GenerationParams)
    assert wish == GenerationParams("a boat", seed=7, width_px=512, height_px=768, count=2)


def test_every_migration_says_its_reason() -> None:
    for path in MIGRATIONS_DIR.glob("*.sql"):
        assert path.read_text(encoding="utf-8").startswith("-- Reason: ")
