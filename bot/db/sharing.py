"""Requests for Loras, what their owners decided, links that let people in, and reports."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import AccountId, Identity
from bot.core.jobs import JobId
from bot.core.loras import GRANTED_PERMISSIONS, Lora, LoraCode, Permission, Requester, Share
from bot.core.monitoring import AbuseReport
from bot.db.sqlite.connection import DAY_MS, Connection, from_ms, to_ms
from bot.db.statements import loras, messages, queue, shares

#: A request that nobody answered for so long is forgotten.
REQUEST_TIMEOUT_MS = 7 * DAY_MS
#: Reports of one person a day.
MAX_REPORTS_PER_DAY = 5
_OPEN_LINK_SQL = "SELECT expires_ms FROM invitations WHERE code = ? AND expires_ms > ? AND people < ?"
_DENY_SQL = "UPDATE shares SET allowed = 'no', changed_ms = ?, job = NULL WHERE number = ?"
#: Whether a Lora is :account's to draw with; one look-up, whatever the answer is.
USABLE_LORA_SQL = """
    SELECT loras.* FROM loras LEFT JOIN shares ON shares.code = loras.code AND shares.account = :account
    WHERE loras.code = :code AND (loras.account = :account OR shares.allowed IN ('once', 'always')
        AND shares.job IS NULL)
"""
SHARED_WITH_SQL = """
    SELECT loras.*, shares.allowed AS allowed FROM shares JOIN loras ON loras.code = shares.code
    WHERE shares.account = ? AND shares.allowed IN ('once', 'always') AND shares.job IS NULL
    ORDER BY shares.changed_ms DESC
