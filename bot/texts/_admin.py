"""What administrators read after their commands, and what others read of what they decided.

What only administrators read is in English alone, as are `ADMINS`, the settings and the log.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import (
    Act,
    Identity,
    LoraCode,
    Platform,
    Quota,
    Report,
    Role,
    Standing,
    format_code,
)
from bot.replies import Reply
from bot.texts._language import say
from bot.texts._words import plural, quoted, span

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
