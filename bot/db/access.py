"""Who may use the bot, how much of it they used, and everything a message of theirs needs in one read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import (
    PICTURE_QUOTA_PERIOD,
    TRAINING_QUOTA_PERIOD,
    AccessStatus,
    AccountId,
    Identity,
    Quota,
    Role,
)
from bot.core.jobs import JobKind
from bot.core.messages import AccountState, RequestState
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import accounts, conversation, photo_sets, queue, queue_state

_ROLE_VALUES = {Role.GUEST: "", Role.MEMBER: "member", Role.TRUSTED: "trusted"}


class AccessRepository:
    """Roles, quotas, bans and invitations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_request_state(self, identity: Identity) -> RequestState:
        """Return what a message of an identity depends on, in one call of the connection and no write.

        Nobody is created: call `accounts.get_or_create` where `account_state` is None and the policy lets
        them in. Call `accounts.save_locale` where `stored_locale` is not the locale that the identity brings.
        """
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: _read_request_state(connection, identity, now_ms)
        )

    async def get_access_status(self, identity: Identity) -> AccessStatus:
        """Return the role, quota and ban of an identity; a guest's where nobody has it."""
        return await self._connection.read(lambda connection: _get_access_status(connection, identity))

    async def ban(self, identities: Sequence[Identity]) -> None:
        """Ban identities, and void the link tokens by which they would go on on another platform."""
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
        """Lift the bans of identities. Return False where none of them was banned."""
        sql = "DELETE FROM bans WHERE platform = ? AND user_id = ?"
        keys = [(str(identity.platform), identity.user_id) for identity in identities]
        return await self._connection.write(lambda connection: connection.executemany(sql, keys).rowcount > 0)

    async def set_role(self, account: AccountId, role: Role) -> None:
        """Set the role of an account."""
        await self._connection.execute(
            "UPDATE accounts SET role = ? WHERE id = ?", _ROLE_VALUES[role], account
        )

    async def set_quota(self, account: AccountId, quota_override: Quota) -> None:
        """Set the quota of an account; a None in it means that of its role."""
        await self._connection.execute(
            "UPDATE accounts SET trainings_a_day = ?, pictures_an_hour = ? WHERE id = ?",
            quota_override.trainings_per_day,
            quota_override.pictures_per_hour,
            account,
        )

    async def count_trainings_since(self, account: AccountId, since: datetime) -> int:
        """Count the trainings that an account requested since a time, except those that never began."""
        return await self._connection.read(
            lambda connection: _count_trainings_since(connection, account, to_ms(since))
        )

    async def count_pictures_since(self, account: AccountId, since: datetime) -> int:
        """Count the pictures that an account requested since a time, deleted ones too.

        Those of jobs that never began or failed do not count.
        """
        return await self._connection.read(
            lambda connection: _count_pictures_since(connection, account, to_ms(since))
        )

    async def delete_expired_usage(self, now: datetime) -> None:
        """Delete what deleted jobs used before the current quota periods."""
        period = max(TRAINING_QUOTA_PERIOD, PICTURE_QUOTA_PERIOD)
        await self._connection.execute("DELETE FROM used_quota WHERE at_ms <= ?", to_ms(now - period))

    async def save_invite_token(self, token: str, expires_at: datetime) -> None:
        """Save a token that lets one person in until it expires."""
        await self._connection.execute("INSERT INTO entry_words VALUES (?, ?)", token, to_ms(expires_at))

    async def redeem_invite_token(self, account: AccountId, token: str) -> bool:
        """Make an account a member and spend the token. Return False where the token is not valid."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            sql = "DELETE FROM entry_words WHERE word = ? AND expires_ms > ?"
            if not connection.execute(sql, (token, now_ms)).rowcount:
                return False
            connection.execute("UPDATE accounts SET role = 'member' WHERE id = ? AND role = ''", (account,))
            return True

        return await self._connection.write(transaction)


def _read_request_state(connection: sqlite3.Connection, identity: Identity, now_ms: int) -> RequestState:
    queued_sql = "SELECT count(*) FROM jobs WHERE kind = ? AND status = 'queued'"
    return RequestState(
        access=_get_access_status(connection, identity),
        account_state=_read_account_state(connection, identity, now_ms),
        queued_counts={kind: connection.execute(queued_sql, (str(kind),)).fetchone()[0] for kind in JobKind},
        is_paused=queue_state.is_paused(connection),
    )


def _read_account_state(
    connection: sqlite3.Connection, identity: Identity, now_ms: int
) -> AccountState | None:
    row = connection.execute(
        "SELECT accounts.*, locale FROM identities JOIN accounts ON accounts.id = account"
        " WHERE platform = ? AND user_id = ?",
        (str(identity.platform), identity.user_id),
    ).fetchone()
    if row is None:
        return None
    account = AccountId(row["id"])
    training_limit_ms = now_ms - round(TRAINING_QUOTA_PERIOD.total_seconds() * 1000)
    picture_limit_ms = now_ms - round(PICTURE_QUOTA_PERIOD.total_seconds() * 1000)
    return AccountState(
        account=account,
        identities=tuple(accounts.list_identities(connection, account)),
        stored_locale=row["locale"],
        has_consented=row["consented_ms"] is not None,
        preferences=accounts.preferences_from_row(row),
        trainings_used=_count_trainings_since(connection, account, training_limit_ms),
        pictures_used=_count_pictures_since(connection, account, picture_limit_ms),
        open_jobs=tuple(queue.list_open_for_account(connection, account)),
        photo_set=photo_sets.get_set(connection, account),
        question=conversation.get_question(connection, account, now_ms),
        draft=conversation.get_draft(connection, account, now_ms),
    )


def _get_access_status(connection: sqlite3.Connection, identity: Identity) -> AccessStatus:
    sql = """
        SELECT accounts.role, accounts.trainings_a_day, accounts.pictures_an_hour,
            EXISTS (SELECT 1 FROM bans WHERE bans.platform = asked.platform
                AND bans.user_id = asked.user_id) AS banned
        FROM (SELECT ? AS platform, ? AS user_id) AS asked
        LEFT JOIN identities USING (platform, user_id) LEFT JOIN accounts ON accounts.id = account
    """
    row = connection.execute(sql, (str(identity.platform), identity.user_id)).fetchone()
    quota_override = Quota(row["trainings_a_day"], row["pictures_an_hour"])
    return AccessStatus(Role(row["role"] or Role.GUEST), quota_override, bool(row["banned"]))


def _count_trainings_since(connection: sqlite3.Connection, account: AccountId, since_ms: int) -> int:
    sql = (
        "SELECT count(*) FROM jobs WHERE account = ? AND kind = ? AND created_ms > ?"
        " AND (status != 'cancelled' OR started_ms NOT NULL)"
    )
    count = int(connection.execute(sql, (account, str(JobKind.TRAIN), since_ms)).fetchone()[0])
    return count + _sum_deleted_since(connection, account, JobKind.TRAIN, since_ms)


def _count_pictures_since(connection: sqlite3.Connection, account: AccountId, since_ms: int) -> int:
    sql = (
        f"SELECT coalesce(sum({queue.PICTURE_COUNT_SQL}), 0) FROM jobs"  # noqa: S608 - our own words
        " WHERE account = ? AND kind = ? AND created_ms > ? AND status != 'failed'"
        " AND (status != 'cancelled' OR started_ms NOT NULL)"
    )
    count = int(connection.execute(sql, (account, str(JobKind.GENERATE), since_ms)).fetchone()[0])
    return count + _sum_deleted_since(connection, account, JobKind.GENERATE, since_ms)


def _sum_deleted_since(
    connection: sqlite3.Connection, account: AccountId, kind: JobKind, since_ms: int
) -> int:
    """Return what an account used by jobs that were deleted since."""
    sql = "SELECT coalesce(sum(amount), 0) FROM used_quota WHERE account = ? AND kind = ? AND at_ms > ?"
    return int(connection.execute(sql, (account, str(kind), since_ms)).fetchone()[0])
