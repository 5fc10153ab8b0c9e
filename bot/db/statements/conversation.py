"""What the next plain message of a person answers: a question, or a draft of a generation."""

from __future__ import annotations

import sqlite3

import msgspec

from bot.core.accounts import AccountId, ChatAddress, PendingQuestion, Platform
from bot.core.jobs import Draft, GenerationParams
from bot.core.loras import LoraCode
from bot.db.sqlite.connection import HOUR_MS

#: A question that nobody answered for so long is forgotten: a later message was not meant for it.
QUESTION_TIMEOUT_MS = HOUR_MS
#: A draft that nobody touched for so long is forgotten, for the same reason.
DRAFT_TIMEOUT_MS = HOUR_MS


def get_question(connection: sqlite3.Connection, account: AccountId, now_ms: int) -> PendingQuestion | None:
    """Return the question that an account was asked, None where there is none or it has timed out."""
    row = connection.execute(
        "SELECT * FROM questions WHERE account = ? AND asked_ms > ?", (account, now_ms - QUESTION_TIMEOUT_MS)
    ).fetchone()
    return None if row is None else PendingQuestion(row["about"], _read_address(row), row["message_ids"])


def get_draft(connection: sqlite3.Connection, account: AccountId, now_ms: int) -> Draft | None:
    """Return the generation that an account is composing, None where there is none or it has timed out."""
    row = connection.execute(
        "SELECT * FROM drafts WHERE account = ? AND updated_ms > ?", (account, now_ms - DRAFT_TIMEOUT_MS)
    ).fetchone()
    return None if row is None else draft_from_row(row)


def draft_from_row(row: sqlite3.Row) -> Draft:
    """Read a row of `drafts`."""
    return Draft(
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        params=msgspec.json.decode(row["wish"], type=GenerationParams),
        address=_read_address(row),
        message_ids=row["message_ids"],
    )


def save_message_ids(
    connection: sqlite3.Connection, account: AccountId, address: ChatAddress, message_ids: str
) -> None:
    """Save which messages ask what is open in a chat."""
    values = (message_ids, account, str(address.platform), address.chat_id)
    for table in ("questions", "drafts"):
        connection.execute(
            f"UPDATE {table} SET message_ids = ? WHERE account = ? AND platform = ? AND chat_id = ?",  # noqa: S608
            values,
        )


def _read_address(row: sqlite3.Row) -> ChatAddress:
    return ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"])
