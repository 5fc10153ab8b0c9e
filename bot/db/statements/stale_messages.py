"""Messages that show a result, from which it is removed once it is deleted."""

from __future__ import annotations

import sqlite3

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import JobId
from bot.db.statements import queue

_IS_DELETED_SQL = "EXISTS (SELECT 1 FROM pictures WHERE job = jobs.id AND deleted_ms IS NOT NULL)"
# A message with several pictures is several: `12,13,14`. Numbers mean something in their chat alone.
_IS_KNOWN_SQL = """
    platform = :platform AND (chat_id = :chat_id OR instr(:message, '/') > 0)
    AND (message = :message OR substr(message, 1, length(:message) + 1) = :message || ',')
"""
_INSERT_MESSAGE_SQL = f"""
INSERT OR IGNORE INTO copies (job, platform, chat_id, user_id, message_id, next_try_ms, expires_ms)
SELECT id, :platform, :chat_id, :user_id, :message, iif({_IS_DELETED_SQL}, :now, NULL), :expires FROM jobs
WHERE id = :job AND kind = 'generate'
    AND NOT EXISTS (SELECT 1 FROM (
        SELECT platform, chat_id, card_message_id AS message FROM jobs WHERE id = :job
        UNION ALL SELECT platform, chat_id, message_id FROM copies WHERE job = :job) WHERE {_IS_KNOWN_SQL})
RETURNING next_try_ms
"""  # noqa: S608 - our own words
# A message that stands in another chat than its job's is that chat's and its own: `7:12,13`.
_FIND_BY_MESSAGE_SQL = """
SELECT job FROM (
    SELECT id AS job, platform, chat_id, card_message_id AS message FROM jobs
        WHERE account = :account AND kind = 'generate'
    UNION ALL
    SELECT copies.job, copies.platform, copies.chat_id, copies.message_id FROM jobs
        JOIN copies ON copies.job = jobs.id WHERE account = :account AND kind = 'generate'
)
WHERE platform = :platform AND (
    instr(',' || message || ',', ',' || :message || ',') > 0
        AND (chat_id = :chat_id OR instr(message, '/') > 0)
    OR instr(message || ',', :chat_id || ':' || :message || ',') = 1
    OR instr(message, :chat_id || ':') = 1 AND instr(message || ',', ',' || :message || ',') > 0
)
ORDER BY job DESC LIMIT 1
"""
_INSERT_CARD_SQL = """
INSERT OR IGNORE INTO copies (job, platform, chat_id, user_id, message_id, next_try_ms)
SELECT id, platform, chat_id, user_id, card_message_id, :now FROM jobs
WHERE id = :job AND kind = 'generate' AND card_message_id IS NOT NULL
"""


def add_result_message(
    connection: sqlite3.Connection,
    job: JobId,
    address: ChatAddress,
    message_id: str,
    now_ms: int,
    expires_ms: int | None = None,
) -> bool:
    """Save a message that shows a result. Return True where the result was deleted meanwhile.

    After `expires_ms` nobody can edit the message, and it is no longer kept.
    """
    delete_expired(connection, now_ms)
    address_values = {
        "platform": str(address.platform),
        "chat_id": address.chat_id,
        "user_id": address.user_id,
    }
    row = connection.execute(
        _INSERT_MESSAGE_SQL,
        {**address_values, "job": job, "message": message_id, "now": now_ms, "expires": expires_ms},
    ).fetchone()
    return row is not None and row["next_try_ms"] is not None


def find_by_message(
    connection: sqlite3.Connection, account: AccountId, address: ChatAddress, message_id: str
) -> JobId | None:
    """Return the generation of an account that a message in a chat shows, None where it shows none."""
    values = {
        "account": account,
        "platform": str(address.platform),
        "chat_id": address.chat_id,
        "message": message_id,
    }
    row = connection.execute(_FIND_BY_MESSAGE_SQL, values).fetchone()
    return None if row is None else JobId(row["job"])


def delete_expired(connection: sqlite3.Connection, now_ms: int) -> None:
    """Forget messages that nobody can edit any more."""
    connection.execute("DELETE FROM copies WHERE expires_ms <= ?", (now_ms,))


def save_card_message(connection: sqlite3.Connection, job_id: JobId, message_id: str, now_ms: int) -> None:
    """Save which message shows the progress of a job. The earlier one may show a preview: it gets stale."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        return
    connection.execute("UPDATE jobs SET card_message_id = ? WHERE id = ?", (message_id, job_id))
    previous_id, new_first_id = row["card_message_id"], message_id.partition(",")[0]
    if previous_id is not None and previous_id.partition(",")[0] != new_first_id:
        add_result_message(connection, job_id, queue.job_from_row(row).address, previous_id, now_ms)
    if connection.execute(f"SELECT 1 FROM jobs WHERE id = ? AND {_IS_DELETED_SQL}", (job_id,)).fetchone():  # noqa: S608
        connection.execute(_INSERT_CARD_SQL, {"job": job_id, "now": now_ms})


def mark_stale(connection: sqlite3.Connection, job: JobId, now_ms: int) -> None:
    """Mark every message that shows a result, its card too, as stale now."""
    connection.execute(_INSERT_CARD_SQL, {"job": job, "now": now_ms})
    connection.execute("UPDATE copies SET next_try_ms = ? WHERE job = ?", (now_ms, job))
