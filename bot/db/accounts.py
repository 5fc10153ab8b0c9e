"""Accounts: who they are on each platform, what they agreed to, and what they prefer."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from bot.core.accounts import AccountId, ChatAddress, Identity, PendingQuestion, Preferences
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import accounts, conversation, trainings


class AccountRepository:
    """Accounts by the identities they have on platforms."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_or_create(self, identity: Identity) -> AccountId:
        """Return the account of an identity; it is created where nobody has it.

        A known identity costs no write.
        """
        account = await self.find_by_identity(identity)
        if account is not None:
            return account
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: accounts.get_or_create_account(connection, identity, now_ms)
        )

    async def find_by_identity(self, identity: Identity) -> AccountId | None:
        """Return the account of an identity, None where nobody has it."""
        return await self._connection.read(lambda connection: accounts.find_account(connection, identity))

    async def list_identities(self, account: AccountId) -> list[Identity]:
        """Return the identities of an account, by platform."""
        return await self._connection.read(lambda connection: accounts.list_identities(connection, account))

    async def save_link_token(self, account: AccountId, token: str, expires_at: datetime) -> None:
        """Save a token that links another account to this one until it expires."""
        await self._connection.write(
            lambda connection: accounts.save_link_token(connection, account, token, to_ms(expires_at))
        )

    async def get_link_token_account(self, token: str) -> AccountId | None:
        """Return the account of a valid link token, None where it is not valid."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: accounts.get_link_token_account(connection, token, now_ms)
        )

    async def merge_accounts(self, token: str, account: AccountId) -> bool:
        """Merge an account into that of a link token, and spend the token.

        Return False where the token is not valid, or is of this account.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            owner = accounts.get_link_token_account(connection, token, now_ms)
            if owner is None or owner == account:
                return False
            accounts.merge_accounts(connection, kept_account=owner, merged_account=account)
            return True

        return await self._connection.write(transaction)

    async def has_consented(self, account: AccountId) -> bool:
        """Check whether an account has agreed to the rules on photos."""
        rows = await self._connection.fetch_rows(
            "SELECT 1 FROM accounts WHERE id = ? AND consented_ms NOT NULL", account
        )
        return bool(rows)

    async def record_consent(self, account: AccountId) -> None:
        """Record that an account agreed to the rules; the first time stays."""
        sql = "UPDATE accounts SET consented_ms = coalesce(consented_ms, ?) WHERE id = ?"
        await self._connection.execute(sql, self._connection.now_ms(), account)

    async def get_preferences(self, account: AccountId) -> Preferences:
        """Return the preferences of an account; the defaults where it is gone."""
        rows = await self._connection.fetch_rows("SELECT * FROM accounts WHERE id = ?", account)
        return accounts.preferences_from_row(rows[0]) if rows else Preferences()

    async def save_preferences(self, account: AccountId, preferences: Preferences) -> None:
        """Save the preferences of an account. Kept photos are deleted where it no longer keeps them."""
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
                trainings.delete_kept_photos(connection, account)

        await self._connection.write(transaction)

    async def get_language(self, identity: Identity) -> str:
        """Return the language that a person chose, else the locale of their app; empty if unknown.

        The locale that the identity brings is saved: notices are sent when no app tells any.
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
            await self.save_locale(identity)
        return rows[0]["language"] or identity.locale or rows[0]["locale"]

    async def save_locale(self, identity: Identity) -> None:
        """Save the locale that an identity brings: notices are sent when no app tells any."""
        await self._connection.execute(
            "UPDATE identities SET locale = ? WHERE platform = ? AND user_id = ?",
            identity.locale,
            str(identity.platform),
            identity.user_id,
        )

    async def save_question(self, account: AccountId, question: PendingQuestion) -> None:
        """Save the question that an account was asked; it replaces an earlier one.

        The next plain message answers it, so a draft that waits for one there is deleted. A yes is no prompt.
        """
        address, now_ms = question.address, self._connection.now_ms()
        place = (str(address.platform), address.chat_id)

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO questions (account, about, platform, chat_id, user_id, asked_ms)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (account, question.subject, *place, address.user_id, now_ms),
            )
            if not question.confirmed_action:
                connection.execute(
                    "DELETE FROM drafts WHERE account = ? AND platform = ? AND chat_id = ?", (account, *place)
                )

        await self._connection.write(transaction)

    async def save_question_messages(
        self, account: AccountId, address: ChatAddress, message_ids: str
    ) -> None:
        """Save which messages ask what is open in a chat."""
        await self._connection.write(
            lambda connection: conversation.save_message_ids(connection, account, address, message_ids)
        )

    async def get_question(self, account: AccountId) -> PendingQuestion | None:
        """Return the question that the next plain message of an account answers, None where there is none."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: conversation.get_question(connection, account, now_ms)
        )

    async def delete_question(self, account: AccountId) -> None:
        """Delete the question of an account."""
        await self._connection.execute("DELETE FROM questions WHERE account = ?", account)
