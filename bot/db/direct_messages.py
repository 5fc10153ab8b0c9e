"""Letters: messages that belong to no job, owed until their platform has taken them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import Identity, Platform
from bot.core.loras import Share
from bot.core.messages import current_request
from bot.core.outbox import DirectMessage
from bot.db.access import AccessRepository
from bot.db.rows import MAX_RETRY_DELAY_MS, from_ms, share_from_row, to_ms

#: So many people are owed a letter in one transaction: some milliseconds.
BROADCAST_BATCH_SIZE = 50
#: A broadcast is known for so long after it, should the message that asked for it be carried out again.
BROADCAST_RETENTION_MS = 86_400_000
# One letter a person: on the platform where they last asked for something.
_INSERT_BATCH_SQL = """
INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms)
SELECT platform, user_id, :words, :now, :now FROM (
    SELECT platform, user_id, row_number() OVER (PARTITION BY account ORDER BY platform = (
        SELECT jobs.platform FROM jobs WHERE jobs.account = identities.account ORDER BY jobs.id DESC LIMIT 1
    ) DESC, platform) AS place
    FROM identities
    WHERE account > :after AND account <= :last AND platform != 'console'
        AND NOT EXISTS (SELECT 1 FROM bans WHERE (bans.platform, bans.user_id)
            = (identities.platform, identities.user_id))
) WHERE place = 1
"""


class DirectMessageRepository(AccessRepository):
    """What people are to hear that is of no job of theirs."""

    async def add_direct_messages(self, recipients: Sequence[Identity], text: str) -> None:
        """Owe people a letter."""
        now_ms = self._connection.now_ms()
        await self._connection.write(
            lambda connection: insert_direct_messages(
                connection,
                [(str(identity.platform), identity.user_id) for identity in recipients],
                text,
                now_ms,
            )
        )

    async def add_broadcast(self, text: str) -> int:
        """Owe everybody a letter, but those whom the bot is closed to; gives their number.

        Asked for again by the same message, it goes on where it was.
        """
        now_ms, idempotency_key = self._connection.now_ms(), current_request().idempotency_key or None
        broadcast_id = await self._connection.write(
            lambda connection: _get_or_create_broadcast(connection, idempotency_key, text, now_ms)
        )
        return await self._run_broadcast(broadcast_id)

    async def resume_broadcasts(self) -> None:
        """Go on with the letters to everybody that an earlier run was not done with."""
        for row in await self._fetch_rows("SELECT id FROM broadcasts WHERE NOT is_done ORDER BY id"):
            await self._run_broadcast(row["id"])

    async def _run_broadcast(self, broadcast_id: int) -> int:
        while (
            recipient_count := await self._connection.write(
                lambda connection: _insert_broadcast_batch(connection, broadcast_id)
            )
        ) is None:
            pass  # others have their turn between two transactions
        return recipient_count

    async def get_due_direct_message(self, platform: Platform) -> DirectMessage | None:
        """Give a letter that is due on a platform, the oldest first."""
        now_ms = self._connection.now_ms()

        def query(connection: sqlite3.Connection) -> DirectMessage | None:
            row = connection.execute(
                "SELECT * FROM letters WHERE platform = ? AND (next_try_ms <= ? OR next_try_ms > ?)"
                " ORDER BY next_try_ms, id LIMIT 1",
                (str(platform), now_ms, now_ms + MAX_RETRY_DELAY_MS),
            ).fetchone()
            if row is None:
                return None
            share = connection.execute("SELECT * FROM shares WHERE number = ?", (row["share"],)).fetchone()
            return direct_message_from_row(row, None if share is None else share_from_row(share))

        return await self._connection.read(query)

    async def next_direct_message_at(self, platform: Platform) -> datetime | None:
        """Tell when the next letter on a platform is due."""
        sql = "SELECT next_try_ms FROM letters WHERE platform = ? ORDER BY next_try_ms, id LIMIT 1"
        rows = await self._fetch_rows(sql, str(platform))
        return from_ms(rows[0][0]) if rows else None

    async def delete_direct_message(self, message: DirectMessage) -> None:
        """The platform has taken it, or nobody is there to take it."""
        await self._execute("DELETE FROM letters WHERE id = ?", message.id)

    async def schedule_direct_message_retry(self, message: DirectMessage, at: datetime) -> None:
        """Try it again then."""
        await self._execute(
            "UPDATE letters SET tries = tries + 1, next_try_ms = ? WHERE id = ?", to_ms(at), message.id
        )


def _get_or_create_broadcast(
    connection: sqlite3.Connection, idempotency_key: str | None, text: str, now_ms: int
) -> int:
    connection.execute(
        "DELETE FROM broadcasts WHERE is_done AND created_ms <= ?", (now_ms - BROADCAST_RETENTION_MS,)
    )
    row = connection.execute("SELECT id FROM broadcasts WHERE asked = ?", (idempotency_key,)).fetchone()
    if row is None:
        sql = "INSERT INTO broadcasts (asked, words, created_ms) VALUES (?, ?, ?) RETURNING id"
        row = connection.execute(sql, (idempotency_key, text, now_ms)).fetchone()
    return int(row["id"])


def _insert_broadcast_batch(connection: sqlite3.Connection, broadcast_id: int) -> int | None:
    """Owe the next people their letter; gives how many there were in all, None while there are more."""
    row = connection.execute("SELECT * FROM broadcasts WHERE id = ?", (broadcast_id,)).fetchone()
    after_account, recipient_count = row["told_up_to"], int(row["people"])
    sql = "SELECT max(id) FROM (SELECT id FROM accounts WHERE id > ? ORDER BY id LIMIT ?)"
    last_account = connection.execute(sql, (after_account, BROADCAST_BATCH_SIZE)).fetchone()[0]
    if row["is_done"] or last_account is None:
        connection.execute("UPDATE broadcasts SET is_done = 1 WHERE id = ?", (broadcast_id,))
        return recipient_count
    values = {"words": row["words"], "now": row["created_ms"], "after": after_account, "last": last_account}
    recipient_count += connection.execute(_INSERT_BATCH_SQL, values).rowcount
    connection.execute(
        "UPDATE broadcasts SET told_up_to = ?, people = ? WHERE id = ?",
        (last_account, recipient_count, broadcast_id),
    )
    return None


def direct_message_from_row(row: sqlite3.Row, share: Share | None) -> DirectMessage:
    """Read a row of `letters`."""
    recipient = Identity(Platform(row["platform"]), row["user_id"])
    return DirectMessage(row["id"], recipient, row["words"], row["tries"], share)


def insert_direct_messages(
    connection: sqlite3.Connection, recipients: Sequence[tuple[str, str]], text: str, now_ms: int
) -> None:
    """Owe people a letter, inside a transaction."""
    connection.executemany(
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms) VALUES (?, ?, ?, ?, ?)",
        [(*identity, text, now_ms, now_ms) for identity in recipients],
    )
