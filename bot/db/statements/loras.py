"""Rows of `loras`, and the code and trigger that a new one gets."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import replace

import msgspec

from bot.core.accounts import AccountId
from bot.core.errors import DatabaseError
from bot.core.likeness import LikenessReport
from bot.core.loras import CODE_DIGITS, INSTANCE_TOKENS, Lora, LoraCode, LoraState, Trigger
from bot.db.sqlite.connection import from_ms

#: Codes are drawn at random; with 10^8 of them a free one is found at once until the space is nearly full.
_CODE_ATTEMPTS = 1000


def lora_from_row(row: sqlite3.Row) -> Lora:
    """Read a row of `loras`."""
    return Lora(
        code=LoraCode(row["code"]),
        account=AccountId(row["account"]),
        trigger=Trigger(row["token"], row["class_word"]),
        state=LoraState(row["state"]),
        file=row["file"],
        sha256=row["sha256"],
        created_at=from_ms(row["created_ms"]),
        ready_at=None if row["ready_ms"] is None else from_ms(row["ready_ms"]),
        name=row["name"],
        likeness=None
        if row["likeness"] is None
        else msgspec.json.decode(row["likeness"], type=LikenessReport),
        steps=row["steps"],
        family=row["family"],
    )


def assign_trigger(connection: sqlite3.Connection, account: AccountId, default_trigger: Trigger) -> Trigger:
    """Return the trigger with the token that the fewest Loras of the account have."""
    rows = connection.execute(
        "SELECT token, count(*) AS n FROM loras WHERE account = ? AND state IN ('training', 'ready')"
        " GROUP BY token",
        (account,),
    )
    token_counts = {row["token"]: int(row["n"]) for row in rows}
    tokens = (default_trigger.token, *INSTANCE_TOKENS)
    return replace(default_trigger, token=min(tokens, key=lambda token: token_counts.get(token, 0)))


def generate_code(connection: sqlite3.Connection) -> LoraCode:
    for _ in range(_CODE_ATTEMPTS):
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        sql = "SELECT 1 FROM loras WHERE code = :code UNION ALL SELECT 1 FROM spent_codes WHERE code = :code"
        if connection.execute(sql, {"code": code}).fetchone() is None:
            return LoraCode(code)
    raise DatabaseError("No free LoraCode was found.")
