"""Replies to the commands of administrators, except `/status` and `/logs`."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.accounts import AccessStatus, Identity, Quota, Role
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Reply
from bot.core.monitoring import AbuseReport, AuditEntry
from bot.texts.words import plural_suffix, truncate

#: What each command of administrators does, and what is written after it.
ADMIN_COMMANDS = {
    "status": ("how the machine is doing, with a picture of the last day", ""),
    "logs": ("the last errors, and what administrators did last", ""),
    "reports": ("what people reported last", ""),
    "pause": ("start no new jobs; running ones go on", ""),
    "resume": ("start new jobs again", ""),
    "drain": ("finish running jobs, then stop the bot", ""),
    "ban": ("ban a person and stop their jobs", "person"),
    "unban": ("lift a ban", "person"),
    "quota": ("what a person may ask for; numbers or a role change it", "person"),
    "takedown": ("delete a LoraCode and everything drawn with it", "code"),
    "broadcast": ("write to everybody", "text"),
    "invite": ("create a word that lets one person in", ""),
}


def describe_argument(argument: str) -> str:
    """Return what is to be typed after a command, all in one field."""
    return f"{argument}, and what else belongs to it"


PAUSED = (
    "Paused: running jobs go on, and no new ones start. People can still ask; their jobs wait in line. "
    "/resume ends the pause."
)

RESUMED = "New jobs start again."

WHICH_PERSON = "Write the person after the command: telegram:123, discord:456, or one of their LoraCodes."

NO_SUCH_PERSON = "I do not know this person. " + WHICH_PERSON

NOT_AN_ADMIN = "That is an administrator. Take them out of ADMINS first."

NOT_BANNED = "They were not banned."

NO_REPORTS = "Nobody has reported anything."

NO_SUCH_CODE = "There is no such LoraCode."

BROADCAST_WHAT = "Write the text after the command, {most} characters at most: /broadcast <text>"

HOW_TO_QUOTA = (
    "After the person, write two numbers (trainings a day and pictures an hour; - means the role's own) "
    f"or a role: {', '.join(Role)}."
)


def drain_started(running_count: int) -> Reply:
    """Return the reply that says that the bot stops after its running jobs."""
    return Reply(
        f"I will finish {running_count} running job{plural_suffix(running_count)}, then stop. "
        "Waiting jobs start when the bot starts again."
    )


def person_banned(identities: Sequence[Identity], job_count: int) -> Reply:
    """Return the reply that confirms a ban."""
    return Reply(
        f"Banned: {_format_identities(identities)}; "
        f"{job_count} job{plural_suffix(job_count)} of theirs stopped."
    )


def person_unbanned(identities: Sequence[Identity]) -> Reply:
    """Return the reply that confirms that a ban is lifted."""
    return Reply(f"No longer banned: {_format_identities(identities)}.")


def quota_status(
    identities: Sequence[Identity], access_status: AccessStatus, quota: Quota, usage: tuple[int, int]
) -> Reply:
    """Return the reply that shows a person's role, limits and use."""
    training_count, picture_count = usage
    return Reply(
        f"{_format_identities(identities)} "
        f"({access_status.role}{', banned' if access_status.is_banned else ''})\n"
        f"Trainings a day: {_format_limit(quota.trainings_per_day)}, {training_count} used\n"
        f"Pictures an hour: {_format_limit(quota.pictures_per_hour)}, {picture_count} used\n"
        f"To change it: {HOW_TO_QUOTA}"
    )


def lora_taken_down(code: LoraCode, picture_count: int, job_count: int) -> Reply:
    """Return the reply that confirms that a LoRA and its pictures are deleted."""
    return Reply(
        f"{format_code(code)} is deleted, with {job_count} job{plural_suffix(job_count)} "
        f"and {picture_count} file{plural_suffix(picture_count)}."
    )


def broadcast_started(recipient_count: int) -> Reply:
    """Return the reply that says how many people get a broadcast."""
    return Reply(
        f"I am sending that to {recipient_count} {'person' if recipient_count == 1 else 'people'}, "
        "one after another."
    )


def invitation_created(token: str, days: int) -> Reply:
    """Return the reply with an invitation word."""
    return Reply(
        f"{token}\nThe first person who sends me this word may use me. It works once, for {days} days. "
        "On Telegram it can also follow /start."
    )


def audit_log(entries: Sequence[AuditEntry]) -> str:
    """Return the list of what administrators did, empty if nothing."""
    if not entries:
        return ""
    lines = [
        f"{entry.created_at:%m-%d %H:%M} {entry.admin} /{entry.command} {truncate(entry.details, 60)}"
        for entry in entries
    ]
    return "\n".join(["", "Administrators:", *(line.rstrip() for line in lines)])


def report_message(code: LoraCode, reporter: str, reason: str) -> str:
    """Return the message that tells an administrator of a report."""
    reason_text = f": {reason}" if reason else ", without a reason"
    return (
        f"{reporter} reports {format_code(code)}{reason_text}\n"
        f"/takedown {code} deletes it; /reports lists the last ones."
    )


def report_list(items: Sequence[AbuseReport]) -> Reply:
    """Return the list of the last reports."""
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
