"""Who may use the bot, and how much of it they did: the ledger's part about access."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import AccountId, Identity, Platform, Quota, Role, Standing
from bot.core.jobs import JobKind
from bot.db.continuations import Further
from bot.db.rows import ms

_KEPT_ROLES = {Role.GUEST: "", Role.MEMBER: "member", Role.TRUSTED: "trusted"}


class Standings(Further):
    """Roles, limits, bans and words that let people in."""

    async def identities_of(self, account: AccountId) -> list[Identity]:
        """List who an account is, on each platform."""
        rows = await self._rows("SELECT * FROM identities WHERE account = ? ORDER BY platform", account)
        return [Identity(Platform(row["platform"]), row["user_id"]) for row in rows]

    async def standing_of(self, who: Identity) -> Standing:
        """Tell what a person is; a guest, when they were never here."""
        sql = """
            SELECT accounts.role, accounts.trainings_a_day, accounts.pictures_an_hour,
                EXISTS (SELECT 1 FROM bans WHERE bans.platform = asked.platform
                    AND bans.user_id = asked.user_id) AS banned
            FROM (SELECT ? AS platform, ? AS user_id) AS asked
            LEFT JOIN identities USING (platform, user_id) LEFT JOIN accounts ON accounts.id = account
        """
        row = (await self._rows(sql, str(who.platform), who.user_id))[0]
        own = Quota(row["trainings_a_day"], row["pictures_an_hour"])
        return Standing(Role(row["role"] or Role.GUEST), own, bool(row["banned"]))

    async def ban(self, people: Sequence[Identity]) -> None:
        """Close the bot to people; the word by which they would go on elsewhere is void."""
        now = self._db.now_ms()
        who = [(str(each.platform), each.user_id) for each in people]
        void = (
            "DELETE FROM link_words WHERE account ="
            " (SELECT account FROM identities WHERE platform = ? AND user_id = ?)"
        )

        def work(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR IGNORE INTO bans VALUES (?, ?, ?)", [(*each, now) for each in who])
            db.executemany(void, who)

        await self._db.write(work)

    async def unban(self, people: Sequence[Identity]) -> bool:
        """Open the bot to people again; False when it was closed to none of them."""
        sql = "DELETE FROM bans WHERE platform = ? AND user_id = ?"
        values = [(str(who.platform), who.user_id) for who in people]
        return await self._db.write(lambda db: db.executemany(sql, values).rowcount > 0)

    async def set_role(self, account: AccountId, role: Role) -> None:
        """Make an account something."""
        await self._change("UPDATE accounts SET role = ? WHERE id = ?", _KEPT_ROLES[role], account)

    async def set_quota(self, account: AccountId, own: Quota) -> None:
        """Give an account limits of its own; None in it: those of its role."""
        await self._change(
            "UPDATE accounts SET trainings_a_day = ?, pictures_an_hour = ? WHERE id = ?",
            *(own.trainings_a_day, own.pictures_an_hour, account),
        )

    async def trainings_since(self, account: AccountId, since: datetime) -> int:
        """Count the trainings an account asked for since then, but those that never began."""
        sql = (
            "SELECT count(*) FROM jobs WHERE account = ? AND kind = ? AND created_ms > ?"
            " AND (status != 'cancelled' OR started_ms NOT NULL)"
        )
        return int((await self._rows(sql, account, str(JobKind.TRAIN), ms(since)))[0][0])

    async def pictures_since(self, account: AccountId, since: datetime) -> int:
        """Count the pictures an account asked for since then, but those that never began or failed.

        A deleted result has lost its words, but not the rows of its pictures.
        """
        sql = (
            "SELECT coalesce(sum(max(coalesce(json_extract(wish, '$.count'), 1),"
            " (SELECT count(*) FROM pictures WHERE job = jobs.id))), 0) FROM jobs"
            " WHERE account = ? AND kind = ? AND created_ms > ? AND status != 'failed'"
            " AND (status != 'cancelled' OR started_ms NOT NULL)"
        )
        return int((await self._rows(sql, account, str(JobKind.GENERATE), ms(since)))[0][0])

    async def give_entry_word(self, word: str, expires_at: datetime) -> None:
        """Let a word let one person in until then."""
        await self._change("INSERT INTO entry_words VALUES (?, ?)", word, ms(expires_at))

    async def enter(self, account: AccountId, word: str) -> bool:
        """Make an account a member by a word, which is spent; False when it lets nobody in."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> bool:
            sql = "DELETE FROM entry_words WHERE word = ? AND expires_ms > ?"
            if not db.execute(sql, (word, now)).rowcount:
                return False
            db.execute("UPDATE accounts SET role = 'member' WHERE id = ? AND role = ''", (account,))
            return True

        return await self._db.write(work)
