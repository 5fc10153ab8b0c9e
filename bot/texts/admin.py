"""What administrators read after their commands, and what others read of what they decided.

What only administrators read is in English alone, as are `ADMINS`, the settings and the log.

What an administrator reads after `/status`.

What administrators are woken with; in English, like all that is theirs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.accounts import AccessStatus, Identity, Quota, Role
from bot.core.jobs import Job, JobKind, LatencyStats
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Reply
from bot.core.monitoring import AbuseReport, Alert, AlertKind, AuditEntry
from bot.texts.language import ENGLISH, use_language
from bot.texts.words import format_duration, format_time_left, plural_suffix, truncate
from gpu_worker.protocol import WorkerHealth

#: What each command of administrators does, and what is written after it.
ADMIN_COMMANDS = {
    "status": ("how the machine is doing, with a picture of the last day", ""),
    "logs": ("the last errors, and what administrators did last", ""),
    "reports": ("what people reported last", ""),
    "pause": ("let no new job begin; what runs goes on", ""),
    "resume": ("let jobs begin again", ""),
    "drain": ("finish what runs, then stop the bot", ""),
    "ban": ("close the bot to a person and stop their jobs", "person"),
    "unban": ("open the bot to a person again", "person"),
    "quota": ("what a person may ask for; with numbers or a role: change it", "person"),
    "takedown": ("delete a LoraCode with all that was drawn with it", "code"),
    "broadcast": ("write to everybody", "text"),
    "invite": ("a word that lets one person in", ""),
}


PAUSED = (
    "Paused: what runs goes on, nothing new begins. People can still ask; it waits in line. /resume ends it."
)


RESUMED = "Jobs begin again."


WHICH_PERSON = "Write the person after it: telegram:123, discord:456, or one of their LoraCodes."


NO_SUCH_PERSON = "I do not know this person. " + WHICH_PERSON


NOT_AN_ADMIN = "That is an administrator. Take them out of ADMINS first."


NOT_BANNED = "The bot was not closed to them."


NO_REPORTS = "Nobody has reported anything."


NO_SUCH_CODE = "There is no LoraCode like that."


BROADCAST_WHAT = "Write the text after it, {most} characters at most: /broadcast <text>"


HOW_TO_QUOTA = (
    "After the person write two numbers (trainings a day, pictures an hour; - is the role's own), "
    f"or a role: {', '.join(Role)}."
)


def drain_started(running_count: int) -> Reply:
    """Return the reply that says that the bot ends once its jobs have."""
    return Reply(
        f"I finish {running_count} running job{plural_suffix(running_count)}, then stop. "
        f"What waits is for the next start."
    )


def person_banned(identities: Sequence[Identity], job_count: int) -> Reply:
    """Confirm that the bot is closed to somebody."""
    return Reply(
        f"Closed to {_format_identities(identities)}; "
        f"{job_count} job{plural_suffix(job_count)} of theirs stopped."
    )


def person_unbanned(identities: Sequence[Identity]) -> Reply:
    """Confirm that the bot is open to somebody again."""
    return Reply(f"Open to {_format_identities(identities)} again.")


def quota_status(
    identities: Sequence[Identity], access_status: AccessStatus, quota: Quota, usage: tuple[int, int]
) -> Reply:
    """Return the reply that says what a person may ask for, and what they did."""
    training_count, picture_count = usage
    return Reply(
        f"{_format_identities(identities)} "
        f"({access_status.role}{', banned' if access_status.is_banned else ''})\n"
        f"Trainings a day: {_format_limit(quota.trainings_per_day)}, {training_count} used\n"
        f"Pictures an hour: {_format_limit(quota.pictures_per_hour)}, {picture_count} used\n"
        f"To change it: {HOW_TO_QUOTA}"
    )


def lora_taken_down(code: LoraCode, picture_count: int, job_count: int) -> Reply:
    """Confirm that everything of a Lora is gone."""
    return Reply(
        f"{format_code(code)} is gone, with {job_count} job{plural_suffix(job_count)} "
        f"and {picture_count} file{plural_suffix(picture_count)}."
    )


def broadcast_started(recipient_count: int) -> Reply:
    """Confirm that everybody will be written to."""
    return Reply(
        f"I write that to {recipient_count} {'person' if recipient_count == 1 else 'people'}, "
        "one after another."
    )


def invitation_created(token: str, days: int) -> Reply:
    """Hand out a word that lets somebody in."""
    return Reply(
        f"{token}\nWhoever sends me this word first may use me. It works once, for {days} days. "
        f"On Telegram it may also come behind /start."
    )


def audit_log(entries: Sequence[AuditEntry]) -> str:
    """List what administrators did."""
    if not entries:
        return ""
    lines = [
        f"{entry.created_at:%m-%d %H:%M} {entry.admin} /{entry.command} {truncate(entry.details, 60)}"
        for entry in entries
    ]
    return "\n".join(["", "Administrators:", *(line.rstrip() for line in lines)])


def report_message(code: LoraCode, reporter: str, reason: str) -> str:
    """Tell an administrator of a report."""
    reason_text = f": {reason}" if reason else ", without a word why"
    return (
        f"{reporter} reports {format_code(code)}{reason_text}\n"
        f"/takedown {code} deletes it; /reports lists the last ones."
    )


def report_list(items: Sequence[AbuseReport]) -> Reply:
    """List what people reported, for administrators."""
    if not items:
        return Reply(NO_REPORTS)
    lines = [
        f"{report.created_at:%m-%d %H:%M} {format_code(report.code)} {report.reporter or 'somebody'} "
        f"{truncate(report.text, 160)}".rstrip()
        for report in items
    ]
    return Reply("\n".join(lines))


def _format_limit(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _format_identities(identities: Sequence[Identity]) -> str:
    return ", ".join(str(identity) for identity in identities)


MAX_RUNNING_LISTED = 5


MAX_ERRORS_LISTED = 3


#: It stands below a picture, and Telegram allows no more there.
MAX_CHARS = 1024


_ERROR_CHARS = 90


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """Something that went wrong, and when."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How the machine is doing. `running` pairs a job with the seconds it still takes, where known; what is
    said of a day is of the last 24 hours."""

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
    """Write how the machine is doing, under a picture of its day; in English, like all of administrators'."""
    with use_language(ENGLISH):
        return _format_status(report, chart)


