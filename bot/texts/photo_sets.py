"""Texts about the first minute and the photo set that is being collected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.jobs import Estimate, Job, TrainingParams
from bot.core.loras import CLASS_WORDS, LoraCode, format_code
from bot.core.messages import Button, Reply
from bot.core.photos import (
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    MAX_WEB_PIXELS,
    MAX_WHOLE_PIXELS,
    MIN_PHOTO_SIDE_PX,
    PHOTO_RETENTION,
    PHOTOS_PER_LORA,
    PhotoRefusal,
    PhotoSet,
)
from bot.texts.cards import job_card
from bot.texts.language import translate

_BUTTONS_PER_ROW = 5
_CLASSES_PER_ROW = 4
_REFUSAL_KEYS = {
    PhotoRefusal.NOT_A_PICTURE: "photo-not-a-picture",
    PhotoRefusal.OTHER_FORMAT: "photo-other-format",
    PhotoRefusal.DAMAGED: "photo-broken",
    PhotoRefusal.TOO_MANY_BYTES: "photo-too-many-bytes",
    PhotoRefusal.TOO_MANY_PIXELS: "photo-too-many-pixels",
    PhotoRefusal.TOO_MANY_PIXELS_WHOLE: "photo-too-many-pixels-whole",
    PhotoRefusal.TOO_MANY_PIXELS_WEB: "photo-too-many-pixels-web",
    PhotoRefusal.TOO_SMALL: "photo-too-small",
    PhotoRefusal.TIMEOUT: "photo-took-too-long",
}


def consent_button() -> Button:
    """Return the button that gives consent."""
    return Button(translate("agree"), "consent")


def start_over_button(account: AccountId) -> Button:
    """Return the button that deletes the set."""
    return Button(translate("start-over"), f"restart:{account}")


def good_set_reasons() -> tuple[str, ...]:
    """Return what each example photo shows, in a few words."""
    return tuple(translate(f"example-{reason}") for reason in ("close", "far", "angle", "mood", "light"))


def welcome(platform: Platform, needs_consent: bool, examples: Sequence[Path] = ()) -> Reply:
    """Return the welcome with examples, and the question for consent if it was not given."""
    instructions = translate(f"how-to-send-{platform}")
    if examples:
        instructions = f"{instructions} {translate('like-these')}"
    text = translate("welcome", how=instructions, days=PHOTO_RETENTION.days)
    if needs_consent:
        question = f"{text}\n{translate('ask-consent')}"
        return Reply(question, (consent_button(),), tuple(examples), yes_action="consent")
    return Reply(text, pictures=tuple(examples))


def consent_question(photo_count: int) -> Reply:
    """Return the question for consent, which comes before any photo is kept."""
    text = translate("consent-first-photos" if photo_count else "consent-first")
    return Reply(text, (consent_button(),), yes_action="consent")


def consent_recorded(photo_set: PhotoSet, platform: Platform, examples: Sequence[Path] = ()) -> Reply:
    """Return the thanks for consent with the next step. The examples stay."""
    card = set_card(photo_set, platform, b"")
    return Reply(translate("thank-you", next=card.text), card.buttons, tuple(examples))


def photo_set_status(
    account: AccountId, held_count: int, platform: Platform, can_start: bool = True
) -> Reply:
    """Return the reply that says how many photos a set has.

    With too many it asks which five to use. With doubtful ones it asks whether to use them.
    """
    target_count = PHOTOS_PER_LORA
    if held_count > target_count:
        use_button = Button(translate("use-first-five"), f"first5:{account}")
        return Reply(
            translate("photos-too-many", held=held_count, wanted=target_count),
            (use_button, start_over_button(account)),
            yes_action=f"first5:{account}",
        )
    if held_count == 0:
        return Reply(translate(f"how-to-send-{platform}"))
    if held_count == target_count and not can_start:
        use_anyway_button = Button(translate("use-anyway"), f"first5:{account}")
        buttons = (use_anyway_button, start_over_button(account))
        return Reply(translate("photos-doubtful"), buttons, yes_action=f"first5:{account}")
    if held_count == target_count:
        train_button = Button(translate("train-on-these"), f"first5:{account}")
        buttons = (train_button, start_over_button(account))
        return Reply(translate("photos-all-five"), buttons, yes_action=f"first5:{account}")
    missing_count = target_count - held_count
    return Reply(
        translate("photos-held", held=held_count, wanted=target_count, missing=missing_count),
        (start_over_button(account),),
    )


def set_card(
    photo_set: PhotoSet,
    platform: Platform,
    sheet: bytes,
    remarks: Sequence[str] = (),
    can_start: bool = True,
) -> Reply:
    """Return the card of a set: its contact sheet and the coach's remarks.

    In a group the contact sheet is left out, because others can see it.
    """
    status = photo_set_status(photo_set.account, len(photo_set.photo_ids), platform, can_start)
    purpose = set_purpose(photo_set) or translate(
        "set-shows", **{"class": translate(f"class-{photo_set.class_word}")}
    )
    lines = [swap_question(photo_set) or status.text, purpose]
    if photo_set.name and photo_set.code is None:
        lines[1] += f" · {translate('set-name', name=photo_set.name)}"
    lines += remarks
    owner, row_numbers = photo_set.account, count()
    buttons: list[Button] = []
    for start in range(0, len(photo_set.photo_ids), _BUTTONS_PER_ROW):
        row = next(row_numbers)
        for number, photo in enumerate(photo_set.photo_ids[start : start + _BUTTONS_PER_ROW], start + 1):
            buttons.append(Button(f"✕ {number}", f"set:{owner}:drop={photo}", row))
    # What a Lora shows, and its name, are known when it is trained further.
    for start in range(0, 0 if photo_set.code else len(CLASS_WORDS), _CLASSES_PER_ROW):
        row = next(row_numbers)
        for class_word in CLASS_WORDS[start : start + _CLASSES_PER_ROW]:
            class_label = translate(f"class-{class_word}").capitalize()
            label = f"✓ {class_label}" if class_word == photo_set.class_word else class_label
            buttons.append(Button(label, f"set:{owner}:class={class_word}", row))
    row = next(row_numbers)
    set_button = Button(translate("name-it"), f"set:{owner}:name")
    if photo_set.code is not None:
        set_button = Button(translate("set-leave", code=format_code(photo_set.code)), f"set:{owner}:anew")
    last_buttons = (set_button, *status.buttons)
    buttons += [Button(button.label, button.action, row) for button in last_buttons]
    return Reply(
        "\n".join(lines),
        tuple(buttons),
        (sheet,) if sheet else (),
        shows_photo_set=bool(photo_set.photo_ids),
        yes_action=status.yes_action,
    )


def with_group_hint(reply: Reply, link: str) -> Reply:
    """Return the reply with a hint on how to send photos in a group and where they are shown."""
    return replace(reply, text=f"{reply.text}\n{translate('photos-in-a-group', link=link)}")


def set_reminder(photo_set: PhotoSet) -> Reply:
    """Return the reminder of photos that will soon be deleted."""
    text = translate("set-waits", held=len(photo_set.photo_ids), wanted=PHOTOS_PER_LORA)
    return Reply(text, (start_over_button(photo_set.account),))


def prepend_refusals(lines: Sequence[str], reply: Reply) -> Reply:
    """Put before a reply what was not taken, and why."""
    lines = [*lines, *([reply.refusals] if reply.refusals else [])]
    rest = reply.text.removeprefix(reply.refusals).lstrip("\n")
    return replace(reply, text="\n".join([*lines, rest]), refusals="\n".join(lines))


def photo_line(number: int, total: int, sentence: str) -> str:
    """Return a sentence about one photo, with its number if there are several."""
    return translate("photo-line", number=number, sentence=sentence) if total > 1 else sentence


def photos_discarded(count: int, platform: Platform) -> Reply:
    """Return the reply that confirms that a set is deleted."""
    if count == 0:
        return Reply(translate("no-photos-held"))
    how = translate(f"how-to-send-{platform}")
    return Reply(translate("photos-forgotten", count=count, how=how))


def training_started(job: Job, eta: Estimate) -> Reply:
    """Return the reply with a new LoraCode and the progress card of its training."""
    progress_card = job_card(job, eta.remaining_s, eta.position)
    text = f"{translate('training-started', code=format_code(job.code))}\n{progress_card.text}"
    return Reply(text, buttons=progress_card.buttons, card_job_id=job.id)


def continuation_started(job: Job, eta: Estimate) -> Reply:
    """Return the reply that says that a LoRA is trained further."""
    steps = job.params.steps if isinstance(job.params, TrainingParams) else None
    progress_card = job_card(job, eta.remaining_s, eta.position)
    text = translate("further-started", code=format_code(job.code), steps=steps or 0)
    return Reply(f"{text}\n{progress_card.text}", progress_card.buttons, card_job_id=job.id)


def nothing_to_replace(code: LoraCode) -> Reply:
    """Return the reply that says that the photos are gone and how to send a better one."""
    text = translate("nothing-to-replace", code=format_code(code), days=PHOTO_RETENTION.days)
    return Reply(text, (Button(translate("send-five-again"), f"more:{code}"),))


def set_purpose(photo_set: PhotoSet) -> str:
    """Return which LoRA a set trains further, or nothing for a new one."""
    if photo_set.code is None:
        return ""
    code = format_code(photo_set.code)
    if photo_set.replaced_number is not None:
        return translate("set-swaps", code=code, number=photo_set.replaced_number, steps=photo_set.steps)
    return translate("set-further", code=code, steps=photo_set.steps)


def swap_question(photo_set: PhotoSet) -> str:
    """Return the question for the photo that replaces another, or nothing."""
    lacks_one = len(photo_set.photo_ids) == PHOTOS_PER_LORA - 1
    if photo_set.replaced_number is None or not lacks_one:
        return ""
    return translate("swap-wanted", number=photo_set.replaced_number)


def photo_refusal(reason: PhotoRefusal) -> str:
    """Return why a photo cannot be used, with the limit that it breaks."""
    return _refusal_text(_REFUSAL_KEYS[reason])


def file_too_big() -> str:
    """Return the refusal of a file that the platform would shrink if it was sent as a photo."""
    return _refusal_text("photo-too-many-bytes-as-photo")


def _refusal_text(key: str) -> str:
    return translate(
        key,
        max_megabytes=MAX_PHOTO_BYTES // 2**20,
        max_megapixels=MAX_PHOTO_PIXELS // 10**6,
        max_whole_megapixels=MAX_WHOLE_PIXELS // 10**6,
        max_web_megapixels=MAX_WEB_PIXELS // 10**6,
        min_side_px=MIN_PHOTO_SIDE_PX,
    )


def ask_name(account: AccountId, address: ChatAddress) -> Reply:
    """Return the reply that asks for the name of a set."""
    key = "ask-name-in-group" if address.hears_replies_only else "ask-name"
    return Reply(
        translate(key), (Button(translate("draft-drop"), f"question:drop:{account}"),), asks_for_words=True
    )
