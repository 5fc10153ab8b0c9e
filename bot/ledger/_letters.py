"""Letters: messages that belong to no job, owed until their platform has taken them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.domain import Identity, Letter, Platform, Share
from bot.ledger._rows import MAX_WAIT_MS, ms, share_of, time_of
from bot.ledger._standing import Standings

# One letter a person: on the platform where they last asked for something.
_TO_EVERYBODY = """
INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms)
SELECT platform, user_id, :words, :now, :now FROM (
    SELECT platform, user_id, row_number() OVER (PARTITION BY account ORDER BY platform = (
        SELECT jobs.platform FROM jobs WHERE jobs.account = identities.account ORDER BY jobs.id DESC LIMIT 1
    ) DESC, platform) AS place
    FROM identities
    WHERE platform != 'console'
        AND NOT EXISTS (SELECT 1 FROM bans WHERE (bans.platform, bans.user_id)
            = (identities.platform, identities.user_id))
) WHERE place = 1
"""


class Letters(Standings):
    """What people are to hear that is of no job of theirs."""

    async def owe_letters(self, to: Sequence[Identity], words: str) -> None:
        """Owe people a letter."""
        now = self._db.now_ms()
        await self._db.write(lambda db: owe(db, [(str(who.platform), who.user_id) for who in to], words, now))

    async def owe_everybody(self, words: str) -> int:
        """Owe everybody a letter, but those whom the bot is closed to; gives their number."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> int:
            return db.execute(_TO_EVERYBODY, {"words": words, "now": now}).rowcount

        return await self._db.write(work)

    async def next_letter(self, platform: Platform) -> Letter | None:
        """Give a letter that is due on a platform, the oldest first."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> Letter | None:
            row = db.execute(
                "SELECT * FROM letters WHERE platform = ? AND (next_try_ms <= ? OR next_try_ms > ?)"
                " ORDER BY next_try_ms, id LIMIT 1",
                (str(platform), now, now + MAX_WAIT_MS),
            ).fetchone()
            if row is None:
                return None
            share = db.execute("SELECT * FROM shares WHERE number = ?", (row["share"],)).fetchone()
            return letter_of(row, None if share is None else share_of(share))

        return await self._db.read(work)

    async def next_letter_at(self, platform: Platform) -> datetime | None:
        """Tell when the next letter on a platform is due."""
        sql = "SELECT next_try_ms FROM letters WHERE platform = ? ORDER BY next_try_ms, id LIMIT 1"
        rows = await self._rows(sql, str(platform))
        return time_of(rows[0][0]) if rows else None

    async def letter_ended(self, letter: Letter) -> None:
        """The platform has taken it, or nobody is there to take it."""
        await self._change("DELETE FROM letters WHERE id = ?", letter.id)

    async def letter_retry(self, letter: Letter, at: datetime) -> None:
        """Try it again then."""
        await self._change(
            "UPDATE letters SET tries = tries + 1, next_try_ms = ? WHERE id = ?", ms(at), letter.id
        )


def letter_of(row: sqlite3.Row, share: Share | None) -> Letter:
    """Read a row of `letters`."""
    to = Identity(Platform(row["platform"]), row["user_id"])
    return Letter(row["id"], to, row["words"], row["tries"], share)


def owe(db: sqlite3.Connection, to: Sequence[tuple[str, str]], words: str, now_ms: int) -> None:
    """Owe people a letter, inside a transaction."""
    db.executemany(
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms) VALUES (?, ?, ?, ?, ?)",
        [(*who, words, now_ms, now_ms) for who in to],
    )
