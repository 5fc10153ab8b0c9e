"""Who may use the bot, and how much of it they did."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import (
    AccessStatus,
    AccountId,
    Identity,
    Quota,
    Role,
)
from bot.core.jobs import (
    JobKind,
)
from bot.db.sqlite.connection import Connection, to_ms

_ROLE_VALUES = {Role.GUEST: "", Role.MEMBER: "member", Role.TRUSTED: "trusted"}


class AccessRepository:
    """Roles, quotas, bans and invitations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_access_status(self, identity: Identity) -> AccessStatus:
        """Tell what a person is; a guest, when they were never here."""
        sql = """
            SELECT accounts.role, accounts.trainings_a_day, accounts.pictures_an_hour,
                EXISTS (SELECT 1 FROM bans WHERE bans.platform = asked.platform
                    AND bans.user_id = asked.user_id) AS banned
            FROM (SELECT ? AS platform, ? AS user_id) AS asked
            LEFT JOIN identities USING (platform, user_id) LEFT JOIN accounts ON accounts.id = account
        """
        row = (await self._connection.fetch_rows(sql, str(identity.platform), identity.user_id))[0]
        quota_override = Quota(row["trainings_a_day"], row["pictures_an_hour"])
        return AccessStatus(Role(row["role"] or Role.GUEST), quota_override, bool(row["banned"]))

    async def ban(self, identities: Sequence[Identity]) -> None:
        """Close the bot to people; the word by which they would go on elsewhere is void."""
        now_ms = self._connection.now_ms()
        keys = [(str(each.platform), each.user_id) for each in identities]
        delete_tokens_sql = (
            "DELETE FROM link_words WHERE account ="
            " (SELECT account FROM identities WHERE platform = ? AND user_id = ?)"
        )

        def transaction(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR IGNORE INTO bans VALUES (?, ?, ?)", [(*each, now_ms) for each in keys]
            )
            connection.executemany(delete_tokens_sql, keys)

        await self._connection.write(transaction)

    async def unban(self, identities: Sequence[Identity]) -> bool:
        """Open the bot to people again; False when it was closed to none of them."""
        sql = "DELETE FROM bans WHERE platform = ? AND user_id = ?"
        keys = [(str(identity.platform), identity.user_id) for identity in identities]
        return await self._connection.write(lambda connection: connection.executemany(sql, keys).rowcount > 0)

    async def set_role(self, account: AccountId, role: Role) -> None:
        """Make an account something."""
        await self._connection.execute(
            "UPDATE accounts SET role = ? WHERE id = ?", _ROLE_VALUES[role], account
        )

    async def set_quota(self, account: AccountId, quota_override: Quota) -> None:
        """Give an account limits of its own; None in it: those of its role."""
        await self._connection.execute(
            "UPDATE accounts SET trainings_a_day = ?, pictures_an_hour = ? WHERE id = ?",
            *(quota_override.trainings_per_day, quota_override.pictures_per_hour, account),
        )

    async def count_trainings_since(self, account: AccountId, since: datetime) -> int:
        """Count the trainings an account asked for since then, but those that never began."""
        sql = (
            "SELECT count(*) FROM jobs WHERE account = ? AND kind = ? AND created_ms > ?"
            " AND (status != 'cancelled' OR started_ms NOT NULL)"
        )
        return int((await self._connection.fetch_rows(sql, account, str(JobKind.TRAIN), to_ms(since)))[0][0])

    async def count_pictures_since(self, account: AccountId, since: datetime) -> int:
        """Count the pictures an account asked for since then, but those that never began or failed.

        A deleted result has lost its words, but not the rows of its pictures.
        """
        sql = (
            "SELECT coalesce(sum(max(coalesce(json_extract(wish, '$.count'), 1),"
            " (SELECT count(*) FROM pictures WHERE job = jobs.id))), 0) FROM jobs"
            " WHERE account = ? AND kind = ? AND created_ms > ? AND status != 'failed'"
            " AND (status != 'cancelled' OR started_ms NOT NULL)"
        )
        return int(
            (await self._connection.fetch_rows(sql, account, str(JobKind.GENERATE), to_ms(since)))[0][0]
        )

    async def save_invite_token(self, token: str, expires_at: datetime) -> None:
        """Let a word let one person in until then."""
        await self._connection.execute("INSERT INTO entry_words VALUES (?, ?)", token, to_ms(expires_at))

    async def redeem_invite_token(self, account: AccountId, token: str) -> bool:
        """Make an account a member by a word, which is spent; False when it lets nobody in."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            sql = "DELETE FROM entry_words WHERE word = ? AND expires_ms > ?"
            if not connection.execute(sql, (token, now_ms)).rowcount:
                return False
            connection.execute("UPDATE accounts SET role = 'member' WHERE id = ? AND role = ''", (account,))
            return True

        return await self._connection.write(transaction)
