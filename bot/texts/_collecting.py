"""The first minute, and the set of photos that is being collected."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from bot.domain import CLASS_WORDS, PHOTOS_PER_LORA, Job, PhotoSet, Platform, format_code
from bot.replies import Button, Reply

RETENTION_DAYS = 7
PHOTO_GONE = "That photo is no longer in the set. /train shows what I have."

CONSENT = Button("I agree", "consent")
USE_FIRST_FIVE = Button("Use the first five", "first5")
USE_ANYWAY = Button("Use them anyway", "first5")
TRAIN_ON_THESE = Button("Train on these", "first5")
START_OVER = Button("Start over", "restart")

HOW_TO_SEND = {
    Platform.TELEGRAM: "Send me five photos of one person: together as an album, one by one, or as files.",
    Platform.DISCORD: "Type /train: it opens a form for five photos of one person.",
    Platform.CONSOLE: "Type the paths of five photos of one person, or of a folder that holds them.",
}
_ASK_CONSENT = (
    "Do you agree that they are photos of you, or of someone who said yes, and that you are 18 or older?"
)
_LIKE_THESE = "Five like these make a good set, as each shows something the others do not."
_BUTTONS_A_ROW = 5
_CLASSES_A_ROW = 4


def good_set_reasons() -> tuple[str, ...]:
    """Say of each example what it is there for, in a few words that stand beneath it."""
    return ("close, face clear", "further away", "another angle", "another mood", "other light")


def welcome(platform: Platform, must_consent: bool, examples: Sequence[Path] = ()) -> Reply:
    """Say in three lines what will happen, show examples, and ask for consent where it was not given."""
    like_these = f" {_LIKE_THESE}" if examples else ""
    text = (
        f"{HOW_TO_SEND[platform]}{like_these} You get an 8-digit LoraCode, and a message when it can draw.\n"
        f"Your photos are deleted when the training ends, and after {RETENTION_DAYS} days at the latest.\n"
        "Only you, and whom you allow, can draw with your LoraCode: knowing it is not enough."
    )
    if must_consent:
        return Reply(f"{text}\n{_ASK_CONSENT}", (CONSENT,), tuple(examples))
    return Reply(text, pictures=tuple(examples))


def consent_first(photos: int) -> Reply:
    """Ask for consent before any photo is kept."""
    first = "Thank you, but one thing first, so I kept none of these yet." if photos else "One thing first."
    return Reply(
        f"{first} {_ASK_CONSENT} Your photos are deleted when the training ends.\n"
        "Press the button" + (", then send them once more." if photos else "."),
        (CONSENT,),
    )


def consented(photo_set: PhotoSet, platform: Platform, examples: Sequence[Path] = ()) -> Reply:
    """Thank for consent and say what comes next; the examples stay in sight."""
    card = set_card(photo_set, platform, b"")
    return Reply(f"Thank you. {card.text}", card.buttons, tuple(examples))


def collecting(held: int, platform: Platform, may_begin: bool = True) -> Reply:
    """Say how far a photo set is; too many ask which five are meant, and bad ones whether they are."""
    if held > PHOTOS_PER_LORA:
        return Reply(
            f"You have {held} photos, and it takes exactly {PHOTOS_PER_LORA}. Nothing has started. "
            "Shall I use the first five, or do you want to start over?",
            buttons=(USE_FIRST_FIVE, START_OVER),
        )
    if held == 0:
        return Reply(HOW_TO_SEND[platform])
    if held == PHOTOS_PER_LORA and not may_begin:
        return Reply(
            "You have all five, and I have not started yet: please look at this first. Take out a photo with"
            " ✕ and its number and send another, or use them as they are.",
            buttons=(USE_ANYWAY, START_OVER),
        )
    if held == PHOTOS_PER_LORA:
        return Reply("You have all five.", buttons=(TRAIN_ON_THESE, START_OVER))
    missing = PHOTOS_PER_LORA - held
    return Reply(f"You have {held} of {PHOTOS_PER_LORA}; send {missing} more.", buttons=(START_OVER,))


def set_card(
    photo_set: PhotoSet,
    platform: Platform,
    sheet: bytes,
    remarks: Sequence[str] = (),
    may_begin: bool = True,
) -> Reply:
    """Show the set: its contact sheet, empty where others read along, and what the coach remarks."""
    words = collecting(len(photo_set.photos), platform, may_begin)
    lines = [words.text, f"They show: {photo_set.class_word}"]
    if photo_set.name:
        lines[1] += f" · name: {photo_set.name}"
    lines += remarks
    owner, rows = photo_set.account, count()
    buttons: list[Button] = []
    for at in range(0, len(photo_set.photos), _BUTTONS_A_ROW):
        row = next(rows)
        for number, photo in enumerate(photo_set.photos[at : at + _BUTTONS_A_ROW], at + 1):
            buttons.append(Button(f"✕ {number}", f"set:{owner}:drop={photo}", row))
    for at in range(0, len(CLASS_WORDS), _CLASSES_A_ROW):
        row = next(rows)
        for word in CLASS_WORDS[at : at + _CLASSES_A_ROW]:
            label = f"✓ {word.capitalize()}" if word == photo_set.class_word else word.capitalize()
            buttons.append(Button(label, f"set:{owner}:class={word}", row))
    row = next(rows)
    last = (Button("Name it", f"set:{owner}:name"), *words.buttons)
    buttons += [Button(each.label, each.action, row) for each in last]
    return Reply(
        "\n".join(lines), tuple(buttons), (sheet,) if sheet else (), shows_set=bool(photo_set.photos)
    )


def set_complete(job: Job) -> str:
    """Say on the message that showed a set what became of it."""
    return f"That is all five: {format_code(job.code)}."


def set_deleted() -> str:
    """Say on the message that showed a set that it is gone."""
    return "These photos are deleted."


def set_below() -> str:
    """Say on the message that showed a set that another one does now."""
    return "Your photos are shown again below."


def set_waits(held: int) -> Reply:
    """Remind a person of photos that will be forgotten."""
    return Reply(
        f"Your {held} of {PHOTOS_PER_LORA} photos are still waiting, and in a few hours I delete them. "
        "Send the rest to go on; /train shows what I have.",
        (START_OVER,),
    )


def ask_name() -> Reply:
    """Ask for the name of a Lora."""
    return Reply("Now write the name; you alone see it.")


def wrong_name(most: int) -> str:
    """Refuse a name."""
    return f"A name has 1 to {most} characters. Write it again, shorter."
