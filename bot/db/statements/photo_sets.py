"""The photo set that is being collected, and the training it starts, as statements inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bot.core.accounts import (
    PLATFORM_TRAITS,
    AccountId,
    ChatAddress,
    Platform,
)
from bot.core.jobs import (
    JobId,
)
from bot.core.loras import (
    DEFAULT_EXTRA_STEPS,
    LoraCode,
)
from bot.core.photos import MAX_PHOTOS_IN_SET, NewPhoto, PhotoSet


def count_collected(connection: sqlite3.Connection, account: AccountId) -> int:
    """Count the photos of the set that is being collected."""
    row = connection.execute(
        "SELECT count(*) FROM photos WHERE account = ? AND job IS NULL", (account,)
    ).fetchone()
    return int(row[0])


def insert_photos(
    connection: sqlite3.Connection, account: AccountId, photos: Sequence[NewPhoto], now_ms: int
) -> tuple[bool, ...]:
    """Add photos to the set. Return False for one that is there already or has no room."""
    count, accepted = count_collected(connection, account), []
    for photo in photos:
        is_accepted = count < MAX_PHOTOS_IN_SET
        if is_accepted:
            is_accepted = (
                connection.execute(
                    "INSERT INTO photos (account, sha256, data_sha256, created_ms, data, hint, place)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (
                        account,
                        photo.pixel_sha256,
                        photo.data_sha256,
                        now_ms,
                        photo.data,
                        photo.hint,
                        _get_free_position(connection, account),
                    ),
                ).rowcount
                == 1
            )
        count += is_accepted
        accepted.append(is_accepted)
    return tuple(accepted)


def move_set(connection: sqlite3.Connection, account: AccountId, address: ChatAddress) -> None:
    """Note in which chat a person works on their set. Its message stays where it can be edited from there."""
    connection.execute(
        "UPDATE photo_sets SET card_message_id = CASE WHEN platform = :platform"
        " AND (chat_id = :chat OR NOT :has_ids_per_chat) THEN card_message_id END,"
        " platform = :platform, chat_id = :chat, user_id = :user"
        " WHERE account = :account",
        {
            "platform": str(address.platform),
            "has_ids_per_chat": PLATFORM_TRAITS[address.platform].has_message_ids_per_chat,
            "chat": address.chat_id,
            "user": address.user_id,
            "account": account,
        },
    )


def get_set(connection: sqlite3.Connection, account: AccountId) -> PhotoSet:
    """Return the set that is being collected; it may be empty."""
    rows = connection.execute(
        "SELECT id, data_sha256 FROM photos WHERE account = ? AND job IS NULL"
        " ORDER BY coalesce(place, id), id",
        (account,),
    ).fetchall()
    photo_ids = tuple(row["id"] for row in rows)
    photo_hashes = tuple(row["data_sha256"] for row in rows)
    row = connection.execute(
        "SELECT photo_sets.*, loras.class_word AS of_lora FROM photo_sets LEFT JOIN loras USING (code)"
        " WHERE photo_sets.account = ?",
        (account,),
    ).fetchone()
    if row is None:
        return PhotoSet(account, photo_ids, photo_hashes=photo_hashes)
    has_address = bool(row["platform"])
    return PhotoSet(
        account=account,
        photo_ids=photo_ids,
        photo_hashes=photo_hashes,
        class_word=row["of_lora"] or row["class_word"],
        name=row["name"],
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"])
        if has_address
        else None,
        card_message_id=row["card_message_id"],
        code=None if row["code"] is None else LoraCode(row["code"]),
        steps=row["steps"] or DEFAULT_EXTRA_STEPS,
        replaced_number=row["swaps"],
    )


def touch_set(connection: sqlite3.Connection, account: AccountId, now_ms: int) -> None:
    """Record that somebody works on their set: it expires later, and they may be reminded again."""
    connection.execute(
        "INSERT INTO photo_sets (account, touched_ms) VALUES (?, ?)"
        " ON CONFLICT (account) DO UPDATE SET touched_ms = excluded.touched_ms, reminded_ms = NULL",
        (account, now_ms),
    )


def delete_set(connection: sqlite3.Connection, account: AccountId) -> list[str]:
    """Delete the set and what it was for. Return the SHA-256 of each photo's stored bytes."""
    deleted_hashes = list_set_hashes(connection, account)
    connection.execute("DELETE FROM photos WHERE account = ? AND job IS NULL", (account,))
    connection.execute(
        "UPDATE photo_sets SET code = NULL, steps = NULL, swaps = NULL WHERE account = ?", (account,)
    )
    return deleted_hashes


def list_set_hashes(connection: sqlite3.Connection, account: AccountId) -> list[str]:
    """Return the SHA-256 of each photo's stored bytes in the set, in their order."""
    rows = connection.execute(
        "SELECT data_sha256 FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id",
        (account,),
    )
    return [row["data_sha256"] for row in rows]


def list_job_hashes(connection: sqlite3.Connection, job_id: JobId) -> list[str]:
    """Return the SHA-256 of each photo's stored bytes of a training, in their order."""
    rows = connection.execute(
        "SELECT data_sha256 FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", (job_id,)
    )
    return [row["data_sha256"] for row in rows]


def _get_free_position(connection: sqlite3.Connection, account: AccountId) -> int | None:
    """Return the place in the set that the next photo takes, None where it takes the last."""
    row = connection.execute(
        "SELECT swaps FROM photo_sets WHERE account = :account AND swaps NOT IN"
        " (SELECT place FROM photos WHERE account = :account AND job IS NULL AND place IS NOT NULL)",
        {"account": account},
    ).fetchone()
    return None if row is None else row["swaps"]
