"""Every sentence people see, but those of refused photos and wishes, which stand beside their rule.

Plain text, no markup. Whatever may become the caption of a picture stays within CAPTION_CHARS.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from bot.domain import (
    PHOTOS_PER_LORA,
    GenerateWish,
    Job,
    JobKind,
    JobStatus,
    Lora,
    LoraCode,
    LoraState,
    Notice,
    NoticeKind,
    Platform,
    TrainWish,
    Trigger,
    format_code,
)
from bot.eta import Estimate
from bot.replies import Button, Reply

CAPTION_CHARS = 1024  # Telegram's limit for the text under a picture
QUOTE_CHARS = 300  # of a prompt or an error, inside a longer text
MAX_CODES_LISTED = 20
BAR_CELLS = 10
RETENTION_DAYS = 7

UNKNOWN_COMMAND = "I do not know that. /help lists what I can do."
UNKNOWN_CODE = "You have no LoraCode like that. /codes lists yours."
STALE_BUTTON = "That button no longer does anything. /help lists what I can do."
NOTHING_OPEN = "Nothing of yours is running or in line."
ALREADY_ENDED = "That has already ended. /codes shows where your LoraCodes stand."
NO_PHOTOS_HELD = "No photos of yours are waiting. /train says how to begin; /codes lists what you have."
NO_PHOTO_SENT = "There was no photo in that. /train says how to send them."
ETA_UNKNOWN = "how long it takes is not known until the first one here has run"

USE_FIRST_FIVE = Button("Use the first five", "first5")
START_OVER = Button("Start over", "restart")
MY_CODES = Button("My codes", "codes")

_HOW_TO_SEND = {
    Platform.TELEGRAM: "Send me five photos of one person: together as an album, one by one, or as files.",
    Platform.DISCORD: "Type /train: it opens a form for five photos of one person.",
    Platform.CONSOLE: "Type the paths of five photos of one person, or of a folder that holds them.",
}
_AGES = ((86400, "day"), (3600, "hour"), (60, "minute"))


def cancel_button(job: Job) -> Button:
    """Give the button that cancels a job."""
    return Button("Cancel", f"cancel:{job.id}")


def apology() -> Reply:
    """Say that something broke on our side."""
    return Reply("Sorry, something went wrong on my side. Please try again in a minute.")


def start(platform: Platform) -> Reply:
    """Say in three lines what will happen."""
    return Reply(
        f"{_HOW_TO_SEND[platform]} You get an 8-digit LoraCode, and a message when it can draw.\n"
        f"Your photos are deleted when the training ends, and after {RETENTION_DAYS} days at the latest.\n"
        "Only you can use your LoraCode: knowing it is not enough."
    )


def help_text(platform: Platform, is_admin: bool) -> Reply:
    """List the commands."""
    lines = [
        "/train - begin, or see which photos are missing",
        "/generate - draw: your LoraCode, then what to draw; options --n 2, --size portrait, --seed 7, "
        "--no blurry, --steps 25, --guidance 7.5",
        "/codes - your LoraCodes",
        "/cancel - stop your newest job, or that of a code",
        "/help - this list",
    ]
    if is_admin:
        lines.append("/status - for administrators: how the machine is doing")
    lines.append(f"Example: {example(platform)}")
    return Reply("\n".join(lines))


def example(platform: Platform, code: str = "40713386", trigger: Trigger | None = None) -> str:
    """Write out a command that draws, as that platform takes it."""
    prompt = f"{trigger or Trigger()} as an astronaut"
    if platform is Platform.DISCORD:
        return f"/generate code:{code} prompt:{prompt}"
    return f"/generate {code} {prompt}"


def collecting(held: int, platform: Platform) -> Reply:
    """Say how far a photo set is; too many ask which five are meant."""
    if held > PHOTOS_PER_LORA:
        return Reply(
            f"You have {held} photos, and it takes exactly {PHOTOS_PER_LORA}. Nothing has started. "
            "Shall I use the first five, or do you want to start over?",
            buttons=(USE_FIRST_FIVE, START_OVER),
        )
    if held == 0:
        return Reply(_HOW_TO_SEND[platform])
    missing = PHOTOS_PER_LORA - held
    return Reply(f"You have {held} of {PHOTOS_PER_LORA}; send {missing} more.", buttons=(START_OVER,))


def photo_line(number: int, of: int, sentence: str) -> str:
    """Say what happened to one photo among several."""
    return f"Photo {number}: {sentence}" if of > 1 else sentence


SAME_PHOTO = "I have this one already; send a different one."
SAME_PHOTO_OR_NO_ROOM = "not kept: I have it already, or there is no room, since I keep at most ten."


def too_many_files(sent: int, most: int) -> str:
    """Refuse a pile of files before any is opened."""
    return f"That is {sent} files at once and {most} is the most, so I took none. Send exactly five photos."


def photos_forgotten(count: int, platform: Platform) -> Reply:
    """Confirm that a photo set is gone."""
    if count == 0:
        return Reply(NO_PHOTOS_HELD)
    return Reply(f"Deleted: {count} photo{_s(count)}. {_HOW_TO_SEND[platform]}")


def training_started(job: Job, estimate: Estimate) -> Reply:
    """Give a person their new LoraCode."""
    progress = card(job, estimate.left_s, estimate.position)
    text = f"Thank you, that is all five. Your LoraCode is {format_code(job.code)}.\n{progress.text}"
    return Reply(text, buttons=progress.buttons, card_of=job.id)


def too_many_trainings(most: int) -> str:
    """Ask for patience with a further training."""
    return f"You have {most} trainings under way already. Send new photos when one has ended, or /cancel one."


def too_many_generations(most: int) -> str:
    """Ask for patience with further pictures."""
    return f"I am still drawing {most} requests of yours. Ask again when one has ended, or /cancel one."


def still_training(code: LoraCode, estimate: Estimate) -> str:
    """Say that a LoraCode cannot draw yet, and until when."""
    return f"{format_code(code)} is still training: {_left(estimate.left_s)}. I will write when it is ready."


def not_usable(lora: Lora) -> str:
    """Say that a LoraCode will never draw."""
    what = "was cancelled" if lora.state is LoraState.CANCELLED else "failed"
    return f"The training of {format_code(lora.code)} {what}. Send five photos to get a new LoraCode: /train"


def nothing_open_for(code: LoraCode) -> str:
    """Say that there is nothing to cancel for a code."""
    return f"Nothing is running or in line for {format_code(code)}."


def cancelled(job: Job) -> Reply:
    """Confirm that a job was cancelled."""
    if job.kind is JobKind.TRAIN:
        return Reply(
            f"Cancelled: {format_code(job.code)} will not be trained, and its photos are deleted. "
            "Send five photos to begin again: /train"
        )
    return Reply(f"Cancelled: no pictures this time. {format_code(job.code)} is still yours.")


def codes(loras: Sequence[Lora], now: datetime, platform: Platform) -> Reply:
    """List a person's LoraCodes, newest first."""
    if not loras:
        return Reply(f"You have no LoraCode yet. {_HOW_TO_SEND[platform]}")
    lines = [
        f"{format_code(lora.code)} · {lora.state} · {age(now - lora.created_at)}"
        for lora in loras[:MAX_CODES_LISTED]
    ]
    if len(loras) > MAX_CODES_LISTED:
        lines.append(f"and {len(loras) - MAX_CODES_LISTED} older ones")
    ready = next((lora for lora in loras if lora.state is LoraState.READY), None)
    if ready is not None:
        lines.append(f"Try: {example(platform, ready.code, ready.trigger)}")
    return Reply("\n".join(lines))


