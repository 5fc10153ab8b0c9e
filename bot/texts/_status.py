"""What an administrator reads after `/status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.domain import Job, JobKind, JobStatus, format_code
from bot.replies import Reply
from bot.texts._words import left, span
from gpu_worker.protocol import Health

MAX_RUNNING_LISTED = 10


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How the machine is doing. `running` pairs a job with the seconds it still takes, where known."""

    version: str
    uptime: timedelta
    health: Health | None
    running: Sequence[tuple[Job, float | None]]
    jobs: Mapping[tuple[JobKind, JobStatus], int]
    notices_owed: int
    disk_free_bytes: int


def status(report: StatusReport) -> Reply:
    """Write how the machine is doing."""
    waiting = [f"{report.jobs.get((kind, JobStatus.QUEUED), 0)} {kind}" for kind in JobKind]
    ended = [f"{_total(report, status)} {status}" for status in (JobStatus.DONE, JobStatus.FAILED)]
    lines = [
        f"LoraCode {report.version}, up for {span(report.uptime.total_seconds())}",
        *_worker(report.health),
        *(_running(job, eta_s) for job, eta_s in report.running[:MAX_RUNNING_LISTED]),
        f"Waiting: {', '.join(waiting)}",
        f"Jobs: {', '.join(ended)}",
        f"Notices owed: {report.notices_owed}",
        f"Disk free: {_size(report.disk_free_bytes)}",
    ]
    return Reply("\n".join(lines))


def _worker(health: Health | None) -> list[str]:
    if health is None:
        return ["Worker: not there (starting, or it died and is being restarted)"]
    loaded = "loaded" if health.base_model_loaded else "not loaded yet"
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


def _total(report: StatusReport, status: JobStatus) -> int:
    return sum(count for (_, each), count in report.jobs.items() if each is status)


def _size(count: int) -> str:
    gigabytes = count / 2**30
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{count / 2**20:.0f} MB"
