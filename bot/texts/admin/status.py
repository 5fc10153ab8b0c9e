"""Replies to `/status` and `/logs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.jobs import Job, JobKind, LatencyStats
from bot.core.loras import format_code
from bot.core.messages import Reply
from bot.texts.language import ENGLISH, use_language
from bot.texts.words import format_duration, format_time_left, truncate
from gpu_worker.protocol import WorkerHealth

MAX_RUNNING_LISTED = 5

MAX_ERRORS_LISTED = 3

#: It stands below a picture, and Telegram allows no more there.
MAX_CHARS = 1024

_ERROR_CHARS = 90


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """An error and its time."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How the machine is doing. Counts and latencies are of the last 24 hours.

    `running_jobs` pairs each job with its remaining seconds, if known.
    """

    version: str
    uptime: timedelta
    health: WorkerHealth | None
    running_jobs: Sequence[tuple[Job, float | None]]
    queued_counts: Mapping[JobKind, int]
    done_count: int
    failed_count: int
    latencies: Mapping[JobKind, LatencyStats | None]
    pending_notices: int
    disk_free_bytes: int
    disk_total_bytes: int
    errors: Sequence[ErrorEntry] = ()
    is_paused: bool = False
    active_alerts: Sequence[str] = ()


def status_card(report: StatusReport, chart: bytes) -> Reply:
    """Return the status, always in English, under a chart of the last day."""
    with use_language(ENGLISH):
        return _format_status(report, chart)


def _format_status(report: StatusReport, chart: bytes) -> Reply:
    disk_percent = 100 * report.disk_free_bytes / report.disk_total_bytes
    lines = [
        f"LoraCode {report.version}, up for {format_duration(report.uptime.total_seconds())}",
        *(["Paused: no new jobs start until /resume"] if report.is_paused else []),
        *([f"Alerts: {', '.join(report.active_alerts)}"] if report.active_alerts else []),
        *_format_worker(report.health),
        *(_format_running(job, eta_s) for job, eta_s in report.running_jobs[:MAX_RUNNING_LISTED]),
        f"Waiting: {', '.join(f'{report.queued_counts[kind]} {kind}' for kind in JobKind)}",
        f"Last 24 hours: {report.done_count} done, {report.failed_count} failed",
        *(
            _format_latency(kind, latency)
            for kind, latency in report.latencies.items()
            if latency is not None
        ),
        f"Notices to send: {report.pending_notices}",
        f"Disk free: {_format_bytes(report.disk_free_bytes)} ({disk_percent:.0f} %)",
        *_format_errors(report.errors[:MAX_ERRORS_LISTED]),
    ]
    return Reply(truncate("\n".join(lines), MAX_CHARS), pictures=(chart,))


def error_list(entries: Sequence[ErrorEntry]) -> Reply:
    """Return the list of the last errors, newest first."""
    if not entries:
        return Reply("Nothing has gone wrong since I started.")
    return Reply("\n".join(_format_error(entry) for entry in entries))


def _format_worker(health: WorkerHealth | None) -> list[str]:
    if health is None:
        return ["Worker: down (starting, or restarting after a crash)"]
    load_state = "loaded" if health.base_model_loaded else health.loading or "not loaded yet"
    lines = [
        f"Base model: {health.base_model} ({load_state})",
        f"Device: {health.device}",
        f"Worker memory: {_format_bytes(health.process_memory_bytes)}",
    ]
    if health.family:
        lines.insert(1, f"Family: {health.family}, {health.licence}")
    if health.memory_plan:
        lines.append(f"Memory: {health.memory_plan}")
    if health.device_memory_used_bytes is not None and health.device_memory_total_bytes is not None:
        used_text, total_text = (
            _format_bytes(health.device_memory_used_bytes),
            _format_bytes(health.device_memory_total_bytes),
        )
        lines.append(f"Card memory: {used_text} of {total_text}")
    if health.device_temperature_c is not None:
        lines.append(f"Temperature: {health.device_temperature_c} °C")
    if health.device_load_percent is not None:
        lines.append(f"Load: {health.device_load_percent} %")
    return lines


def _format_running(job: Job, eta_s: float | None) -> str:
    parts = [f"Running: {job.kind} {format_code(job.code)}"]
    parts.append(f"step {job.step} of {job.steps}" if job.steps else "getting ready")
    if eta_s is not None:
        parts.append(format_time_left(eta_s))
    return ", ".join(parts)


def _format_latency(kind: JobKind, latency: LatencyStats) -> str:
    wait_text, run_text = (
        " / ".join(_format_seconds(seconds) for seconds in pair) for pair in (latency.wait_s, latency.run_s)
    )
    return f"{kind}, median / 95 %: waited {wait_text}, ran {run_text}"


def _format_errors(entries: Sequence[ErrorEntry]) -> list[str]:
    return ["Last errors:", *(_format_error(entry, _ERROR_CHARS) for entry in entries)] if entries else []


def _format_error(entry: ErrorEntry, max_chars: int = 200) -> str:
    return f"{entry.at:%m-%d %H:%M} {truncate(entry.text, max_chars)}"


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else format_duration(seconds)


def _format_bytes(size_bytes: int) -> str:
    gigabytes = size_bytes / 2**30
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{size_bytes / 2**20:.0f} MB"
