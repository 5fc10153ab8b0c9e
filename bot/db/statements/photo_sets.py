"""The photo set that is being collected, and the training it starts, as statements inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.accounts import (
    PLATFORM_TRAITS,
    AccountId,
    ChatAddress,
    Platform,
)
from bot.core.jobs import (
    Job,
    JobId,
    TrainingParams,
)
from bot.core.loras import (
    DEFAULT_EXTRA_STEPS,
    LoraCode,
    Trigger,
)
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.db.statements import loras, queue

#: The trainings of :code that have ended; photos that are still theirs are kept ones.
KEPT_PHOTO_JOBS_SQL = (
    "(SELECT id FROM jobs WHERE code = :code AND kind = 'train' AND status NOT IN ('queued', 'running'))"
)


@dataclass(frozen=True, slots=True)
class AddPhotosResult:
    """Which of the photos were accepted, one value each, and what became of the set."""

    accepted: tuple[bool, ...]
    photo_count: int  #: of the set; 0 when it started a job
    job: Job | None  #: the training that the set started
    previous_set: PhotoSet  #: as it was before, with the message that showed it
    photo_set: PhotoSet  #: as it is now; empty when it started a job


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


def add_photos_to_set(
    connection: sqlite3.Connection,
    account: AccountId,
    photos: Sequence[NewPhoto],
    *,
    address: ChatAddress,
    params: TrainingParams | None,
    idempotency_key: str,
    now_ms: int,
) -> AddPhotosResult:
    """Add photos to the set and note where they came; with `params`, exactly five start their training."""
    previous_set = get_set(connection, account)
    accepted = insert_photos(connection, account, photos, now_ms)
    count = count_collected(connection, account)
    job = None
    if params is not None and count == PHOTOS_PER_LORA and any(accepted):
        job = start_training(
            connection,
            account,
            address=address,
            params=params,
            idempotency_key=idempotency_key,
            now_ms=now_ms,
        )
    if job is None and count:
        touch_set(connection, account, now_ms)
        move_set(connection, account, address)
    photo_set = get_set(connection, account)
    return AddPhotosResult(accepted, len(photo_set.photo_ids), job, previous_set, photo_set)


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


def start_training(
    connection: sqlite3.Connection,
    account: AccountId,
    *,
    address: ChatAddress,
    params: TrainingParams,
    idempotency_key: str,
    now_ms: int,
) -> Job | None:
    """Queue a training of the first five photos of the set and delete the rest.

    A set for an existing Lora continues its training. Return None while that runs, or if there are fewer.
    """
    if count_collected(connection, account) < PHOTOS_PER_LORA:
        return None
    row = connection.execute("SELECT code, steps FROM photo_sets WHERE account = ?", (account,)).fetchone()
    if row is None or row["code"] is None:
        job: Job | None = _start_new_training(
            connection,
            account,
            address=address,
            params=params,
            idempotency_key=idempotency_key,
            now_ms=now_ms,
        )
    else:
        code = LoraCode(row["code"])
        job = continue_training(
            connection,
            account,
            code,
            address=address,
            steps=row["steps"],
            idempotency_key=idempotency_key,
            now_ms=now_ms,
        )
        if job is not None:  # what was kept of it until now is in the way
            connection.execute(f"DELETE FROM photos WHERE job IN {KEPT_PHOTO_JOBS_SQL}", {"code": code})  # noqa: S608 - our own words
    if job is None:
        return None
    connection.execute(
        "UPDATE photos SET job = ? WHERE id IN"
        " (SELECT id FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id LIMIT ?)",
        (job.id, account, PHOTOS_PER_LORA),
    )
    connection.execute("DELETE FROM photos WHERE account = ? AND job IS NULL", (account,))
    connection.execute("DELETE FROM photo_sets WHERE account = ?", (account,))
    return job


def continue_training(
    connection: sqlite3.Connection,
    account: AccountId,
    code: LoraCode,
    *,
    address: ChatAddress,
    steps: int,
    idempotency_key: str,
    now_ms: int,
) -> Job | None:
    """Queue a continued training of a Lora. Return None where it is not ready, or is in training already."""
    lora = connection.execute(
        "SELECT * FROM loras WHERE code = :code AND account = :account AND state = 'ready' AND NOT EXISTS ("
        "SELECT 1 FROM jobs WHERE code = :code AND kind = 'train' AND status IN ('queued', 'running'))",
        {"code": code, "account": account},
    ).fetchone()
    if lora is None:
        return None
    trained_steps = lora["steps"] or 0
    # Another seed: else it would see the very noise again that it began with.
    params = TrainingParams(
        Trigger(lora["token"], lora["class_word"]), steps, seed=trained_steps, start_step=trained_steps
    )
    return queue.insert_job(
        connection,
        account=account,
        code=code,
        params=params,
        address=address,
        idempotency_key=idempotency_key,
        now_ms=now_ms,
    )


def delete_kept_photos(connection: sqlite3.Connection, account: AccountId) -> None:
    """Delete the kept photos of an account's ended trainings."""
    connection.execute(
        "DELETE FROM photos WHERE account = :account AND job IN (SELECT id FROM jobs"
        " WHERE account = :account AND status NOT IN ('queued', 'running'))",
        {"account": account},
    )


def list_kept_ids(connection: sqlite3.Connection, code: LoraCode) -> list[int]:
    sql = f"SELECT id FROM photos WHERE job IN {KEPT_PHOTO_JOBS_SQL} ORDER BY coalesce(place, id), id"  # noqa: S608 - our own words
    return [row["id"] for row in connection.execute(sql, {"code": code})]


def _start_new_training(
    connection: sqlite3.Connection,
    account: AccountId,
    *,
    address: ChatAddress,
    params: TrainingParams,
    idempotency_key: str,
    now_ms: int,
) -> Job:
    class_word, name = _get_set_labels(connection, account, params.trigger)
    params = replace(
        params,
        trigger=loras.assign_trigger(connection, account, replace(params.trigger, class_word=class_word)),
    )
    code = loras.generate_code(connection)
    connection.execute(
        "INSERT INTO loras (code, account, token, class_word, state, created_ms, name)"
        " VALUES (?, ?, ?, ?, 'training', ?, ?)",
        (code, account, params.trigger.token, params.trigger.class_word, now_ms, name),
    )
    return queue.insert_job(
        connection,
        account=account,
        code=code,
        params=params,
        address=address,
        idempotency_key=idempotency_key,
        now_ms=now_ms,
    )


def _get_free_position(connection: sqlite3.Connection, account: AccountId) -> int | None:
    """Return the place in the set that the next photo takes, None where it takes the last."""
    row = connection.execute(
        "SELECT swaps FROM photo_sets WHERE account = :account AND swaps NOT IN"
        " (SELECT place FROM photos WHERE account = :account AND job IS NULL AND place IS NOT NULL)",
        {"account": account},
    ).fetchone()
    return None if row is None else row["swaps"]


def _get_set_labels(
    connection: sqlite3.Connection, account: AccountId, default_trigger: Trigger
) -> tuple[str, str]:
    """Return the class word and the name that were chosen for the set."""
    row = connection.execute(
        "SELECT class_word, name FROM photo_sets WHERE account = ?", (account,)
    ).fetchone()
    return (default_trigger.class_word, "") if row is None else (row["class_word"], row["name"])