"""


class SharingRepository:
    """Shares by the number of each, links by their word."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_usable_lora(self, account: AccountId, code: LoraCode) -> Lora | None:
        """Return a Lora that an account may use, its own or a shared one; None where it may not."""
        sql = USABLE_LORA_SQL
        rows = await self._connection.read(
            lambda connection: connection.execute(sql, {"account": account, "code": code}).fetchall()
        )
        return loras.lora_from_row(rows[0]) if rows else None

    async def list_shared_with(self, account: AccountId) -> list[tuple[Lora, Permission]]:
        """Return the Loras that are shared with an account, the newest share first."""
        rows = await self._connection.fetch_rows(SHARED_WITH_SQL, account)
        return [(loras.lora_from_row(row), Permission(row["allowed"])) for row in rows]

    async def add_request(self, requester: Requester, code: LoraCode, idempotency_key: str = "") -> bool:
        """Save a request to use a code. Return False where it is over the daily limit."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: shares.add_request(
                connection, requester, code, idempotency_key=idempotency_key, now_ms=now_ms
            )
        )

    async def forward_requests(self) -> None:
        """Queue a direct message to the owners of requested codes."""
        if await self._connection.fetch_rows("SELECT 1 FROM asks WHERE code IS NOT NULL LIMIT 1"):
            now_ms = self._connection.now_ms()
            await self._connection.write(lambda connection: shares.forward_requests(connection, now_ms))

    async def list_shares(self, code: LoraCode) -> list[Share]:
        """Return the shares of a Lora: open requests first, then the newest."""
        sql = "SELECT * FROM shares WHERE code = ? ORDER BY allowed = 'asked' DESC, changed_ms DESC, number"
        return [shares.share_from_row(row) for row in await self._connection.fetch_rows(sql, code)]

    async def get_share(self, owner: AccountId, number: int) -> Share | None:
        """Return a share of a Lora that the account owns, None where there is none."""
        return await self._connection.read(lambda connection: _get_owned_share(connection, owner, number))

    async def set_permission(
        self, owner: AccountId, number: int, permission: Permission
    ) -> tuple[Share | None, list[JobId]]:
        """Save the owner's decision on a share, and queue a message to the requester where it grants.

        Return the share as it was before, None where it is gone, and the jobs that a refusal cancelled.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> tuple[Share | None, list[JobId]]:
            previous_share = _get_owned_share(connection, owner, number)
            if previous_share is None:
                return None, []
            connection.execute(
                "UPDATE shares SET allowed = :allowed, changed_ms = :now,"
                " job = iif(:allowed = 'once' AND allowed = 'once', job, NULL) WHERE number = :number",
                {"allowed": str(permission), "now": now_ms, "number": number},
            )
            if permission not in GRANTED_PERMISSIONS:
                return previous_share, _cancel_generations(connection, previous_share, now_ms)
            if previous_share.permission is not permission:
                shares.notify_requester(connection, previous_share, now_ms)
            return previous_share, []

        return await self._connection.write(transaction)

    async def revoke_share(self, owner: AccountId, number: int) -> tuple[Share | None, list[JobId]]:
        """End a share of a Lora that the account owns. Return it, None if it is gone, and the cancelled jobs.

        While a share link is open it becomes a refusal: else the person could come in again.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> tuple[Share | None, list[JobId]]:
            previous_share = _get_owned_share(connection, owner, number)
            if previous_share is None:
                return None, []
            if (
                connection.execute(
                    _OPEN_LINK_SQL, (previous_share.code, now_ms, shares.MAX_PEOPLE_PER_LINK)
                ).fetchone()
                is None
            ):
                connection.execute("DELETE FROM shares WHERE number = ?", (number,))
            else:
                connection.execute(_DENY_SQL, (now_ms, number))
            return previous_share, _cancel_generations(connection, previous_share, now_ms)

        return await self._connection.write(transaction)

    async def save_share_link(self, code: LoraCode, token: str, expires_at: datetime) -> None:
        """Save a link by which people may use a Lora until it expires; it replaces an earlier one."""

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM invitations WHERE code = ?", (code,))
            connection.execute(
                "INSERT INTO invitations (word, code, expires_ms) VALUES (?, ?, ?)",
                (token, code, to_ms(expires_at)),
            )

        await self._connection.write(transaction)

    async def get_share_link_expiry(self, code: LoraCode) -> datetime | None:
        """Return when the share link of a Lora expires, None where there is none."""
        rows = await self._connection.fetch_rows(
            _OPEN_LINK_SQL, code, self._connection.now_ms(), shares.MAX_PEOPLE_PER_LINK
        )
        return from_ms(rows[0][0]) if rows else None

    async def delete_share_link(self, code: LoraCode) -> None:
        """Delete the share link of a Lora."""
        await self._connection.execute("DELETE FROM invitations WHERE code = ?", code)

    async def accept_share_link(self, requester: Requester, token: str) -> LoraCode | None:
        """Share a Lora by its link. Return its code, None where the link is not valid for them."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: shares.accept_share_link(connection, requester, token, now_ms)
        )

    async def delete_expired_requests(self, now: datetime) -> None:
        """Delete expired links, and requests that nobody answered: they would keep others out."""
        await self._connection.execute("DELETE FROM invitations WHERE expires_ms <= ?", to_ms(now))
        await self._connection.execute("DELETE FROM asks WHERE at_ms <= ?", to_ms(now) - DAY_MS)
        sql = "DELETE FROM shares WHERE allowed = 'asked' AND changed_ms <= ?"
        await self._connection.execute(sql, to_ms(now) - REQUEST_TIMEOUT_MS)

    async def add_report(
        self,
        account: AccountId,
        code: LoraCode,
        text: str,
        recipients: Sequence[Identity],
        message_text: str,
        idempotency_key: str = "",
    ) -> bool:
        """Save a report on a code and queue a message about it. Return False if it is over the daily limit.

        A repeated request is not saved again.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            sql = "SELECT 1 FROM reports WHERE asked_by = ?"
            if connection.execute(sql, (idempotency_key or None,)).fetchone():
                return True
            since_ms = now_ms - DAY_MS
            sql = "SELECT count(*) FROM reports WHERE account = ? AND created_ms > ?"
            if connection.execute(sql, (account, since_ms)).fetchone()[0] >= MAX_REPORTS_PER_DAY:
                return False
            connection.execute(
                "INSERT INTO reports (code, account, words, created_ms, asked_by) VALUES (?, ?, ?, ?, ?)",
                (code, account, text, now_ms, idempotency_key or None),
            )
            messages.insert_direct_messages(
                connection,
                [(str(identity.platform), identity.user_id) for identity in recipients],
                message_text,
                now_ms,
            )
            return True

        return await self._connection.write(transaction)

    async def list_reports(self, limit: int) -> list[AbuseReport]:
        """Return the last `limit` reports, the newest first."""
        sql = (
            "SELECT created_ms, code, words, (SELECT platform || ':' || user_id FROM identities"
            " WHERE identities.account = reports.account ORDER BY platform LIMIT 1) AS who"
            " FROM reports ORDER BY id DESC LIMIT ?"
        )
        return [
            AbuseReport(from_ms(row["created_ms"]), LoraCode(row["code"]), row["who"] or "", row["words"])
            for row in await self._connection.fetch_rows(sql, limit)
        ]


def _get_owned_share(connection: sqlite3.Connection, owner: AccountId, number: int) -> Share | None:
    sql = "SELECT * FROM shares WHERE number = ? AND code IN (SELECT code FROM loras WHERE account = ?)"
    row = connection.execute(sql, (number, owner)).fetchone()
    return None if row is None else shares.share_from_row(row)


def _cancel_generations(connection: sqlite3.Connection, share: Share, now_ms: int) -> list[JobId]:
    """Cancel the open jobs that use a share which ended. Return their ids."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE account = :account AND status IN ('queued', 'running')"
        " AND (code = :code OR id IN (SELECT job FROM further_codes WHERE code = :code)) ORDER BY id",
        {"account": share.account, "code": share.code},
    )
    return [
        queue.end_job(connection, JobId(row["id"]), "cancelled", None, now_ms).id for row in rows.fetchall()
    ]
