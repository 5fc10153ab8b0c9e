"""Accounts, photo sets, and the start of a training, as statements inside one transaction."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from bot.core.accounts import AccountId, Identity, Place, Platform
from bot.core.errors import LedgerError
from bot.core.jobs import GenerateWish, Job, JobId, JobKind, TrainWish
from bot.core.loras import CODE_DIGITS, INSTANCE_TOKENS, MORE_STEPS, LoraCode, Trigger
from bot.core.messages import asking
from bot.core.photos import MAX_PHOTOS_HELD, PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.db.rows import Added, job_of

#: Codes are drawn at random; with 10^8 of them a free one is found at once until the space is nearly full.
_DRAWS = 1000
#: The trainings of :code that have ended; photos that are still theirs are kept ones.
KEPT = "(SELECT id FROM jobs WHERE code = :code AND kind = 'train' AND status NOT IN ('queued', 'running'))"


def account_of(db: sqlite3.Connection, identity: Identity, now_ms: int) -> AccountId:
    """Get or create the account of an identity."""
    key = (str(identity.platform), identity.user_id)
    row = db.execute("SELECT account FROM identities WHERE platform = ? AND user_id = ?", key).fetchone()
    if row is None:
        account = db.execute("INSERT INTO account_numbers DEFAULT VALUES").lastrowid
        db.execute("DELETE FROM account_numbers")  # the number stays given, though its row goes
        db.execute("INSERT INTO accounts (id, created_ms) VALUES (?, ?)", (account, now_ms))
        db.execute(
            "INSERT INTO identities (platform, user_id, account, locale) VALUES (?, ?, ?, ?)",
            (*key, account, identity.locale),
        )
        row = (account,)
    return AccountId(row[0])


def held(db: sqlite3.Connection, account: AccountId) -> int:
    """Count the photos of the set that is being collected."""
    row = db.execute("SELECT count(*) FROM photos WHERE account = ? AND job IS NULL", (account,)).fetchone()
    return int(row[0])


def add_photos(
    db: sqlite3.Connection, account: AccountId, photos: Sequence[NewPhoto], now_ms: int
) -> tuple[bool, ...]:
    """Put photos into the set; False for one that is already there or has no room."""
    count, accepted = held(db, account), []
    for photo in photos:
        fits = count < MAX_PHOTOS_HELD
        if fits:
            fits = (
                db.execute(
                    "INSERT INTO photos (account, sha256, created_ms, data, hint, place)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (account, photo.sha256, now_ms, photo.data, photo.hint, _free_place(db, account)),
                ).rowcount
                == 1
            )
        count += fits
        accepted.append(fits)
    return tuple(accepted)


def added(
    db: sqlite3.Connection,
    account: AccountId,
    photos: Sequence[NewPhoto],
    asked: tuple[Place, TrainWish] | None,
    now_ms: int,
) -> Added:
    """Put photos into the set; exactly five start its training, where one is asked for."""
    before = photo_set(db, account)
    accepted = add_photos(db, account, photos, now_ms)
    count = held(db, account)
    job = None
    if asked is not None and count == PHOTOS_PER_LORA and any(accepted):
        job = start_training(db, account, asked, now_ms)
    if job is None and any(accepted):
        touch(db, account, now_ms)
    return Added(accepted, 0 if job is not None else count, job, before)


def photo_set(db: sqlite3.Connection, account: AccountId) -> PhotoSet:
    """Give the set that is being collected; it may be empty."""
    rows = db.execute(
        "SELECT id FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id", (account,)
    )
    photos = tuple(row["id"] for row in rows)
    row = db.execute(
        "SELECT photo_sets.*, loras.class_word AS of_lora FROM photo_sets LEFT JOIN loras USING (code)"
        " WHERE photo_sets.account = ?",
        (account,),
    ).fetchone()
    if row is None:
        return PhotoSet(account, photos)
    return PhotoSet(
        account,
        photos,
        row["of_lora"] or row["class_word"],
        row["name"],
        Place(Platform(row["platform"]), row["chat_id"], row["user_id"]) if row["platform"] else None,
        row["card_message_id"],
        None if row["code"] is None else LoraCode(row["code"]),
        row["steps"] or MORE_STEPS,
        row["swaps"],
    )


def touch(db: sqlite3.Connection, account: AccountId, now_ms: int) -> None:
    """Note that somebody works on their set: a day later it is forgotten."""
    db.execute(
        "INSERT INTO photo_sets (account, touched_ms) VALUES (?, ?)"
        " ON CONFLICT (account) DO UPDATE SET touched_ms = excluded.touched_ms, reminded_ms = NULL",
        (account, now_ms),
    )


def forget(db: sqlite3.Connection, account: AccountId) -> list[str]:
    """Delete the set that is being collected, and what it was for; give the SHA-256 of each photo's bytes."""
    forgotten = held_names(db, account)
    db.execute("DELETE FROM photos WHERE account = ? AND job IS NULL", (account,))
    db.execute("UPDATE photo_sets SET code = NULL, steps = NULL, swaps = NULL WHERE account = ?", (account,))
    return forgotten


def held_names(db: sqlite3.Connection, account: AccountId) -> list[str]:
    """Give the SHA-256 of each photo's bytes in the set that is being collected, in the order they came."""
    rows = db.execute(
        "SELECT data FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id",
        (account,),
    )
    return [hashlib.sha256(row["data"]).hexdigest() for row in rows]


def names_of(db: sqlite3.Connection, job_id: JobId) -> list[str]:
    """Give the SHA-256 of each photo's bytes of a training, in the order they came."""
    rows = db.execute("SELECT data FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", (job_id,))
    return [hashlib.sha256(row["data"]).hexdigest() for row in rows]


