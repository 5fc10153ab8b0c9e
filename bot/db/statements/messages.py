"""Direct messages and broadcasts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from bot.core.accounts import Identity, Platform, list_platforms
from bot.core.loras import Share
from bot.core.outbox import DirectMessage
from bot.db.sqlite.connection import DAY_MS

#: So many people are owed a letter in one transaction: some milliseconds.
BROADCAST_BATCH_SIZE = 50
#: A broadcast is known for so long after it, should the message that asked for it be carried out again.
BROADCAST_RETENTION_MS = DAY_MS
#: Platforms that get no broadcast, and other messages only where a person has no other platform.
LOCAL_PLATFORMS_JSON = json.dumps(list_platforms(lambda traits: traits.is_local))
# One letter a person: on the platform where they last asked for something.
_INSERT_BATCH_SQL = """
INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms)
SELECT platform, user_id, :words, :now, :now FROM (
    SELECT platform, user_id, row_number() OVER (PARTITION BY account ORDER BY platform = (
        SELECT jobs.platform FROM jobs WHERE jobs.account = identities.account ORDER BY jobs.id DESC LIMIT 1
    ) DESC, platform) AS place
    FROM identities
    WHERE account > :after AND account <= :last
        AND platform NOT IN (SELECT value FROM json_each(:local_platforms))
        AND NOT EXISTS (SELECT 1 FROM bans WHERE (bans.platform, bans.user_id)
            = (identities.platform, identities.user_id))
) WHERE place = 1
"""


def insert_direct_messages(
    connection: sqlite3.Connection, recipients: Sequence[tuple[str, str]], text: str, now_ms: int
) -> None:
    """Queue a direct message to people."""
    connection.executemany(
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms) VALUES (?, ?, ?, ?, ?)",
        [(*identity, text, now_ms, now_ms) for identity in recipients],
    )


def direct_message_from_row(row: sqlite3.Row, share: Share | None) -> DirectMessage:
    """Read a row of `letters`."""
    recipient = Identity(Platform(row["platform"]), row["user_id"])
    return DirectMessage(row["id"], recipient, row["words"], row["tries"], share)


def get_or_create_broadcast(
    connection: sqlite3.Connection, text: str, *, idempotency_key: str, now_ms: int
) -> int:
    """Return the id of the broadcast of a request, which is inserted where it is new."""
    connection.execute(
        "DELETE FROM broadcasts WHERE is_done AND created_ms <= ?", (now_ms - BROADCAST_RETENTION_MS,)
    )
    key = idempotency_key or None
    row = connection.execute("SELECT id FROM broadcasts WHERE asked = ?", (key,)).fetchone()
    if row is None:
        sql = "INSERT INTO broadcasts (asked, words, created_ms) VALUES (?, ?, ?) RETURNING id"
        row = connection.execute(sql, (key, text, now_ms)).fetchone()
    return int(row["id"])


def _insert_broadcast_batch(connection: sqlite3.Connection, broadcast_id: int) -> int | None:
    """Queue a broadcast to the next people. Return how many there were in all, None while there are more."""
    row = connection.execute("SELECT * FROM broadcasts WHERE id = ?", (broadcast_id,)).fetchone()
    after_account, recipient_count = row["told_up_to"], int(row["people"])
    sql = "SELECT max(id) FROM (SELECT id FROM accounts WHERE id > ? ORDER BY id LIMIT ?)"
    last_account = connection.execute(sql, (after_account, BROADCAST_BATCH_SIZE)).fetchone()[0]
    if row["is_done"] or last_account is None:
        connection.execute("UPDATE broadcasts SET is_done = 1 WHERE id = ?", (broadcast_id,))
        return recipient_count
    values = {
        "words": row["words"],
        "now": row["created_ms"],
        "after": after_account,
        "last": last_account,
        "local_platforms": LOCAL_PLATFORMS_JSON,
    }
    recipient_count += connection.execute(_INSERT_BATCH_SQL, values).rowcount
    connection.execute(
        "UPDATE broadcasts SET told_up_to = ?, people = ? WHERE id = ?",
        (last_account, recipient_count, broadcast_id),
    )
    return None