def card(job: Job, eta_s: float | None, position: int | None) -> Reply:
    """Show a job's progress; while the job is open this is the message that will be edited."""
    title = _title(job)
    if job.status is JobStatus.QUEUED:
        place = "In line" if position is None else f"In line: number {position}"
        return Reply(f"{title}\n{place} · {_left(eta_s)}", (cancel_button(job),), card_of=job.id)
    if job.status is JobStatus.RUNNING:
        return Reply(f"{title}\n{_progress(job, eta_s)}", (cancel_button(job),), card_of=job.id)
    if job.status is JobStatus.FAILED:
        return Reply(f"{title}\nFailed: {_quoted(job.error or 'it could not be finished')}")
    if job.status is JobStatus.CANCELLED:
        return Reply(f"{title}\nCancelled.")
    return Reply(f"{title}\n{_bar(1.0)} 100 % · done")


def notice(owed: Notice, picture_paths: Sequence[Path]) -> Reply:
    """Write a message owed to a person."""
    job, code = owed.job, format_code(owed.job.code)
    why = _quoted(job.error or "it could not be finished.")
    match owed.kind:
        case NoticeKind.TRAIN_DONE:
            trigger = job.wish.trigger if isinstance(job.wish, TrainWish) else None
            command = example(job.place.platform, job.code, trigger)
            return Reply(f"{code} is ready, and your photos are deleted. Try:\n{command}", (MY_CODES,))
        case NoticeKind.TRAIN_FAILED:
            return Reply(
                f"The training of {code} failed: {why}\nYour photos are deleted. To try again: /train",
                (MY_CODES,),
            )
        case NoticeKind.TRAIN_RESUMED:
            text = f"The training of {code} was interrupted and goes on by itself. You need not do anything."
            return Reply(text, (cancel_button(job),))
        case NoticeKind.GENERATE_DONE:
            return _pictures(job, picture_paths)
        case NoticeKind.GENERATE_FAILED:
            return Reply(f"No picture with {code}: {why}\nYour LoraCode is fine; ask again with /generate.")
        case NoticeKind.CANCELLED:
            return cancelled(job)


