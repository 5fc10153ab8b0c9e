"""Letters: messages that belong to no job, owed until their platform has taken them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import Identity, Platform
from bot.core.loras import Share
from bot.core.messages import asking
from bot.core.outbox import Letter
from bot.db.access import Standings
from bot.db.rows import MAX_WAIT_MS, ms, share_of, time_of

#: So many people are owed a letter in one transaction: some milliseconds.
AT_ONCE = 50
#: A broadcast is known for so long after it, should the message that asked for it be carried out again.
BROADCAST_MS = 86_400_000
# One letter a person: on the platform where they last asked for something.
_TO_SOME = """
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


class Letters(Standings):
    """What people are to hear that is of no job of theirs."""

    async def owe_letters(self, to: Sequence[Identity], words: str) -> None:
        """Owe people a letter."""
        now = self._db.now_ms()
        await self._db.write(lambda db: owe(db, [(str(who.platform), who.user_id) for who in to], words, now))

    async def owe_everybody(self, words: str) -> int:
        """Owe everybody a letter, but those whom the bot is closed to; gives their number.

        Asked for again by the same message, it goes on where it was.
        """
        now, asked = self._db.now_ms(), asking().by or None
        number = await self._db.write(lambda db: _broadcast(db, asked, words, now))
        return await self._told(number)

    async def go_on_telling_everybody(self) -> None:
        """Go on with the letters to everybody that an earlier run was not done with."""
        for row in await self._rows("SELECT id FROM broadcasts WHERE NOT is_done ORDER BY id"):
            await self._told(row["id"])

    async def _told(self, number: int) -> int:
        while (people := await self._db.write(lambda db: _tell_some(db, number))) is None:
            pass  # others have their turn between two transactions
        return people

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


def _broadcast(db: sqlite3.Connection, asked: str | None, words: str, now_ms: int) -> int:
    db.execute("DELETE FROM broadcasts WHERE is_done AND created_ms <= ?", (now_ms - BROADCAST_MS,))
    row = db.execute("SELECT id FROM broadcasts WHERE asked = ?", (asked,)).fetchone()
    if row is None:
        sql = "INSERT INTO broadcasts (asked, words, created_ms) VALUES (?, ?, ?) RETURNING id"
        row = db.execute(sql, (asked, words, now_ms)).fetchone()
    return int(row["id"])


def _tell_some(db: sqlite3.Connection, number: int) -> int | None:
    """Owe the next people their letter; gives how many there were in all, None while there are more."""
    row = db.execute("SELECT * FROM broadcasts WHERE id = ?", (number,)).fetchone()
    after, people = row["told_up_to"], int(row["people"])
    sql = "SELECT max(id) FROM (SELECT id FROM accounts WHERE id > ? ORDER BY id LIMIT ?)"
    last = db.execute(sql, (after, AT_ONCE)).fetchone()[0]
    if row["is_done"] or last is None:
        db.execute("UPDATE broadcasts SET is_done = 1 WHERE id = ?", (number,))
        return people
    told = {"words": row["words"], "now": row["created_ms"], "after": after, "last": last}
    people += db.execute(_TO_SOME, told).rowcount
    db.execute("UPDATE broadcasts SET told_up_to = ?, people = ? WHERE id = ?", (last, people, number))
    return None


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
