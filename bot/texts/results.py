"""What shows a result, and what its buttons answer.

Putting a generation together by buttons.

What is said where a picture is not taken, or not shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.core.accounts import Platform
from bot.core.jobs import Draft, GenerateWish, Job, JobId, Picture
from bot.core.loras import Lora, LoraCode, format_code
from bot.core.messages import Attachment, Button, Choice, Reply
from bot.texts.language import say
from bot.texts.words import quoted, shape_name, style_label
from gpu_worker.protocol import SHAPES

#: A recipe shows the whole prompt; with the rest it stays below the 2000 characters of a Discord message.
_NEGATIVE_CHARS = 400


_SETTING = re.compile(r'([A-Z][A-Za-z ]*): ("[^"]*"|[^,]*)')


_SHOWN = (
    ("Size", "recipe-size"),
    ("Steps", "recipe-steps"),
    ("CFG scale", "recipe-guidance"),
    ("Sampler", "recipe-sampler"),
    ("Denoising strength", "recipe-redrawn"),
    ("Variation seed", "recipe-variation-seed"),
    ("Variation seed strength", "recipe-variation"),
    ("Model", "recipe-model"),
)


def result(job: Job, picture_paths: Sequence[Path]) -> Reply:
    """Show the pictures of a finished generation and what can be done with them."""
    text = f"#{job.id} · {format_code(job.code)}: {quoted(_wish(job).prompt)}"
    text = "\n".join(filter(None, (text, _picked(job))))
    if not picture_paths:
        return Reply(f"{text}\n{say('pictures-gone')}", (_again(job.id),))
    return Reply(text, _buttons(job.id, len(picture_paths)), tuple(picture_paths))


def result_deleted(job: Job) -> Reply:
    """Show where a result has been."""
    return Reply(say("result-deleted", result=f"#{job.id} · {format_code(job.code)}"))


def ask_to_delete(job_id: JobId, count: int) -> Reply:
    """Ask once before pictures are gone for good."""
    question = say("ask-to-delete", result=f"#{job_id}", count=count)
    return Reply(question, (Button(say("delete-button"), f"delete!:{job_id}"),))


def deleted(job_id: JobId) -> Reply:
    """Confirm that a result is gone."""
    return Reply(say("result-is-deleted", result=f"#{job_id}"), replaces=True)


def picture_gone(job_id: JobId, number: int) -> Reply:
    """Say that a picture cannot be worked on because its file is gone."""
    return Reply(say("one-picture-gone", number=number, result=f"#{job_id}"), (_again(job_id),))


def edit_prompt(job: Job) -> Reply:
    """Ask for other words in place of a result's."""
    return Reply(say("edit-prompt", result=f"#{job.id}", prompt=_wish(job).prompt))


def recipe(job: Job, pictures: Sequence[Picture], style: str, trained_steps: int | None) -> Reply:
    """Write down all that a result was made of. `style` is its label."""
    wish = _wish(job)
    settings = dict(_SETTING.findall(pictures[0].recipe.rpartition("\n")[2])) if pictures else {}
    lines = [f"#{job.id}", say("recipe-prompt", prompt=wish.prompt)]
    if wish.negative:
        lines.append(say("recipe-not", words=quoted(wish.negative, _NEGATIVE_CHARS)))
    if wish.seed is not None:
        last = str(wish.seed + len(pictures) - 1)
        is_range = len(pictures) > 1 and not wish.variation
        seed = str(wish.seed)
        lines.append(say("recipe-seeds", seed=seed, last=last) if is_range else say("recipe-seed", seed=seed))
    known = [f"{say(label)}: {settings[name]}" for name, label in _SHOWN if name in settings]
    lines += [" · ".join(known)] if known else []
    if style:
        lines.append(say("settings-style", style=style))
    if wish.strength is not None:
        lines.append(say("recipe-strength", strength=f"{wish.strength:g}"))
    hashes = dict(re.findall(r"([0-9]{8}): (\w+)", settings.get("Lora hashes", "")))
    lora = _lora(job.code, hashes)
    if trained_steps is None:
        lines.append(say("recipe-lora", lora=lora))
    else:
        lines.append(say("recipe-lora-steps", lora=lora, steps=trained_steps))
    lines += [say("recipe-lora", lora=_lora(code, hashes)) for code in wish.codes]
    lines += [told] if (told := _picked(job)) else []
    if wish.source is not None:
        lines.append(say("recipe-source", result=f"#{wish.source}"))
    lines.append(say("recipe-show", number=str(job.id)))
    return Reply("\n".join(lines))


def export(code: LoraCode, trigger: str, files: Sequence[Attachment]) -> Reply:
    """Hand over a LoRA's file and say in a line where it goes."""
    name = files[0].name.removesuffix(".safetensors")
    lines = [say("export", code=format_code(code), words=f"<lora:{name}:1> {trigger}")]
    if len(files) > 1:
        lines.append(say("export-parts", count=str(len(files))))
    return Reply("\n".join(lines), files=tuple(files))


def best_unknown(code: LoraCode, count: int) -> str:
    """Refuse to say which picture is the most alike."""
    return say("best-unknown", code=format_code(code), count=count)


def _picked(job: Job) -> str:
    """Say which of several pictures this is, and how alike each of them was."""
    if job.pick is None:
        return say("best-not-told") if _wish(job).best else ""
    figures = [say("best-nobody") if each is None else f"{100 * each:.0f}%" for each in job.pick.likenesses]
    chosen = figures.pop(job.pick.chosen - 1)
    return say("best-told", count=len(figures) + 1, chosen=chosen, others=", ".join(figures))


