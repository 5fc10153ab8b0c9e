"""Between rows and the nouns of `bot.core`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.jobs import Draft, GenerationParams, Job, JobId, JobKind, JobStatus, Picture, TrainingParams
from bot.core.likeness import LikenessReport, PictureSelection
from bot.core.loras import Lora, LoraCode, LoraState, Permission, Share, Trigger
from bot.core.monitoring import MonitorSample
from bot.core.outbox import Notice, NoticeId, NoticeKind
from bot.core.photos import PhotoSet

#: Nothing is put off for longer; what seems to be was so before the clock was set back, and is due.
MAX_RETRY_DELAY_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class AddPhotosResult:
    """What became of the photos given: one `accepted` each, the size of the set, the job it started.

    `before` is the set as it was, with the message that showed it.
    """

    accepted: tuple[bool, ...]
    photo_count: int
    job: Job | None
    previous_set: PhotoSet


@dataclass(frozen=True, slots=True)
class TableCounts:
    """How much of everything there is."""

    jobs: dict[tuple[JobKind, JobStatus], int]
    loras: dict[LoraState, int]
    pending_notices: int
    accounts: int


@dataclass(frozen=True, slots=True)
class ReferencedFiles:
    """The files that rows name; whatever else lies beside them has no owner."""

    loras: frozenset[str]
    pictures: frozenset[str]


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was deleted for good; files and attempts that went with it are for the caller to end."""

    codes: tuple[LoraCode, ...]
    photos: tuple[str, ...]  #: SHA-256 of each one's bytes
    pictures: tuple[str, ...]  #: names of files
    jobs: tuple[JobId, ...]
    open_jobs: tuple[JobId, ...]  #: those of them that waited or ran
    platforms: tuple[str, ...]


def to_ms(time: datetime) -> int:
    """Give a time as stored: whole milliseconds since 1970, UTC."""
    return round(time.timestamp() * 1000)


def from_ms(value: int) -> datetime:
    """Read a stored time."""
    return datetime.fromtimestamp(value / 1000, UTC)


def job_from_row(row: sqlite3.Row) -> Job:
    """Read a row of `jobs`."""
    kind = JobKind(row["kind"])
    params: TrainingParams | GenerationParams
    if kind is JobKind.TRAIN:
        params = msgspec.json.decode(row["wish"], type=TrainingParams)
    else:
        params = msgspec.json.decode(row["wish"], type=GenerationParams)
    return Job(
        id=JobId(row["id"]),
        kind=kind,
        status=JobStatus(row["status"]),
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        params=params,
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
        attempt=row["attempt"],
        lost_attempts=row["losses"],
        step=row["step"],
        steps=row["steps"],
        card_message_id=row["card_message_id"],
        error=row["error"],
        created_at=from_ms(row["created_ms"]),
        started_at=None if row["started_ms"] is None else from_ms(row["started_ms"]),
        finished_at=None if row["finished_ms"] is None else from_ms(row["finished_ms"]),
        attempt_started_at=None if row["begun_ms"] is None else from_ms(row["begun_ms"]),
        attempt_start_step=row["begun_step"],
        likeness=_decode_report(row["likeness"]) if row["likeness"] and kind is JobKind.TRAIN else None,
        selection=_decode_selection(row["likeness"])
        if row["likeness"] and kind is JobKind.GENERATE
        else None,
    )


def picture_from_row(row: sqlite3.Row) -> Picture:
    """Read a row of `pictures`."""
    is_deleted = row["deleted_ms"] is not None
    return Picture(JobId(row["job"]), row["number"], row["file"], row["recipe"], is_deleted)


def draft_from_row(row: sqlite3.Row) -> Draft:
    """Read a row of `drafts`."""
    return Draft(
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        params=msgspec.json.decode(row["wish"], type=GenerationParams),
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
    )


def share_from_row(row: sqlite3.Row) -> Share:
    """Read a row of `shares`."""
    return Share(
        number=row["number"],
        code=LoraCode(row["code"]),
        account=AccountId(row["account"]),
        permission=Permission(row["allowed"]),
        requester_name=row["asker"],
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
    )


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
        likeness=None if row["likeness"] is None else _decode_report(row["likeness"]),
        steps=row["steps"],
    )


def _decode_report(text: str) -> LikenessReport:
    return msgspec.json.decode(text, type=LikenessReport)


def _decode_selection(text: str) -> PictureSelection:
    return msgspec.json.decode(text, type=PictureSelection)


def sample_from_row(row: sqlite3.Row) -> MonitorSample:
    """Read a row of `samples`."""
    return MonitorSample(
        at=from_ms(row["at_ms"]),
        queued_counts={JobKind.TRAIN: row["waiting_train"], JobKind.GENERATE: row["waiting_generate"]},
        device=row["device"],
        load_percent=row["load_percent"],
        memory_used_bytes=row["memory_used_bytes"],
        memory_total_bytes=row["memory_total_bytes"],
        temperature_c=row["temperature_c"],
        worker_crashes=row["worker_deaths"],
    )


def notice_from_row(row: sqlite3.Row, job: Job) -> Notice:
    """Read a row of `notices`."""
    return Notice(
        id=NoticeId(row["id"]),
        kind=NoticeKind(row["kind"]),
        job=job,
        files=tuple(msgspec.json.decode(row["files"], type=list[str])),
        tries=row["tries"],
        next_try_at=from_ms(row["next_try_ms"]),
    )
