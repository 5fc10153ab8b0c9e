"""What shows a result, and what its buttons answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bot.domain import GenerateWish, Job, JobId, LoraCode, Picture, format_code
from bot.replies import Attachment, Button, Reply
from bot.texts._words import quoted

#: A recipe shows the whole prompt; with the rest it stays below the 2000 characters of a Discord message.
_NEGATIVE_CHARS = 400

NO_SUCH_RESULT = "You have no result like that. The number stands before its prompt, as in: /show 12"
DELETED = "You deleted that result, words and pictures. /generate draws something new."
NOT_DONE = "That is not a finished picture. /show and its number say where it stands."
AS_LARGE_AS_I_CAN = "This picture is as large as I can draw."
PICTURE_GONE = "The picture this was to begin from is no longer here."
LORA_FILE_GONE = "The file of this LoraCode is missing here. Please tell the person who runs this bot."
TOO_COARSE_TO_SPLIT = "This LoRA cannot be cut into pieces small enough for this platform."

_SETTING = re.compile(r'([A-Z][A-Za-z ]*): ("[^"]*"|[^,]*)')
_SHOWN = (
    ("Size", "Size"),
    ("Steps", "Steps"),
    ("CFG scale", "Guidance"),
    ("Sampler", "Sampler"),
    ("Denoising strength", "Redrawn"),
    ("Variation seed", "Variation seed"),
    ("Variation seed strength", "Variation"),
    ("Model", "Model"),
)


def result(job: Job, picture_paths: Sequence[Path]) -> Reply:
    """Show the pictures of a finished generation and what can be done with them."""
    text = f"#{job.id} · {format_code(job.code)}: {quoted(_wish(job).prompt)}"
    if not picture_paths:
        return Reply(f"{text}\nThe pictures are no longer here; draw them again.", (_again(job.id),))
    return Reply(text, _buttons(job.id, len(picture_paths)), tuple(picture_paths))


def result_deleted(job: Job) -> Reply:
    """Show where a result has been."""
    return Reply(f"#{job.id} · {format_code(job.code)}: deleted")


def ask_to_delete(job_id: JobId, count: int) -> Reply:
    """Ask once before pictures are gone for good."""
    what = "this picture" if count == 1 else f"these {count} pictures"
    return Reply(
        f"#{job_id}: shall I delete {what} and the words for good?", (Button("Delete", f"delete!:{job_id}"),)
    )


def deleted(job_id: JobId) -> Reply:
    """Confirm that a result is gone."""
    return Reply(f"#{job_id} is deleted, words and pictures.", replaces=True)


def picture_gone(job_id: JobId, number: int) -> Reply:
    """Say that a picture cannot be worked on because its file is gone."""
    return Reply(
        f"Picture {number} of #{job_id} is no longer here; it can be drawn again.", (_again(job_id),)
    )


def edit_prompt(job: Job) -> Reply:
    """Ask for other words in place of a result's."""
    return Reply(f"Now write the new prompt for #{job.id}; all else stays. The old one:\n{_wish(job).prompt}")


def recipe(job: Job, pictures: Sequence[Picture], style: str, trained_steps: int | None) -> Reply:
    """Write down all that a result was made of. `style` is its label."""
    wish = _wish(job)
    settings = dict(_SETTING.findall(pictures[0].recipe.rpartition("\n")[2])) if pictures else {}
    lines = [f"#{job.id}", f"Prompt: {wish.prompt}"]
    if wish.negative:
        lines.append(f"Not: {quoted(wish.negative, _NEGATIVE_CHARS)}")
    if wish.seed is not None:
        last = f" to {wish.seed + len(pictures) - 1}" if len(pictures) > 1 and not wish.variation else ""
        lines.append(f"Seed: {wish.seed}{last}")
    known = [f"{label}: {settings[name]}" for name, label in _SHOWN if name in settings]
    lines += [" · ".join(known)] if known else []
    if style:
        lines.append(f"Style: {style}")
    if wish.strength is not None:
        lines.append(f"Strength: {wish.strength:g}")
    hashes = dict(re.findall(r"([0-9]{8}): (\w+)", settings.get("Lora hashes", "")))
    steps = "" if trained_steps is None else f", trained for {trained_steps} steps"
    lines.append(f"LoRA: {_lora(job.code, hashes)}{steps}")
    lines += [f"LoRA: {_lora(code, hashes)}" for code in wish.codes]
    if wish.source is not None:
        lines.append(f"Made from #{wish.source}")
    lines.append(f"Bring it back: /show {job.id}")
    return Reply("\n".join(lines))


def export(code: LoraCode, trigger: str, files: Sequence[Attachment]) -> Reply:
    """Hand over a LoRA's file and say in a line where it goes."""
    name = files[0].name.removesuffix(".safetensors")
    lines = [
        f"{format_code(code)} as a file. AUTOMATIC1111: put it into models/Lora and write "
        f"<lora:{name}:1> {trigger}. ComfyUI: models/loras, node Load LoRA."
    ]
    if len(files) > 1:
        lines.append(
            f"It is too large for one file here: use all {len(files)} parts together, equally strong."
        )
    return Reply("\n".join(lines), files=tuple(files))


def _lora(code: LoraCode, hashes: dict[str, str]) -> str:
    return format_code(code) + (f", hash {hashes[code]}" if code in hashes else "")


def _again(job_id: JobId, row: int | None = None) -> Button:
    return Button("Again", f"again:{job_id}", row)


def _buttons(job_id: JobId, count: int) -> tuple[Button, ...]:
    # A row for each picture, so that four of them still have room on a phone and within Discord's five rows.
    edit = Button("Edit prompt", f"edit:{job_id}", count)
    recipe = Button("Recipe", f"recipe:{job_id}", count)
    delete = Button("Delete", f"delete:{job_id}", count)
    if count == 1:
        first = (_again(job_id, 0), *_of_picture(job_id, 1, ""))
        return (*first, edit, recipe, delete)
    each = [button for number in range(1, count + 1) for button in _of_picture(job_id, number, f" {number}")]
    return (*each, _again(job_id, count), edit, recipe, delete)


def _of_picture(job_id: JobId, number: int, label: str) -> tuple[Button, Button]:
    row = number - 1
    return (
        Button(f"Variations{label}", f"vary:{job_id}:{number}", row),
        Button(f"Larger{label}", f"large:{job_id}:{number}", row),
    )


def _wish(job: Job) -> GenerateWish:
    return job.wish if isinstance(job.wish, GenerateWish) else GenerateWish("")