def _lora(code: LoraCode, hashes: dict[str, str]) -> str:
    if code not in hashes:
        return format_code(code)
    return say("recipe-hash", code=format_code(code), hash=hashes[code])


def _again(job_id: JobId, row: int | None = None) -> Button:
    return Button(say("again"), f"again:{job_id}", row)


def _buttons(job_id: JobId, count: int) -> tuple[Button, ...]:
    # A row for each picture, so that four of them still have room on a phone and within Discord's five rows.
    edit = Button(say("edit-prompt-button"), f"edit:{job_id}", count)
    recipe = Button(say("recipe-button"), f"recipe:{job_id}", count)
    delete = Button(say("delete-button"), f"delete:{job_id}", count)
    if count == 1:
        first = (_again(job_id, 0), *_of_picture(job_id, 1, ""))
        return (*first, edit, recipe, delete)
    each = [button for number in range(1, count + 1) for button in _of_picture(job_id, number, f" {number}")]
    return (*each, _again(job_id, count), edit, recipe, delete)


def _of_picture(job_id: JobId, number: int, label: str) -> tuple[Button, Button]:
    row = number - 1
    return (
        Button(f"{say('variations')}{label}", f"vary:{job_id}:{number}", row),
        Button(f"{say('larger')}{label}", f"large:{job_id}:{number}", row),
    )


def _wish(job: Job) -> GenerateWish:
    return job.wish if isinstance(job.wish, GenerateWish) else GenerateWish("")


MAX_CODES_OFFERED = 8


_COUNTS = (1, 2, 4)


_CODES_A_ROW, _STYLES_A_ROW = 2, 3


def draft_dropped() -> Reply:
    """Confirm that a draft is gone."""
    return Reply(say("draft-dropped"), replaces=True)


def choose_code(loras: Sequence[Lora], of_draft: bool = False) -> Reply:
    """Ask which of several LoraCodes shall draw, the draft if there is one; the newest come first."""
    buttons = [
        Button(format_code(each.code), f"draft:code={each.code}", number // _CODES_A_ROW)
        if of_draft
        else Button(format_code(each.code), f"use:{each.code}", number // _CODES_A_ROW)
        for number, each in enumerate(loras[:MAX_CODES_OFFERED])
    ]
    return Reply(say("choose-code"), tuple(buttons))


def draft(draft: Draft, style: str, replaces: bool = True) -> Reply:
    """Show what is chosen so far and what else may be; `style` is its label."""
    wish = draft.wish
    # Where others read along on Discord, we do not see what is written: a form asks for it.
    has_form = draft.place.platform is Platform.DISCORD
    text = say(
        "draft-with-form" if has_form else "draft",
        code=format_code(draft.code),
        style=style or say("style-none"),
        size=_size(wish),
        count=wish.count,
    )
    shapes = [
        Button(chosen(shape_name(shape).capitalize(), shape == wish.shape), f"draft:size={shape}", 1)
        for shape in SHAPES
    ]
    counts = [
        Button(chosen(say("pictures", count=count), count == wish.count), f"draft:n={count}", 2)
        for count in _COUNTS
    ]
    buttons = (
        Button(style_label(style), "draft:style", 0),
        *shapes,
        *counts,
        *((Button(say("draft-write"), "draft:write", 3),) if has_form else ()),
        Button(say("draft-drop"), "draft:drop", 3),
    )
    return Reply(text, buttons, replaces=replaces)


def draft_styles(styles: Sequence[Choice], now: str) -> Reply:
    """Offer the styles."""
    return Reply(say("which-style"), style_buttons(styles, now, "draft"), replaces=True)


def style_buttons(styles: Sequence[Choice], now: str, of: str) -> tuple[Button, ...]:
    """Give a button for each style, and one for none; `now` is the one that is chosen."""
    buttons = [
        Button(chosen(style.label, style.value == now), f"{of}:style={style.value}", number // _STYLES_A_ROW)
        for number, style in enumerate(styles)
    ]
    none = Button(chosen(say("no-style"), not now), f"{of}:style=", len(styles) // _STYLES_A_ROW + 1)
    return (*buttons, none)


def _size(wish: GenerateWish) -> str:
    if wish.width_px is not None:
        return f"{wish.width_px}x{wish.height_px}"
    return shape_name(wish.shape or "square")


def chosen(label: str, is_chosen: bool) -> str:
    """Mark the label of what is chosen."""
    return f"✓ {label}" if is_chosen else label


#: Buttons that are about one of the pictures.
_OF_PICTURES = ("vary:", "large:")


def withheld(reply: Reply, is_unseen: bool = False) -> Reply:
    """Take the pictures out of a reply, and say so; a card of a job under way says nothing of its preview."""
    return _without_pictures(reply, say("withheld-unseen") if is_unseen else say("withheld"))


def not_allowed_here(reply: Reply) -> Reply:
    """Take the pictures out of a reply for a chat whose rules let us send none, and say so; likewise."""
    return _without_pictures(reply, say("no-pictures-here"))


def _without_pictures(reply: Reply, why: str) -> Reply:
    if reply.card_of is not None:
        return replace(reply, pictures=())
    buttons = tuple(each for each in reply.buttons if not each.action.startswith(_OF_PICTURES))
    return replace(reply, text=f"{reply.text}\n{why}", pictures=(), buttons=buttons)