def _pictures(job: Job, paths: Sequence[Path]) -> Reply:
    asked = _quoted(job.wish.prompt) if isinstance(job.wish, GenerateWish) else ""
    if not paths:
        return Reply(f"{format_code(job.code)}: {asked}\nThe pictures are no longer here; ask again.")
    return Reply(f"{format_code(job.code)}: {asked}", pictures=tuple(paths))


def _title(job: Job) -> str:
    if isinstance(job.wish, GenerateWish):
        return f"Drawing {job.wish.count} picture{_s(job.wish.count)} with {format_code(job.code)}"
    return f"Training {format_code(job.code)}"


def _progress(job: Job, eta_s: float | None) -> str:
    if not job.steps:
        return f"{_bar(0.0)} getting ready" + ("" if eta_s is None else f" · {_left(eta_s)}")
    share = min(1.0, job.step / job.steps)
    parts = [f"{_bar(share)} {int(share * 100)} %", f"step {job.step} of {job.steps}"]
    if eta_s is not None:
        parts.append(_left(eta_s))
    return " · ".join(parts)


def _bar(share: float) -> str:
    full = int(share * BAR_CELLS)
    return "▓" * full + "░" * (BAR_CELLS - full)


def _left(eta_s: float | None) -> str:
    return ETA_UNKNOWN if eta_s is None else f"about {span(eta_s)} left"


def span(seconds: float) -> str:
    """Write a length of time as people say it: `12 min`, `1 h 20 min`."""
    minutes = int(seconds / 60 + 0.5)
    if minutes < 1:
        return "1 min" if seconds >= 30 else "half a minute"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes if not days else 0, "min")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def age(passed: timedelta) -> str:
    """Write how long ago something was."""
    for seconds, unit in _AGES:
        count = int(passed.total_seconds() // seconds)
        if count >= 1:
            return f"{count} {unit}{_s(count)} ago"
    return "just now"


def _quoted(text: str) -> str:
    return text if len(text) <= QUOTE_CHARS else text[: QUOTE_CHARS - 1].rstrip() + "…"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
