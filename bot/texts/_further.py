"""Training a Lora further, and the photos that are kept for it."""

from __future__ import annotations

from bot.domain import PHOTOS_PER_LORA, Job, LoraCode, PhotoSet, TrainWish, format_code
from bot.eta import Estimate
from bot.replies import Button, Reply
from bot.texts._cards import card
from bot.texts._language import say


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
