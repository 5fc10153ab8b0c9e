"""What administrators read after their commands, and what others read of what they decided.

What only administrators read is in English alone, as are `ADMINS`, the settings and the log.

What an administrator reads after `/status`.

What administrators are woken with; in English, like all that is theirs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.accounts import Identity, Platform, Quota, Role, Standing
from bot.core.jobs import Job, JobKind, Times
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Reply
from bot.core.monitoring import Act, Alarm, Finding, Report
from bot.texts.language import ENGLISH, say, use_language
from bot.texts.words import left, plural, quoted, span
from gpu_worker.protocol import Health

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


def not_on_the_list(who: Identity) -> str:
    """Refuse somebody whom the settings do not name."""
    return say("not-on-the-list", identity=str(who))


def invitation_first(platform: Platform) -> str:
    """Refuse somebody who has not shown a word."""
    return say(f"invitation-first-{platform}")


def draining(running: int) -> Reply:
    """Say that the bot ends once its jobs have."""
    return Reply(
        f"I finish {running} running job{plural(running)}, then stop. What waits is for the next start."
    )


def banned(people: Sequence[Identity], jobs: int) -> Reply:
    """Confirm that the bot is closed to somebody."""
    return Reply(f"Closed to {_names(people)}; {jobs} job{plural(jobs)} of theirs stopped.")


def unbanned(people: Sequence[Identity]) -> Reply:
    """Confirm that the bot is open to somebody again."""
    return Reply(f"Open to {_names(people)} again.")


def quota(people: Sequence[Identity], standing: Standing, quota: Quota, used: tuple[int, int]) -> Reply:
    """Say what a person may ask for, and what they did."""
    trainings, pictures = used
    return Reply(
        f"{_names(people)} ({standing.role}{', banned' if standing.is_banned else ''})\n"
        f"Trainings a day: {_limit(quota.trainings_a_day)}, {trainings} used\n"
        f"Pictures an hour: {_limit(quota.pictures_an_hour)}, {pictures} used\n"
        f"To change it: {HOW_TO_QUOTA}"
    )


def taken_down(code: LoraCode, pictures: int, jobs: int) -> Reply:
    """Confirm that everything of a Lora is gone."""
    return Reply(
        f"{format_code(code)} is gone, with {jobs} job{plural(jobs)} and {pictures} file{plural(pictures)}."
    )


def your_code_was_taken_down(code: LoraCode) -> str:
    """Tell the owner of a Lora what happened to it."""
    return say("your-code-was-taken-down", code=format_code(code))


def broadcast(people: int) -> Reply:
    """Confirm that everybody will be written to."""
    return Reply(f"I write that to {people} {'person' if people == 1 else 'people'}, one after another.")


def invitation(word: str, days: int) -> Reply:
    """Hand out a word that lets somebody in."""
    return Reply(
        f"{word}\nWhoever sends me this word first may use me. It works once, for {days} days. "
        f"On Telegram it may also come behind /start."
    )


def acts(done: Sequence[Act]) -> str:
    """List what administrators did."""
    if not done:
        return ""
    lines = [f"{each.at:%m-%d %H:%M} {each.admin} /{each.command} {quoted(each.about, 60)}" for each in done]
    return "\n".join(["", "Administrators:", *(line.rstrip() for line in lines)])


def report_letter(code: LoraCode, who: str, words: str) -> str:
    """Tell an administrator of a report."""
    told = f": {words}" if words else ", without a word why"
    return (
        f"{who} reports {format_code(code)}{told}\n/takedown {code} deletes it; /reports lists the last ones."
    )


def reports(told: Sequence[Report]) -> Reply:
    """List what people reported, for administrators."""
    if not told:
        return Reply(NO_REPORTS)
    lines = [
        f"{each.at:%m-%d %H:%M} {format_code(each.code)} {each.who or 'somebody'} "
        f"{quoted(each.words, 160)}".rstrip()
        for each in told
    ]
    return Reply("\n".join(lines))


def trainings_used_up(most: int) -> str:
    """Refuse a training that would be one too many."""
    return say("trainings-used-up", most=most)


def pictures_used_up(most: int) -> str:
    """Refuse pictures that would be too many."""
    return say("pictures-used-up", most=most)


def queue_full(waiting: int, room_in_s: float) -> str:
    """Say that nobody else can be put in line, and until when."""
    return say("queue-full", count=waiting, span=span(room_in_s))


def chat_full(jobs: int, room_in_s: float) -> str:
    """Say that a chat has as much in line as it may, and until when."""
    return say("chat-full", count=jobs, span=span(room_in_s))


def not_drawn_here(words: str) -> str:
    """Refuse words that the operator has ruled out."""
    return say("not-drawn-here", words=words)


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _names(people: Sequence[Identity]) -> str:
    return ", ".join(str(each) for each in people)


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


_MAX_WORDS = 300


_OVER = {
    Alarm.WORKER: "the worker is up and stays up.",
    Alarm.CARD_LOST: "the graphics card is back.",
    Alarm.CARD_HOT: "the graphics card has cooled down.",
    Alarm.DISK: "the disk has room again.",
    Alarm.QUEUE: "nothing waits for long any more.",
    Alarm.BACKUP: "the last backup was made.",
}


def alarm(finding: Finding) -> str:
    """Wake an administrator, and say what to do."""
    return f"Alarm: {_told(finding)}"


def alarm_over(finding: Finding) -> str:
    """Say that an alarm is over."""
    return f"Over: {_OVER[finding.alarm]}"


def _told(finding: Finding) -> str:
    match finding.alarm:
        case Alarm.WORKER if finding.figure:
            times = f"{finding.figure:.0f} time{plural(round(finding.figure))}"
            return f"the worker keeps dying, {times} in ten minutes. /logs and the bot's log say why."
        case Alarm.WORKER:
            return "there has been no worker for five minutes. The bot's log says why it does not start."
        case Alarm.CARD_LOST:
            card = finding.words or "the graphics card"
            return f"{card} is gone; jobs run without it, or not at all. Look at nvidia-smi, then restart."
        case Alarm.CARD_HOT:
            return f"the graphics card is at {finding.figure:.0f} °C. Look at its fan; /pause lets it cool."
        case Alarm.DISK:
            return f"{finding.figure:.1f} % of the disk is free. Make room, or photos will be refused soon."
        case Alarm.QUEUE:
            return f"something has been waiting for {span(finding.figure)}. /status shows the queue."
        case Alarm.BACKUP:
            return f"the backup failed; it is tried again every hour. {quoted(finding.words, _MAX_WORDS)}"
