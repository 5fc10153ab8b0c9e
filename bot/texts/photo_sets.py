"""The first minute, and the set of photos that is being collected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from bot.core.accounts import Platform
from bot.core.jobs import Estimate, Job, TrainWish
from bot.core.loras import CLASS_WORDS, LoraCode, format_code
from bot.core.messages import Button, Reply
from bot.core.photos import PHOTOS_PER_LORA, PhotoSet
from bot.texts.cards import card
from bot.texts.language import say
from bot.texts.words import class_name

RETENTION_DAYS = 7
_BUTTONS_A_ROW = 5
_CLASSES_A_ROW = 4


def how_to_send(platform: Platform) -> str:
    """Say how photos are sent there."""
    return say(f"how-to-send-{platform}")


def consent_button() -> Button:
    """Give the button that agrees to what the photos must be."""
    return Button(say("agree"), "consent")


def start_over_button() -> Button:
    """Give the button that deletes the set."""
    return Button(say("start-over"), "restart")


def good_set_reasons() -> tuple[str, ...]:
    """Say of each example what it is there for, in a few words that stand beneath it."""
    return tuple(say(f"example-{each}") for each in ("close", "far", "angle", "mood", "light"))


def welcome(platform: Platform, must_consent: bool, examples: Sequence[Path] = ()) -> Reply:
    """Say in three lines what will happen, show examples, and ask for consent where it was not given."""
    how = how_to_send(platform)
    if examples:
        how = f"{how} {say('like-these')}"
    text = say("welcome", how=how, days=RETENTION_DAYS)
    if must_consent:
        return Reply(f"{text}\n{say('ask-consent')}", (consent_button(),), tuple(examples))
    return Reply(text, pictures=tuple(examples))


def consent_first(photos: int) -> Reply:
    """Ask for consent before any photo is kept."""
    return Reply(say("consent-first-photos" if photos else "consent-first"), (consent_button(),))


def consented(photo_set: PhotoSet, platform: Platform, examples: Sequence[Path] = ()) -> Reply:
    """Thank for consent and say what comes next; the examples stay in sight."""
    card = set_card(photo_set, platform, b"")
    return Reply(say("thank-you", next=card.text), card.buttons, tuple(examples))


def collecting(held: int, platform: Platform, may_begin: bool = True) -> Reply:
    """Say how far a photo set is; too many ask which five are meant, and bad ones whether they are."""
    wanted = PHOTOS_PER_LORA
    if held > wanted:
        first_five = Button(say("use-first-five"), "first5")
        return Reply(say("photos-too-many", held=held, wanted=wanted), (first_five, start_over_button()))
    if held == 0:
        return Reply(how_to_send(platform))
    if held == wanted and not may_begin:
        anyway = Button(say("use-anyway"), "first5")
        return Reply(say("photos-doubtful"), (anyway, start_over_button()))
    if held == wanted:
        train = Button(say("train-on-these"), "first5")
        return Reply(say("photos-all-five"), (train, start_over_button()))
    missing = wanted - held
    return Reply(say("photos-held", held=held, wanted=wanted, missing=missing), (start_over_button(),))


def set_card(
    photo_set: PhotoSet,
    platform: Platform,
    sheet: bytes,
    remarks: Sequence[str] = (),
    may_begin: bool = True,
) -> Reply:
    """Show the set: its contact sheet, empty where others read along, and what the coach remarks."""
    words = collecting(len(photo_set.photos), platform, may_begin)
    about = set_is_for(photo_set) or say("set-shows", **{"class": class_name(photo_set.class_word)})
    lines = [swap_wanted(photo_set) or words.text, about]
    if photo_set.name and photo_set.code is None:
        lines[1] += f" · {say('set-name', name=photo_set.name)}"
    lines += remarks
    owner, rows = photo_set.account, count()
    buttons: list[Button] = []
    for at in range(0, len(photo_set.photos), _BUTTONS_A_ROW):
        row = next(rows)
        for number, photo in enumerate(photo_set.photos[at : at + _BUTTONS_A_ROW], at + 1):
            buttons.append(Button(f"✕ {number}", f"set:{owner}:drop={photo}", row))
    # What a Lora shows, and its name, are known when it is trained further.
    for at in range(0, 0 if photo_set.code else len(CLASS_WORDS), _CLASSES_A_ROW):
        row = next(rows)
        for word in CLASS_WORDS[at : at + _CLASSES_A_ROW]:
            name = class_name(word).capitalize()
            label = f"✓ {name}" if word == photo_set.class_word else name
            buttons.append(Button(label, f"set:{owner}:class={word}", row))
    row = next(rows)
    own = Button(say("name-it"), f"set:{owner}:name")
    if photo_set.code is not None:
        own = Button(say("set-leave", code=format_code(photo_set.code)), f"set:{owner}:anew")
    last = (own, *words.buttons)
    buttons += [Button(each.label, each.action, row) for each in last]
    return Reply(
        "\n".join(lines), tuple(buttons), (sheet,) if sheet else (), shows_set=bool(photo_set.photos)
    )


def in_a_group(reply: Reply, link: str) -> Reply:
    """Say how photos are sent where others read along, and where they are shown."""
    return replace(reply, text=f"{reply.text}\n{say('photos-in-a-group', link=link)}")


def set_complete(job: Job) -> str:
    """Say on the message that showed a set what became of it."""
    return say("set-complete", code=format_code(job.code))


def set_deleted() -> str:
    """Say on the message that showed a set that it is gone."""
    return say("set-deleted")


def set_below() -> str:
    """Say on the message that showed a set that another one does now."""
    return say("set-below")


def set_waits(held: int) -> Reply:
    """Remind a person of photos that will be forgotten."""
    return Reply(say("set-waits", held=held, wanted=PHOTOS_PER_LORA), (start_over_button(),))


def ask_name() -> Reply:
    """Ask for the name of a Lora."""
    return Reply(say("ask-name"))


def wrong_name(most: int) -> str:
    """Refuse a name."""
    return say("wrong-name", most=most)


def further_started(job: Job, estimate: Estimate) -> Reply:
    """Say that a Lora is trained further, and until when."""
    steps = job.wish.steps if isinstance(job.wish, TrainWish) else None
    progress = card(job, estimate.left_s, estimate.position)
    text = say("further-started", code=format_code(job.code), steps=steps or 0)
    return Reply(f"{text}\n{progress.text}", progress.buttons, card_of=job.id)


def nothing_to_replace(code: LoraCode) -> Reply:
    """Say that photos are gone, and how a better one can still be put among them."""
    text = say("nothing-to-replace", code=format_code(code))
    return Reply(text, (Button(say("send-five-again"), f"more:{code}"),))


def set_is_for(photo_set: PhotoSet) -> str:
    """Say which Lora a set trains further; empty for a new one."""
    if photo_set.code is None:
        return ""
    code = format_code(photo_set.code)
    if photo_set.swaps is not None:
        return say("set-swaps", code=code, number=photo_set.swaps, steps=photo_set.steps)
    return say("set-further", code=code, steps=photo_set.steps)


def swap_wanted(photo_set: PhotoSet) -> str:
    """Ask for the one photo that a set lacks; empty where that is not so."""
    lacks_one = len(photo_set.photos) == PHOTOS_PER_LORA - 1
    if photo_set.swaps is None or not lacks_one:
        return ""
    return say("swap-wanted", number=photo_set.swaps)


def set_is_open(held: int) -> str:
    """Say that other photos are being collected."""
    return say("set-is-open", held=held)


def wrong_steps(least: int, most: int) -> str:
    """Refuse a number of further steps."""
    return say("more-range", least=least, most=most)


def wrong_photo() -> str:
    """Refuse the number of a photo to replace."""
    return say("replace-range", most=PHOTOS_PER_LORA)
