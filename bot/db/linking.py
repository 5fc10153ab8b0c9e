"""Joining the two accounts of one person, as statements inside one transaction."""

from __future__ import annotations

import sqlite3

from bot.core.accounts import AccountId

#: All of it moves. Of what an account has once only, the one that stays keeps its own.
_MOVED = ("loras", "jobs", "reports", "asks", "identities")
_ONCE = ("photo_sets", "drafts", "questions")


def give_word(db: sqlite3.Connection, account: AccountId, word: str, expires_ms: int) -> None:
    """Let a word stand for an account until then; its earlier one no longer does."""
    db.execute("DELETE FROM link_words WHERE account = ?", (account,))
    db.execute("INSERT INTO link_words VALUES (?, ?, ?)", (word, account, expires_ms))


def owner_of(db: sqlite3.Connection, word: str, now_ms: int) -> AccountId | None:
    """Give the account that a word stands for; None when it never did, or no longer does."""
    sql = "SELECT account FROM link_words WHERE word = ? AND expires_ms > ?"
    row = db.execute(sql, (word, now_ms)).fetchone()
    return None if row is None else AccountId(row["account"])


def join(db: sqlite3.Connection, stays: AccountId, goes: AccountId) -> None:
    """Move everything of one account to another and end it."""
    ours = {"stays": stays, "goes": goes}
    for table in _MOVED:
        db.execute(f"UPDATE {table} SET account = :stays WHERE account = :goes", ours)  # noqa: S608 - our names
    db.execute("UPDATE asks SET owner = :stays WHERE owner = :goes", ours)
    # What an empty set was for is not what the photos of the other one are for.
    db.execute(
        "DELETE FROM photo_sets WHERE account = :stays"
        " AND NOT EXISTS (SELECT 1 FROM photos WHERE account = :stays AND job IS NULL)"
        " AND EXISTS (SELECT 1 FROM photos WHERE account = :goes AND job IS NULL)",
        ours,
    )
    # The same photo may have been sent on both platforms, and is held once.
    db.execute("UPDATE OR IGNORE photos SET account = :stays WHERE account = :goes", ours)
    # Of two decisions about one Lora the one that goes further stays, and a refusal before all.
    db.execute(
        "DELETE FROM shares WHERE account = :stays AND EXISTS (SELECT 1 FROM shares AS other"
        " WHERE other.account = :goes AND other.code = shares.code AND"
        " instr('asked once always no', other.allowed) > instr('asked once always no', shares.allowed))",
        ours,
    )
    db.execute("UPDATE OR IGNORE shares SET account = :stays WHERE account = :goes", ours)
    db.execute(
        "DELETE FROM shares WHERE account = :stays"
        " AND code IN (SELECT code FROM loras WHERE account = :stays)",
        ours,
    )
    for table in _ONCE:
        db.execute(f"UPDATE OR IGNORE {table} SET account = :stays WHERE account = :goes", ours)  # noqa: S608
    for table in ("photos", "shares", *_ONCE):
        db.execute(f"DELETE FROM {table} WHERE account = :goes", ours)  # noqa: S608
    db.execute("DELETE FROM link_words WHERE account IN (:stays, :goes)", ours)
    db.execute(
        "UPDATE accounts SET consented_ms ="
        " coalesce(consented_ms, (SELECT consented_ms FROM accounts WHERE id = :goes)) WHERE id = :stays",
        ours,
    )
    # What was set on one of them is set on both.
    db.execute(
        "UPDATE accounts SET size = iif(accounts.size = '', other.size, accounts.size),"
        " style = iif(accounts.style = '', other.style, accounts.style),"
        " is_silent = max(accounts.is_silent, other.is_silent),"
        " keeps_photos = max(accounts.keeps_photos, other.keeps_photos),"
        " language = coalesce(accounts.language, other.language)"
        " FROM accounts AS other WHERE accounts.id = :stays AND other.id = :goes",
        ours,
    )
    # The higher role and the lower limits: neither is lost or escaped by joining.
    db.execute(
        "UPDATE accounts SET role = max(accounts.role, other.role),"
        " trainings_a_day = coalesce(min(accounts.trainings_a_day, other.trainings_a_day),"
        " accounts.trainings_a_day, other.trainings_a_day),"
        " pictures_an_hour = coalesce(min(accounts.pictures_an_hour, other.pictures_an_hour),"
        " accounts.pictures_an_hour, other.pictures_an_hour)"
        " FROM accounts AS other WHERE accounts.id = :stays AND other.id = :goes",
        ours,
    )
    db.execute("DELETE FROM accounts WHERE id = :goes", ours)
