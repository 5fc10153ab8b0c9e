"""The training that a photo set starts or continues, as statements inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import Job, TrainingParams
from bot.core.loras import LoraCode, Trigger
from bot.core.photos import PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.db.statements import loras, photo_sets, queue

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
    previous_set = photo_sets.get_set(connection, account)
    accepted = photo_sets.insert_photos(connection, account, photos, now_ms)
    count = photo_sets.count_collected(connection, account)
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
        photo_sets.touch_set(connection, account, now_ms)
        photo_sets.move_set(connection, account, address)
    photo_set = photo_sets.get_set(connection, account)
    return AddPhotosResult(accepted, len(photo_set.photo_ids), job, previous_set, photo_set)


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
    if photo_sets.count_collected(connection, account) < PHOTOS_PER_LORA:
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


def _get_set_labels(
    connection: sqlite3.Connection, account: AccountId, default_trigger: Trigger
) -> tuple[str, str]:
    """Return the class word and the name that were chosen for the set."""
    row = connection.execute(
        "SELECT class_word, name FROM photo_sets WHERE account = ?", (account,)
    ).fetchone()
    return (default_trigger.class_word, "") if row is None else (row["class_word"], row["name"])
