"""Accounts: who they are on each platform, what they agreed to, and what they prefer."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from bot.core.accounts import (
    AccountId,
    Identity,
    PendingQuestion,
    Platform,
    Preferences,
)
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import accounts, photo_sets

#: A question that nobody answered for so long is forgotten: a later message was not meant for it.
QUESTION_TIMEOUT_MS = 3_600_000


class AccountRepository:
    """Accounts by the identities they have on platforms."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_or_create(self, identity: Identity) -> AccountId:
        """Get or create the account of an identity."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: accounts.get_or_create_account(connection, identity, now_ms)
        )

    async def find_by_identity(self, identity: Identity) -> AccountId | None:
        """Give the account of an identity without making one; None for somebody new."""
        sql = "SELECT account FROM identities WHERE platform = ? AND user_id = ?"
        rows = await self._connection.fetch_rows(sql, str(identity.platform), identity.user_id)
        return AccountId(rows[0]["account"]) if rows else None

    async def list_identities(self, account: AccountId) -> list[Identity]:
        """List who an account is, on each platform."""
        rows = await self._connection.fetch_rows(
            "SELECT * FROM identities WHERE account = ? ORDER BY platform", account
        )
        return [Identity(Platform(row["platform"]), row["user_id"]) for row in rows]

    async def save_link_token(self, account: AccountId, token: str, expires_at: datetime) -> None:
        """Let a word stand for an account until then."""
        await self._connection.write(
            lambda connection: accounts.save_link_token(connection, account, token, to_ms(expires_at))
        )

    async def get_link_token_account(self, token: str) -> AccountId | None:
        """Give the account that a word stands for now."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: accounts.get_link_token_account(connection, token, now_ms)
        )

    async def merge_accounts(self, token: str, account: AccountId) -> bool:
        """Make an account one with that of a word, which is spent; False when it stands for none any more."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            owner = accounts.get_link_token_account(connection, token, now_ms)
            if owner is None or owner == account:
                return False
            accounts.merge_accounts(connection, kept_account=owner, merged_account=account)
            return True

        return await self._connection.write(transaction)

    async def has_consented(self, account: AccountId) -> bool:
        """Say whether a person has agreed to what the photos must be."""
        rows = await self._connection.fetch_rows(
            "SELECT 1 FROM accounts WHERE id = ? AND consented_ms NOT NULL", account
        )
        return bool(rows)

    async def record_consent(self, account: AccountId) -> None:
        """Note that a person agreed, and when they first did."""
        sql = "UPDATE accounts SET consented_ms = coalesce(consented_ms, ?) WHERE id = ?"
        await self._connection.execute(sql, self._connection.now_ms(), account)

    async def get_preferences(self, account: AccountId) -> Preferences:
        """Give what an account set."""
        rows = await self._connection.fetch_rows("SELECT * FROM accounts WHERE id = ?", account)
        if not rows:
            return Preferences()
        row = rows[0]
        return Preferences(
            row["size"],
            row["style"],
            bool(row["is_silent"]),
            row["language"] or "",
            bool(row["keeps_photos"]),
        )

    async def save_preferences(self, account: AccountId, preferences: Preferences) -> None:
        """Keep what an account set; photos that it no longer keeps are deleted."""
        sql = (
            "UPDATE accounts SET size = ?, style = ?, is_silent = ?, language = ?, keeps_photos = ?"
            " WHERE id = ?"
        )
        values = (
            preferences.size,
            preferences.style,
            int(preferences.is_silent),
            preferences.language or None,
        )

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(sql, (*values, int(preferences.keeps_photos), account))
            if not preferences.keeps_photos:
                photo_sets.delete_kept_photos(connection, account)

        await self._connection.write(transaction)

    async def get_language(self, identity: Identity) -> str:
        """Give the language a person chose, else the locale their app told last; empty for somebody new.

        A locale that `who` carries is remembered: notices come when no app tells any.
        """
        sql = (
            "SELECT locale, language FROM identities JOIN accounts ON accounts.id = account"
            " WHERE platform = ? AND user_id = ?"
        )
        key = (str(identity.platform), identity.user_id)
        rows = await self._connection.fetch_rows(sql, *key)
        if not rows:
            return identity.locale
        if identity.locale and identity.locale != rows[0]["locale"]:
            update = "UPDATE identities SET locale = ? WHERE platform = ? AND user_id = ?"
            await self._connection.execute(update, identity.locale, *key)
        return rows[0]["language"] or identity.locale or rows[0]["locale"]

    async def save_question(self, account: AccountId, question: PendingQuestion) -> None:
        """Remember what a person was asked, over an earlier question."""
        values = (account, question.subject, str(question.platform), self._connection.now_ms())
        await self._connection.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", *values)

    async def get_question(self, account: AccountId) -> PendingQuestion | None:
        """Give what a person was asked, unless they left it."""
        sql = "SELECT * FROM questions WHERE account = ? AND asked_ms > ?"
        rows = await self._connection.fetch_rows(
            sql, account, self._connection.now_ms() - QUESTION_TIMEOUT_MS
        )
        return PendingQuestion(rows[0]["about"], Platform(rows[0]["platform"])) if rows else None

    async def delete_question(self, account: AccountId) -> None:
        """Forget what a person was asked."""
        await self._connection.execute("DELETE FROM questions WHERE account = ?", account)
