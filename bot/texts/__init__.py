"""Every sentence people see, but those of refused photos and wishes, which stand beside their rule.

Plain text, no markup. Cards and notices may become the caption of a picture, so they stay within 1024
characters, which is what Telegram allows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain import PHOTOS_PER_LORA, Job, Lora, LoraCode, LoraState, Platform, format_code
from bot.eta import Estimate
from bot.replies import Button, Reply
from bot.texts._cards import MY_CODES as MY_CODES
from bot.texts._cards import cancel_button as cancel_button
from bot.texts._cards import cancelled as cancelled
from bot.texts._cards import card as card
from bot.texts._cards import notice as notice
from bot.texts._status import StatusReport as StatusReport
from bot.texts._status import status as status
from bot.texts._words import age as age
from bot.texts._words import example as example
from bot.texts._words import left as left
from bot.texts._words import plural as plural
from bot.texts._words import span as span

MAX_CODES_LISTED = 20
RETENTION_DAYS = 7

UNKNOWN_COMMAND = "I do not know that. /help lists what I can do."
UNKNOWN_CODE = "You have no LoraCode like that. /codes lists yours."
STALE_BUTTON = "That button no longer does anything. /help lists what I can do."
NOTHING_OPEN = "Nothing of yours is running or in line."
ALREADY_ENDED = "That has already ended. /codes shows where your LoraCodes stand."
NO_PHOTOS_HELD = "No photos of yours are waiting. /train says how to begin; /codes lists what you have."
NO_PHOTO_SENT = "There was no photo in that. /train says how to send them."

USE_FIRST_FIVE = Button("Use the first five", "first5")
START_OVER = Button("Start over", "restart")

_HOW_TO_SEND = {
    Platform.TELEGRAM: "Send me five photos of one person: together as an album, one by one, or as files.",
    Platform.DISCORD: "Type /train: it opens a form for five photos of one person.",
    Platform.CONSOLE: "Type the paths of five photos of one person, or of a folder that holds them.",
}


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
    options = "--n 2, --size portrait, --seed 7, --no blurry, --steps 25, --guidance 7.5"
    if platform is Platform.DISCORD:
        options = "count, size, seed, negative, steps, guidance"
    lines = [
        "/train - begin, or see which photos are missing",
        f"/generate - draw: your LoraCode, then what to draw; options {options}",
        "/codes - your LoraCodes",
        "/cancel - stop your newest job, or that of a code",
        "/help - this list",
    ]
    if is_admin:
        lines.append("/status - for administrators: how the machine is doing")
    lines.append(f"Example: {example(platform)}")
    return Reply("\n".join(lines))


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
    return Reply(f"Deleted: {count} photo{plural(count)}. {_HOW_TO_SEND[platform]}")


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
    return f"{format_code(code)} is still training: {left(estimate.left_s)}. I will write when it is ready."


def not_usable(lora: Lora) -> str:
    """Say that a LoraCode will never draw."""
    what = "was cancelled" if lora.state is LoraState.CANCELLED else "failed"
    return f"The training of {format_code(lora.code)} {what}. Send five photos to get a new LoraCode: /train"


def nothing_open_for(code: LoraCode) -> str:
    """Say that there is nothing to cancel for a code."""
    return f"Nothing is running or in line for {format_code(code)}."


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