def start_training(
    db: sqlite3.Connection, account: AccountId, asked: tuple[Place, TrainWish], now_ms: int
) -> Job | None:
    """Turn the first five photos of the set into a Lora and its queued job; the rest is dropped.

    A set for a Lora that is there trains that one further; None while it is trained already.
    """
    if held(db, account) < PHOTOS_PER_LORA:
        return None
    row = db.execute("SELECT code, steps FROM photo_sets WHERE account = ?", (account,)).fetchone()
    if row is None or row["code"] is None:
        job: Job | None = _start_new(db, account, asked, now_ms)
    else:
        code = LoraCode(row["code"])
        job = further(db, (account, code), asked[0], row["steps"], now_ms)
        if job is not None:  # what was kept of it until now is in the way
            db.execute(f"DELETE FROM photos WHERE job IN {KEPT}", {"code": code})  # noqa: S608 - our own words
    if job is None:
        return None
    db.execute(
        "UPDATE photos SET job = ? WHERE id IN"
        " (SELECT id FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id LIMIT ?)",
        (job.id, account, PHOTOS_PER_LORA),
    )
    db.execute("DELETE FROM photos WHERE account = ? AND job IS NULL", (account,))
    db.execute("DELETE FROM photo_sets WHERE account = ?", (account,))
    return job


def further(
    db: sqlite3.Connection, whose: tuple[AccountId, LoraCode], place: Place, steps: int, now_ms: int
) -> Job | None:
    """Queue a further training of a Lora that is ready; None while it is trained already."""
    account, code = whose
    lora = db.execute(
        "SELECT * FROM loras WHERE code = :code AND account = :account AND state = 'ready' AND NOT EXISTS ("
        "SELECT 1 FROM jobs WHERE code = :code AND kind = 'train' AND status IN ('queued', 'running'))",
        {"code": code, "account": account},
    ).fetchone()
    if lora is None:
        return None
    learnt = lora["steps"] or 0
    # Another seed: else it would see the very noise again that it began with.
    wish = TrainWish(Trigger(lora["token"], lora["class_word"]), steps, seed=learnt, start_step=learnt)
    return add_job(db, (account, code), wish, place, now_ms)


def forget_kept(db: sqlite3.Connection, account: AccountId) -> None:
    """Delete the photos that were kept of trainings that have ended."""
    db.execute(
        "DELETE FROM photos WHERE account = :account AND job IN (SELECT id FROM jobs"
        " WHERE account = :account AND status NOT IN ('queued', 'running'))",
        {"account": account},
    )


def _start_new(
    db: sqlite3.Connection, account: AccountId, asked: tuple[Place, TrainWish], now_ms: int
) -> Job:
    place, wish = asked
    class_word, name = _chosen(db, account, wish.trigger)
    wish = replace(wish, trigger=_own_trigger(db, account, replace(wish.trigger, class_word=class_word)))
    code = _new_code(db)
    db.execute(
        "INSERT INTO loras (code, account, token, class_word, state, created_ms, name)"
        " VALUES (?, ?, ?, ?, 'training', ?, ?)",
        (code, account, wish.trigger.token, wish.trigger.class_word, now_ms, name),
    )
    return add_job(db, (account, code), wish, place, now_ms)


def add_job(
    db: sqlite3.Connection,
    whose: tuple[AccountId, LoraCode],
    wish: TrainWish | GenerateWish,
    place: Place,
    now_ms: int,
) -> Job:
    """Queue a job."""
    kind = JobKind.TRAIN if isinstance(wish, TrainWish) else JobKind.GENERATE
    row = db.execute(
        "INSERT INTO jobs"
        " (kind, status, account, code, wish, platform, chat_id, user_id, created_ms, asked_by)"
        " VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            str(kind),
            *whose,
            msgspec.json.encode(wish).decode(),
            str(place.platform),
            place.chat_id,
            place.user_id,
            now_ms,
            asking().by or None,
        ),
    ).fetchone()
    return job_of(row)


def _free_place(db: sqlite3.Connection, account: AccountId) -> int | None:
    """Give the place in the set that the next photo is to take, if that is free."""
    row = db.execute(
        "SELECT swaps FROM photo_sets WHERE account = :account AND swaps NOT IN"
        " (SELECT place FROM photos WHERE account = :account AND job IS NULL AND place IS NOT NULL)",
        {"account": account},
    ).fetchone()
    return None if row is None else row["swaps"]


def _chosen(db: sqlite3.Connection, account: AccountId, wished: Trigger) -> tuple[str, str]:
    """Give the class word and the name that were chosen for the set that is being collected."""
    row = db.execute("SELECT class_word, name FROM photo_sets WHERE account = ?", (account,)).fetchone()
    return (wished.class_word, "") if row is None else (row["class_word"], row["name"])


def _own_trigger(db: sqlite3.Connection, account: AccountId, wished: Trigger) -> Trigger:
    """Give the trigger as wished, with the token that the fewest Loras of the account have; mostly none."""
    rows = db.execute(
        "SELECT token, count(*) AS n FROM loras WHERE account = ? AND state IN ('training', 'ready')"
        " GROUP BY token",
        (account,),
    )
    used = {row["token"]: int(row["n"]) for row in rows}
    tokens = (wished.token, *INSTANCE_TOKENS)
    return replace(wished, token=min(tokens, key=lambda token: used.get(token, 0)))


def _new_code(db: sqlite3.Connection) -> LoraCode:
    for _ in range(_DRAWS):
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        given = (
            "SELECT 1 FROM loras WHERE code = :code UNION ALL SELECT 1 FROM spent_codes WHERE code = :code"
        )
        if db.execute(given, {"code": code}).fetchone() is None:
            return LoraCode(code)
    raise LedgerError("No free LoraCode was found.")