def _format_status(report: StatusReport, chart: bytes) -> Reply:
    disk_percent = 100 * report.disk_free_bytes / report.disk_total_bytes
    lines = [
        f"LoraCode {report.version}, up for {format_duration(report.uptime.total_seconds())}",
        *(["Paused: nothing new begins until /resume"] if report.is_paused else []),
        *([f"Alarms: {', '.join(report.active_alerts)}"] if report.active_alerts else []),
        *_format_worker(report.health),
        *(_format_running(job, eta_s) for job, eta_s in report.running_jobs[:MAX_RUNNING_LISTED]),
        f"Waiting: {', '.join(f'{report.queued_counts[kind]} {kind}' for kind in JobKind)}",
        f"Last 24 hours: {report.done_count} done, {report.failed_count} failed",
        *(
            _format_latency(kind, latency)
            for kind, latency in report.latencies.items()
            if latency is not None
        ),
        f"Notices owed: {report.pending_notices}",
        f"Disk free: {_format_bytes(report.disk_free_bytes)} ({disk_percent:.0f} %)",
        *_format_errors(report.errors[:MAX_ERRORS_LISTED]),
    ]
    return Reply(truncate("\n".join(lines), MAX_CHARS), pictures=(chart,))


def error_list(entries: Sequence[ErrorEntry]) -> Reply:
    """List what went wrong, the newest first."""
    if not entries:
        return Reply("Nothing went wrong since I was started.")
    return Reply("\n".join(_format_error(entry) for entry in entries))


def _format_worker(health: WorkerHealth | None) -> list[str]:
    if health is None:
        return ["Worker: not there (starting, or it died and is being restarted)"]
    load_state = "loaded" if health.base_model_loaded else health.loading or "not loaded yet"
    lines = [
        f"Base model: {health.base_model} ({load_state})",
        f"Device: {health.device}",
        f"Worker memory: {_format_bytes(health.process_memory_bytes)}",
    ]
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


_MAX_ERROR_CHARS = 300


_RESOLVED_TEXTS = {
    AlertKind.WORKER: "the worker is up and stays up.",
    AlertKind.GPU_LOST: "the graphics card is back.",
    AlertKind.GPU_HOT: "the graphics card has cooled down.",
    AlertKind.DISK: "the disk has room again.",
    AlertKind.QUEUE: "nothing waits for long any more.",
    AlertKind.BACKUP: "the last backup was made.",
}


def alert_raised(alert: Alert) -> str:
    """Wake an administrator, and say what to do."""
    return f"Alarm: {_describe_alert(alert)}"


def alert_resolved(alert: Alert) -> str:
    """Return the text that says that an alarm is over."""
    return f"Over: {_RESOLVED_TEXTS[alert.kind]}"


def _describe_alert(alert: Alert) -> str:
    match alert.kind:
        case AlertKind.WORKER if alert.value:
            count_text = f"{alert.value:.0f} time{plural_suffix(round(alert.value))}"
            return f"the worker keeps dying, {count_text} in ten minutes. /logs and the bot's log say why."
        case AlertKind.WORKER:
            return "there has been no worker for five minutes. The bot's log says why it does not start."
        case AlertKind.GPU_LOST:
            gpu_name = alert.text or "the graphics card"
            return (
                f"{gpu_name} is gone; jobs run without it, or not at all. Look at nvidia-smi, then restart."
            )
        case AlertKind.GPU_HOT:
            return f"the graphics card is at {alert.value:.0f} °C. Look at its fan; /pause lets it cool."
        case AlertKind.DISK:
            return f"{alert.value:.1f} % of the disk is free. Make room, or photos will be refused soon."
        case AlertKind.QUEUE:
            return f"something has been waiting for {format_duration(alert.value)}. /status shows the queue."
        case AlertKind.BACKUP:
            return (
                f"the backup failed; it is tried again every hour. {truncate(alert.text, _MAX_ERROR_CHARS)}"
            )
