"""Messages that show a result beside its card, as statements inside one transaction."""

from __future__ import annotations

import sqlite3

from bot.core.accounts import Place, Platform
from bot.core.jobs import JobId
from bot.core.outbox import Copy
from bot.db.rows import MAX_WAIT_MS, job_of

_IS_DELETED = "EXISTS (SELECT 1 FROM pictures WHERE job = jobs.id AND deleted_ms IS NOT NULL)"
# A message with several pictures is several: `12,13,14`. Numbers mean something in their chat alone.
_IS_KNOWN = """
    platform = :platform AND (chat_id = :chat_id OR instr(:message, '/') > 0)
    AND (message = :message OR substr(message, 1, length(:message) + 1) = :message || ',')
"""
_NOTE = f"""
INSERT OR IGNORE INTO copies (job, platform, chat_id, user_id, message_id, next_try_ms)
SELECT id, :platform, :chat_id, :user_id, :message, iif({_IS_DELETED}, :now, NULL) FROM jobs
WHERE id = :job AND kind = 'generate'
    AND NOT EXISTS (SELECT 1 FROM (
        SELECT platform, chat_id, card_message_id AS message FROM jobs WHERE id = :job
        UNION ALL SELECT platform, chat_id, message_id FROM copies WHERE job = :job) WHERE {_IS_KNOWN})
RETURNING next_try_ms
"""  # noqa: S608 - our own words
_CARD = """
INSERT OR IGNORE INTO copies (job, platform, chat_id, user_id, message_id, next_try_ms)
SELECT id, platform, chat_id, user_id, card_message_id, :now FROM jobs
WHERE id = :job AND kind = 'generate' AND card_message_id IS NOT NULL
"""


def note(db: sqlite3.Connection, job: JobId, place: Place, message_id: str, now_ms: int) -> bool:
    """Remember a message that shows a result; True when the result was deleted meanwhile."""
    named = {"platform": str(place.platform), "chat_id": place.chat_id, "user_id": place.user_id}
    row = db.execute(_NOTE, {**named, "job": job, "message": message_id, "now": now_ms}).fetchone()
    return row is not None and row["next_try_ms"] is not None


def card_shown(db: sqlite3.Connection, job_id: JobId, message_id: str, now_ms: int) -> None:
    """Remember which message shows a job's progress; the one that did before may show how far it was."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        return
    db.execute("UPDATE jobs SET card_message_id = ? WHERE id = ?", (message_id, job_id))
    before, now = row["card_message_id"], message_id.partition(",")[0]
    if before is not None and before.partition(",")[0] != now:
        note(db, job_id, job_of(row).place, before, now_ms)
    if db.execute(f"SELECT 1 FROM jobs WHERE id = ? AND {_IS_DELETED}", (job_id,)).fetchone():  # noqa: S608
        db.execute(_CARD, {"job": job_id, "now": now_ms})


def end(db: sqlite3.Connection, job: JobId, now_ms: int) -> None:
    """Let every message that shows a result, its card too, lose it now."""
    db.execute(_CARD, {"job": job, "now": now_ms})
    db.execute("UPDATE copies SET next_try_ms = ? WHERE job = ?", (now_ms, job))


def due(db: sqlite3.Connection, now_ms: int, limit: int) -> list[Copy]:
    """List the messages that are to lose their result now, the oldest first."""
    rows = db.execute(
        "SELECT * FROM copies WHERE next_try_ms IS NOT NULL AND (next_try_ms <= ? OR next_try_ms > ?)"
        " ORDER BY next_try_ms, id LIMIT ?",
        (now_ms, now_ms + MAX_WAIT_MS, limit),
    ).fetchall()
    return [_copy_of(db, row) for row in rows]


def _copy_of(db: sqlite3.Connection, row: sqlite3.Row) -> Copy:
    job = job_of(db.execute("SELECT * FROM jobs WHERE id = ?", (row["job"],)).fetchone())
    place = Place(Platform(row["platform"]), row["chat_id"], row["user_id"])
    return Copy(row["id"], job, place, row["message_id"], row["tries"])
