"""What an administrator reads after `/status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import Job, JobKind, Times, format_code
from bot.replies import Reply
from bot.texts._language import ENGLISH, use_language
from bot.texts._words import left, quoted, span
from gpu_worker.protocol import Health

MAX_RUNNING_LISTED = 5
MAX_ERRORS_LISTED = 3
#: It stands below a picture, and Telegram allows no more there.
MAX_CHARS = 1024
_ERROR_CHARS = 90


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that went wrong, and when."""

    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How the machine is doing. `running` pairs a job with the seconds it still takes, where known; what is
    said of a day is of the last 24 hours."""

    version: str
    uptime: timedelta
    health: Health | None
    running: Sequence[tuple[Job, float | None]]
    waiting: Mapping[JobKind, int]
    done: int
    failed: int
    times: Mapping[JobKind, Times | None]
    notices_owed: int
    disk_free_bytes: int
    disk_total_bytes: int
    errors: Sequence[Happened] = ()
    is_paused: bool = False
    alarms: Sequence[str] = ()


def status(report: StatusReport, chart: bytes) -> Reply:
    """Write how the machine is doing, under a picture of its day; in English, like all of administrators'."""
    with use_language(ENGLISH):
        return _status(report, chart)


def _status(report: StatusReport, chart: bytes) -> Reply:
    disk_percent = 100 * report.disk_free_bytes / report.disk_total_bytes
    lines = [
        f"LoraCode {report.version}, up for {span(report.uptime.total_seconds())}",
        *(["Paused: nothing new begins until /resume"] if report.is_paused else []),
        *([f"Alarms: {', '.join(report.alarms)}"] if report.alarms else []),
        *_worker(report.health),
        *(_running(job, eta_s) for job, eta_s in report.running[:MAX_RUNNING_LISTED]),
        f"Waiting: {', '.join(f'{report.waiting[kind]} {kind}' for kind in JobKind)}",
        f"Last 24 hours: {report.done} done, {report.failed} failed",
        *(_times(kind, times) for kind, times in report.times.items() if times is not None),
        f"Notices owed: {report.notices_owed}",
        f"Disk free: {_size(report.disk_free_bytes)} ({disk_percent:.0f} %)",
        *_errors(report.errors[:MAX_ERRORS_LISTED]),
    ]
    return Reply(quoted("\n".join(lines), MAX_CHARS), pictures=(chart,))


def errors(happened: Sequence[Happened]) -> Reply:
    """List what went wrong, the newest first."""
    if not happened:
        return Reply("Nothing went wrong since I was started.")
    return Reply("\n".join(_happened(each) for each in happened))


def _worker(health: Health | None) -> list[str]:
    if health is None:
        return ["Worker: not there (starting, or it died and is being restarted)"]
    loaded = "loaded" if health.base_model_loaded else health.loading or "not loaded yet"
    lines = [
        f"Base model: {health.base_model} ({loaded})",
        f"Device: {health.device}",
        f"Worker memory: {_size(health.process_memory_bytes)}",
    ]
    if health.device_memory_used_bytes is not None and health.device_memory_total_bytes is not None:
        used, total = _size(health.device_memory_used_bytes), _size(health.device_memory_total_bytes)
        lines.append(f"Card memory: {used} of {total}")
    if health.device_temperature_c is not None:
        lines.append(f"Temperature: {health.device_temperature_c} °C")
    if health.device_load_percent is not None:
        lines.append(f"Load: {health.device_load_percent} %")
    return lines


def _running(job: Job, eta_s: float | None) -> str:
    parts = [f"Running: {job.kind} {format_code(job.code)}"]
    parts.append(f"step {job.step} of {job.steps}" if job.steps else "getting ready")
    if eta_s is not None:
        parts.append(left(eta_s))
    return ", ".join(parts)


def _times(kind: JobKind, times: Times) -> str:
    waited, ran = (" / ".join(_seconds(each) for each in pair) for pair in (times.waited_s, times.ran_s))
    return f"{kind}, median / 95 %: waited {waited}, ran {ran}"


def _errors(happened: Sequence[Happened]) -> list[str]:
    return ["Last errors:", *(_happened(each, _ERROR_CHARS) for each in happened)] if happened else []


def _happened(each: Happened, most: int = 200) -> str:
    return f"{each.at:%m-%d %H:%M} {quoted(each.words, most)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else span(seconds)


def _size(count: int) -> str:
    gigabytes = count / 2**30
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{count / 2**20:.0f} MB"
