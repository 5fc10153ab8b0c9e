"""Texts about results, drafts and pictures that are withheld."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import GenerationParams, Job, JobId, Picture
from bot.core.likeness import PictureSelection
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Attachment, Button, Reply, Suggestion
from bot.texts.commands import usage_example
from bot.texts.language import translate
from bot.texts.words import truncate

#: A recipe shows the whole prompt; with the rest it stays below the 2000 characters of a Discord message.
_NEGATIVE_CHARS = 400


_SETTING_PATTERN = re.compile(r'([A-Z][A-Za-z ]*): ("[^"]*"|[^,]*)')


_ACCELERATION_PATTERN = re.compile(r"Acceleration: ([^,]+)")
_IGNORED_WEIGHTS = "Emphasis: Ignore,"
_SHOWN_SETTINGS = (
    ("Size", "recipe-size"),
    ("Steps", "recipe-steps"),
    ("CFG scale", "recipe-guidance"),
    ("Sampler", "recipe-sampler"),
    ("Denoising strength", "recipe-redrawn"),
    ("Variation seed", "recipe-variation-seed"),
    ("Variation seed strength", "recipe-variation"),
    ("Acceleration", "recipe-acceleration"),
    ("Model", "recipe-model"),
)


def result_card(job: Job, picture_paths: Sequence[Path]) -> Reply:
    """Return the pictures of a finished generation with their actions."""
    text = f"{result_title(job)}: {truncate(_generation_params(job).prompt)}"
    strengths = _generation_params(job).strengths
    hint = translate("compare-hint", strength=f"{strengths[-1]:g}") if strengths else ""
    text = "\n".join(filter(None, (text, _format_pick(job), hint)))
    if not picture_paths:
        return Reply(f"{text}\n{translate('pictures-gone')}", (_again_button(job.id),))
    buttons = _result_buttons(job.id, len(picture_paths), is_fast=_generation_params(job).is_fast)
    if strengths:  # no picture by itself
        buttons = tuple(button for button in buttons if not button.action.startswith(_PICTURE_ACTIONS))
    return Reply(text, buttons, tuple(picture_paths))


def acceleration_note(
    job: Job, pictures: Sequence[Picture], source: Job, source_pictures: Sequence[Picture]
) -> str:
    """Return the sentence for a fast result whose source another acceleration drew; "" if it is alike."""
    recipes = [each[0].recipe.rpartition("\n")[2] if each else "" for each in (pictures, source_pictures)]
    are_fast = _generation_params(job).is_fast and _generation_params(source).is_fast
    names = {" ".join(_ACCELERATION_PATTERN.findall(recipe)) for recipe in recipes}
    if not are_fast or not all(recipes) or len(names) == 1:
        return ""
    return translate("result-drawn-otherwise", result=f"#{source.id}")


def weights_note(pictures: Sequence[Picture]) -> str:
    """Return the sentence for pictures whose base model left weights out; "" if there were none."""
    is_ignored = any(_IGNORED_WEIGHTS in picture.recipe.rpartition("\n")[2] for picture in pictures)
    return translate("result-without-weights") if is_ignored else ""


def result_title(job: Job) -> str:
    """Return the title of a result: `#123 · 4071 3386`."""
    return f"#{job.id} · {format_code(job.code)}"


def ask_new_prompt(account: AccountId, job_id: JobId, prompt: str, address: ChatAddress) -> Reply:
    """Return the reply that asks for another prompt of a result."""
    key = "edit-prompt-in-group" if address.hears_replies_only else "edit-prompt"
    text = translate(key, result=f"#{job_id}", prompt=prompt)
    return Reply(text, (Button(translate("draft-drop"), f"draft:{account}:drop"),), asks_for_words=True)


def ask_to_delete(job_id: JobId, count: int) -> Reply:
    """Return the question before a result is deleted."""
    question = translate("ask-to-delete", result=f"#{job_id}", count=count)
    button = Button(translate("delete-button"), f"delete!:{job_id}")
    return Reply(question, (button,), yes_action=button.action)


def picture_missing(job_id: JobId, number: int) -> Reply:
    """Return the reply that says that the file of a picture is gone."""
    return Reply(translate("one-picture-gone", number=number, result=f"#{job_id}"), (_again_button(job_id),))


def recipe_card(job: Job, pictures: Sequence[Picture], style: str, trained_steps: int | None) -> Reply:
    """Return the recipe of a result. `style` is the label of its style."""
    params = _generation_params(job)
    settings = dict(_SETTING_PATTERN.findall(pictures[0].recipe.rpartition("\n")[2])) if pictures else {}
    lines = [f"#{job.id}", translate("recipe-prompt", prompt=params.prompt)]
    sent_prompt = _read_sent_prompt(pictures[0].recipe) if pictures else ""
    if sent_prompt not in ("", params.prompt):
        lines.append(translate("recipe-sent", prompt=truncate(sent_prompt)))
    if params.negative:
        lines.append(translate("recipe-not", words=truncate(params.negative, _NEGATIVE_CHARS)))
    if params.seed is not None:
        last_seed = str(params.seed + len(pictures) - 1)
        is_range = len(pictures) > 1 and not params.variation
        seed = str(params.seed)
        lines.append(
            translate("recipe-seeds", seed=seed, last=last_seed)
            if is_range
            else translate("recipe-seed", seed=seed)
        )
    setting_texts = [
        f"{translate(label)}: {settings[name]}" for name, label in _SHOWN_SETTINGS if name in settings
    ]
    lines += [" · ".join(setting_texts)] if setting_texts else []
    if style:
        lines.append(translate("settings-style", style=style))
    if params.strength is not None:
        lines.append(translate("recipe-strength", strength=f"{params.strength:g}"))
    hashes = dict(re.findall(r"([0-9]{8}): (\w+)", settings.get("Lora hashes", "")))
    lora = _format_lora(job.code, hashes)
    if trained_steps is None:
        lines.append(translate("recipe-lora", lora=lora))
    else:
        lines.append(translate("recipe-lora-steps", lora=lora, steps=trained_steps))
    lines += [translate("recipe-lora", lora=_format_lora(code, hashes)) for code in params.codes]
    lines += [pick_text] if (pick_text := _format_pick(job)) else []
    if params.source is not None:
        lines.append(translate("recipe-source", result=f"#{params.source}"))
    lines.append(
        translate("recipe-show", example=usage_example(job.address.platform, "show", id=str(job.id)))
    )
    return Reply("\n".join(lines))


def _read_sent_prompt(recipe: str) -> str:
    """Return what the model was given to read: the first line of a recipe without its LoRAs."""
    return re.sub(r" <lora:[^>]*>", "", recipe.partition("\n")[0])


def lora_export(code: LoraCode, trigger: str, files: Sequence[Attachment], has_kohya_names: bool) -> Reply:
    """Return the file of a LoRA with a line on where to put it."""
    name, shown_code = files[0].name.removesuffix(".safetensors"), format_code(code)
    if has_kohya_names:
        lines = [translate("export", code=shown_code, words=f"<lora:{name}:1> {trigger}")]
    else:
        lines = [translate("export-newer", code=shown_code, words=trigger)]
    if len(files) > 1:
        lines.append(translate("export-parts", count=str(len(files))))
    return Reply("\n".join(lines), files=tuple(files))


def _format_pick(job: Job) -> str:
    """Return which of several pictures was chosen, and the likeness of each."""
    if job.selection is None:
        return translate("best-not-told") if _generation_params(job).best else ""
    people_text = _format_people(job.selection)
    if not job.selection.chosen:
        return people_text
    likeness_texts = [_format_likeness(likeness) for likeness in job.selection.likenesses]
    chosen_text = likeness_texts.pop(job.selection.chosen - 1)
    best_text = translate(
        "best-told", count=len(likeness_texts) + 1, chosen=chosen_text, others=", ".join(likeness_texts)
    )
    return "\n".join(filter(None, (best_text, people_text)))


def _format_people(selection: PictureSelection) -> str:
    """Return how alike each person of the pictures that are handed out is."""
    codes = [format_code(LoraCode(code)) for code in selection.codes]
    shown = selection.people
    if selection.chosen:
        shown = shown[selection.chosen - 1 : selection.chosen]
    pictures = [
        ", ".join(
            f"{code} {_format_likeness(likeness)}" for code, likeness in zip(codes, people, strict=True)
        )
        for people in shown
    ]
    return translate("together-told", likenesses="; ".join(pictures)) if pictures else ""


def _format_likeness(likeness: float | None) -> str:
    return translate("best-nobody") if likeness is None else f"{100 * likeness:.0f}%"


def _format_lora(code: LoraCode, hashes: dict[str, str]) -> str:
    if code not in hashes:
        return format_code(code)
    return translate("recipe-hash", code=format_code(code), hash=hashes[code])


def _again_button(job_id: JobId, row: int | None = None) -> Button:
    return Button(translate("again"), f"again:{job_id}", row)


def _result_buttons(job_id: JobId, count: int, is_fast: bool) -> tuple[Button, ...]:
    # A row for each picture, so that four of them still have room on a phone and within Discord's five rows.
    fast_button = Button(translate("draw-fast"), f"speed:{job_id}:fast", count - 1)
    fine_button = Button(translate("draw-fine"), f"speed:{job_id}:fine", count - 1)
    speed_button = fine_button if is_fast else fast_button
    edit_button = Button(translate("edit-prompt-button"), f"edit:{job_id}", count)
    recipe_button = Button(translate("recipe-button"), f"recipe:{job_id}", count)
    delete_button = Button(translate("delete-button"), f"delete:{job_id}", count)
    if count == 1:
        first_buttons = (_again_button(job_id, 0), *_picture_buttons(job_id, 1, ""), speed_button)
        return (*first_buttons, edit_button, recipe_button, delete_button)
    picture_buttons = [
        button for number in range(1, count + 1) for button in _picture_buttons(job_id, number, f" {number}")
    ]
    last_buttons = (_again_button(job_id, count), edit_button, recipe_button, delete_button)
    return (*picture_buttons, speed_button, *last_buttons)


def _picture_buttons(job_id: JobId, number: int, label: str) -> tuple[Button, Button]:
    row = number - 1
    return (
        Button(f"{translate('variations')}{label}", f"vary:{job_id}:{number}", row),
        Button(f"{translate('larger')}{label}", f"large:{job_id}:{number}", row),
    )


def _generation_params(job: Job) -> GenerationParams:
    return job.params if isinstance(job.params, GenerationParams) else GenerationParams("")


_STYLES_PER_ROW = 3


def style_buttons(styles: Sequence[Suggestion], selected: str, action_prefix: str) -> tuple[Button, ...]:
    """Return a button for each style and one for no style. `now` is the chosen one."""
    buttons = [
        Button(
            mark_selected(style.label, style.value == selected),
            f"{action_prefix}:style={style.value}",
            number // _STYLES_PER_ROW,
        )
        for number, style in enumerate(styles)
    ]
    none_button = Button(
        mark_selected(translate("no-style"), not selected),
        f"{action_prefix}:style=",
        len(styles) // _STYLES_PER_ROW + 1,
    )
    return (*buttons, none_button)


def mark_selected(label: str, is_selected: bool) -> str:
    """Return the label, marked if it is the chosen one."""
    return f"✓ {label}" if is_selected else label


#: Buttons that are about one of the pictures.
_PICTURE_ACTIONS = ("vary:", "large:")


def withhold_pictures(reply: Reply, is_unchecked: bool = False) -> Reply:
    """Return the reply without its pictures, with a sentence that says so.

    The card of an open job only loses its preview.
    """
    return _remove_pictures(reply, translate("withheld-unseen") if is_unchecked else translate("withheld"))


def remove_disallowed_pictures(reply: Reply, are_sent_privately: bool = False) -> Reply:
    """Return the reply without its pictures for a chat where the bot may send none.

    The card of an open job only loses its preview.
    """
    key = "pictures-sent-privately" if are_sent_privately else "no-pictures-here"
    return _remove_pictures(reply, translate(key))


def _remove_pictures(reply: Reply, reason: str) -> Reply:
    if reply.card_job_id is not None:
        return replace(reply, pictures=())
    buttons = tuple(button for button in reply.buttons if not button.action.startswith(_PICTURE_ACTIONS))
    return replace(reply, text=f"{reply.text}\n{reason}", pictures=(), buttons=buttons)
