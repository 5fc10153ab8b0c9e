"""Between rows and the nouns of `bot.core`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bot.core.accounts import AccountId, Place, Platform
from bot.core.jobs import Draft, GenerateWish, Job, JobId, JobKind, JobStatus, Picture, TrainWish
from bot.core.likeness import LikenessReport, Pick
from bot.core.loras import Allowed, Lora, LoraCode, LoraState, Share, Trigger
from bot.core.monitoring import Sample
from bot.core.outbox import Notice, NoticeId, NoticeKind
from bot.core.photos import PhotoSet

#: Nothing is put off for longer; what seems to be was so before the clock was set back, and is due.
MAX_WAIT_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the photos given: one `accepted` each, the size of the set, the job it started.

    `before` is the set as it was, with the message that showed it.
    """

    accepted: tuple[bool, ...]
    held: int
    job: Job | None
    before: PhotoSet


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is."""

    jobs: dict[tuple[JobKind, JobStatus], int]
    loras: dict[LoraState, int]
    notices_owed: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Named:
    """The files that rows name; whatever else lies beside them has no owner."""

    loras: frozenset[str]
    pictures: frozenset[str]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted for good; files and attempts that went with it are for the caller to end."""

    codes: tuple[LoraCode, ...]
    photos: tuple[str, ...]  #: SHA-256 of each one's bytes
    pictures: tuple[str, ...]  #: names of files
    jobs: tuple[JobId, ...]
    open_jobs: tuple[JobId, ...]  #: those of them that waited or ran
    platforms: tuple[str, ...]


def ms(time: datetime) -> int:
    """Give a time as stored: whole milliseconds since 1970, UTC."""
    return round(time.timestamp() * 1000)


def time_of(value: int) -> datetime:
    """Read a stored time."""
    return datetime.fromtimestamp(value / 1000, UTC)


def job_of(row: sqlite3.Row) -> Job:
    """Read a row of `jobs`."""
    kind = JobKind(row["kind"])
    wish: TrainWish | GenerateWish
    if kind is JobKind.TRAIN:
        wish = msgspec.json.decode(row["wish"], type=TrainWish)
    else:
        wish = msgspec.json.decode(row["wish"], type=GenerateWish)
    return Job(
        id=JobId(row["id"]),
        kind=kind,
        status=JobStatus(row["status"]),
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        wish=wish,
        place=Place(Platform(row["platform"]), row["chat_id"], row["user_id"]),
        attempt=row["attempt"],
        losses=row["losses"],
        step=row["step"],
        steps=row["steps"],
        card_message_id=row["card_message_id"],
        error=row["error"],
        created_at=time_of(row["created_ms"]),
        started_at=None if row["started_ms"] is None else time_of(row["started_ms"]),
        finished_at=None if row["finished_ms"] is None else time_of(row["finished_ms"]),
        begun_at=None if row["begun_ms"] is None else time_of(row["begun_ms"]),
        begun_step=row["begun_step"],
        likeness=_report(row["likeness"]) if row["likeness"] and kind is JobKind.TRAIN else None,
        pick=_pick(row["likeness"]) if row["likeness"] and kind is JobKind.GENERATE else None,
    )


def picture_of(row: sqlite3.Row) -> Picture:
    """Read a row of `pictures`."""
    deleted = row["deleted_ms"] is not None
    return Picture(JobId(row["job"]), row["number"], row["file"], row["recipe"], deleted)


def draft_of(row: sqlite3.Row) -> Draft:
    """Read a row of `drafts`."""
    return Draft(
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        wish=msgspec.json.decode(row["wish"], type=GenerateWish),
        place=Place(Platform(row["platform"]), row["chat_id"], row["user_id"]),
    )


def share_of(row: sqlite3.Row) -> Share:
    """Read a row of `shares`."""
    return Share(
        number=row["number"],
        code=LoraCode(row["code"]),
        account=AccountId(row["account"]),
        allowed=Allowed(row["allowed"]),
        asker=row["asker"],
        place=Place(Platform(row["platform"]), row["chat_id"], row["user_id"]),
    )


def lora_of(row: sqlite3.Row) -> Lora:
    """Read a row of `loras`."""
    return Lora(
        code=LoraCode(row["code"]),
        account=AccountId(row["account"]),
        trigger=Trigger(row["token"], row["class_word"]),
        state=LoraState(row["state"]),
        file=row["file"],
        sha256=row["sha256"],
        created_at=time_of(row["created_ms"]),
        ready_at=None if row["ready_ms"] is None else time_of(row["ready_ms"]),
        name=row["name"],
        likeness=None if row["likeness"] is None else _report(row["likeness"]),
        steps=row["steps"],
    )


def _report(text: str) -> LikenessReport:
    return msgspec.json.decode(text, type=LikenessReport)


def _pick(text: str) -> Pick:
    return msgspec.json.decode(text, type=Pick)


def sample_of(row: sqlite3.Row) -> Sample:
    """Read a row of `samples`."""
    return Sample(
        at=time_of(row["at_ms"]),
        waiting={JobKind.TRAIN: row["waiting_train"], JobKind.GENERATE: row["waiting_generate"]},
        device=row["device"],
        load_percent=row["load_percent"],
        memory_used_bytes=row["memory_used_bytes"],
        memory_total_bytes=row["memory_total_bytes"],
        temperature_c=row["temperature_c"],
        worker_deaths=row["worker_deaths"],
    )


def notice_of(row: sqlite3.Row, job: Job) -> Notice:
    """Read a row of `notices`."""
    return Notice(
        id=NoticeId(row["id"]),
        kind=NoticeKind(row["kind"]),
        job=job,
        files=tuple(msgspec.json.decode(row["files"], type=list[str])),
        tries=row["tries"],
        next_try_at=time_of(row["next_try_ms"]),
    )
