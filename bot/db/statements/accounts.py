"""Accounts, the tokens by which two of them are linked, and their merging."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from bot.core.accounts import AccountId, Identity, Platform, Preferences
from bot.core.photos import MAX_PHOTOS_IN_SET

#: All of it moves. Of what an account has once only, the one that stays keeps its own.
_MOVED_TABLES = ("loras", "jobs", "reports", "asks", "used_quota", "identities")
_SINGLE_ROW_TABLES = ("photo_sets", "drafts", "questions")


def get_or_create_account(connection: sqlite3.Connection, identity: Identity, now_ms: int) -> AccountId:
    """Return the account of an identity; it is created where nobody has it."""
    account = find_account(connection, identity)
    if account is not None:
        return account
    number = connection.execute("INSERT INTO account_numbers DEFAULT VALUES").lastrowid
    connection.execute("DELETE FROM account_numbers")  # the number stays given, though its row goes
    connection.execute("INSERT INTO accounts (id, created_ms) VALUES (?, ?)", (number, now_ms))
    connection.execute(
        "INSERT INTO identities (platform, user_id, account, locale) VALUES (?, ?, ?, ?)",
        (str(identity.platform), identity.user_id, number, identity.locale),
    )
    assert number is not None  # noqa: S101 - an INSERT has a row
    return AccountId(number)


def find_account(connection: sqlite3.Connection, identity: Identity) -> AccountId | None:
    """Return the account of an identity, None where nobody has it."""
    row = connection.execute(
        "SELECT account FROM identities WHERE platform = ? AND user_id = ?",
        (str(identity.platform), identity.user_id),
    ).fetchone()
    return None if row is None else AccountId(row["account"])


def list_identities(connection: sqlite3.Connection, account: AccountId) -> list[Identity]:
    """Return the identities of an account, by platform."""
    rows = connection.execute("SELECT * FROM identities WHERE account = ? ORDER BY platform", (account,))
    return [Identity(Platform(row["platform"]), row["user_id"]) for row in rows]


def preferences_from_row(row: sqlite3.Row) -> Preferences:
    """Read the preferences in a row of `accounts`."""
    return Preferences(
        size=row["size"],
        style=row["style"],
        is_silent=bool(row["is_silent"]),
        language=row["language"] or "",
        keeps_photos=bool(row["keeps_photos"]),
    )


def save_link_token(connection: sqlite3.Connection, account: AccountId, token: str, expires_ms: int) -> None:
    """Save the link token of an account; it replaces an earlier one."""
    connection.execute("DELETE FROM link_words WHERE account = ?", (account,))
    connection.execute("INSERT INTO link_words VALUES (?, ?, ?)", (token, account, expires_ms))


def get_link_token_account(connection: sqlite3.Connection, token: str, now_ms: int) -> AccountId | None:
    """Return the account of a valid link token, None where it is not valid."""
    sql = "SELECT account FROM link_words WHERE word = ? AND expires_ms > ?"
    row = connection.execute(sql, (token, now_ms)).fetchone()
    return None if row is None else AccountId(row["account"])


def merge_accounts(
    connection: sqlite3.Connection, kept_account: AccountId, merged_account: AccountId
) -> None:
    """Move everything of one account to another and delete the first."""
    values = {"stays": kept_account, "goes": merged_account}
    for table in _MOVED_TABLES:
        connection.execute(f"UPDATE {table} SET account = :stays WHERE account = :goes", values)  # noqa: S608 - our names
    connection.execute("UPDATE asks SET owner = :stays WHERE owner = :goes", values)
    _merge_photos(connection, values)
    _merge_shares(connection, values)
    for table in _SINGLE_ROW_TABLES:
        connection.execute(f"UPDATE OR IGNORE {table} SET account = :stays WHERE account = :goes", values)  # noqa: S608
    for table in ("photos", "shares", *_SINGLE_ROW_TABLES):
        connection.execute(f"DELETE FROM {table} WHERE account = :goes", values)  # noqa: S608
    connection.execute("DELETE FROM link_words WHERE account IN (:stays, :goes)", values)
    _merge_settings(connection, values)
    _merge_limits(connection, values)
    connection.execute("DELETE FROM accounts WHERE id = :goes", values)


def _merge_photos(connection: sqlite3.Connection, values: Mapping[str, AccountId]) -> None:
    # What an empty set was for is not what the photos of the other one are for.
    connection.execute(
        "DELETE FROM photo_sets WHERE account = :stays"
        " AND NOT EXISTS (SELECT 1 FROM photos WHERE account = :stays AND job IS NULL)"
        " AND EXISTS (SELECT 1 FROM photos WHERE account = :goes AND job IS NULL)",
        values,
    )
    # The same photo may have been sent on both platforms, and is held once. A set has room for so many.
    connection.execute(
        "UPDATE OR IGNORE photos SET account = :stays WHERE account = :goes AND (job NOT NULL OR id IN ("
        " SELECT id FROM photos WHERE account = :goes AND job IS NULL ORDER BY coalesce(place, id), id"
        " LIMIT max(0, :most - (SELECT count(*) FROM photos WHERE account = :stays AND job IS NULL))))",
        {**values, "most": MAX_PHOTOS_IN_SET},
    )


def _merge_shares(connection: sqlite3.Connection, values: Mapping[str, AccountId]) -> None:
    # Of two decisions about one Lora the one that goes further stays, and a refusal before all.
    connection.execute(
        "DELETE FROM shares WHERE account = :stays AND EXISTS (SELECT 1 FROM shares AS other"
        " WHERE other.account = :goes AND other.code = shares.code AND"
        " instr('asked once always no', other.allowed) > instr('asked once always no', shares.allowed))",
        values,
    )
    connection.execute("UPDATE OR IGNORE shares SET account = :stays WHERE account = :goes", values)
    connection.execute(
        "DELETE FROM shares WHERE account = :stays"
        " AND code IN (SELECT code FROM loras WHERE account = :stays)",
        values,
    )


def _merge_settings(connection: sqlite3.Connection, values: Mapping[str, AccountId]) -> None:
    connection.execute(
        "UPDATE accounts SET consented_ms ="
        " coalesce(consented_ms, (SELECT consented_ms FROM accounts WHERE id = :goes)) WHERE id = :stays",
        values,
    )
    # What was set on one of them is set on both.
    connection.execute(
        "UPDATE accounts SET size = iif(accounts.size = '', other.size, accounts.size),"
        " style = iif(accounts.style = '', other.style, accounts.style),"
        " is_silent = max(accounts.is_silent, other.is_silent),"
        " keeps_photos = max(accounts.keeps_photos, other.keeps_photos),"
        " language = coalesce(accounts.language, other.language)"
        " FROM accounts AS other WHERE accounts.id = :stays AND other.id = :goes",
        values,
    )


def _merge_limits(connection: sqlite3.Connection, values: Mapping[str, AccountId]) -> None:
    # The higher role and the lower limits: neither is lost or escaped by joining.
    connection.execute(
        "UPDATE accounts SET role = max(accounts.role, other.role),"
        " trainings_a_day = coalesce(min(accounts.trainings_a_day, other.trainings_a_day),"
        " accounts.trainings_a_day, other.trainings_a_day),"
        " pictures_an_hour = coalesce(min(accounts.pictures_an_hour, other.pictures_an_hour),"
        " accounts.pictures_an_hour, other.pictures_an_hour)"
        " FROM accounts AS other WHERE accounts.id = :stays AND other.id = :goes",
        values,
    )
