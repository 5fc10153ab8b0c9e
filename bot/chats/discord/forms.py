"""The forms: the one of `/train`, and those that ask for words.

What comes back is read by `filled` and not by the forms themselves: they can stay open over a restart, and
discord.py then knows nothing of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from bot.chats.discord.buttons import CUSTOM_ID_PREFIX
from bot.core.jobs import MAX_PROMPT_CHARS
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA
from bot.texts import translate

#: Until then discord.py remembers that a form is open; what comes back later is taken all the same.
MODAL_TIMEOUT_S = 3600.0
PHOTOS_ACTION, PROMPT_FIELD = "photos", "prompt"
#: The buttons that ask for words.
_DRAFT_PATTERN, _EDIT_PATTERN = re.compile(r"draft:(?:[0-9]{1,15}:)?write"), re.compile(r"edit:([0-9]{1,15})")
_CUSTOM_ID_PATTERN = re.compile(
    rf"{CUSTOM_ID_PREFIX}({PHOTOS_ACTION}|{_DRAFT_PATTERN.pattern}|{_EDIT_PATTERN.pattern})"
)


class PhotosModal(discord.ui.Modal):
    """Asks for five photos; takes more, so that the answer can be a choice and not a shrug."""

    def __init__(self) -> None:
        super().__init__(
            title=translate("form-photos"),
            timeout=MODAL_TIMEOUT_S,
            custom_id=f"{CUSTOM_ID_PREFIX}{PHOTOS_ACTION}",
        )
        upload: discord.ui.FileUpload[PhotosModal] = discord.ui.FileUpload(
            custom_id=PHOTOS_ACTION, min_values=PHOTOS_PER_LORA, max_values=MAX_PHOTOS_IN_SET
        )
        label: discord.ui.Label[PhotosModal] = discord.ui.Label(
            text=translate("form-photos-label"), description=translate("form-photos-about"), component=upload
        )
        self.add_item(label)


class PromptModal(discord.ui.Modal):
    """Asks what to draw, for the button whose action is its id; `prompt` stands in it already."""

    def __init__(self, action: str, prompt: str) -> None:
        title = translate("form-draft" if parse_edited_job_id(action) is None else "form-prompt")
        super().__init__(title=title, timeout=MODAL_TIMEOUT_S, custom_id=f"{CUSTOM_ID_PREFIX}{action}")
        text_input: discord.ui.TextInput[PromptModal] = discord.ui.TextInput(
            custom_id=PROMPT_FIELD,
            style=discord.TextStyle.paragraph,
            default=prompt[:MAX_PROMPT_CHARS] or None,
            max_length=MAX_PROMPT_CHARS,
        )
        label: discord.ui.Label[PromptModal] = discord.ui.Label(
            text=translate("form-prompt-label"), component=text_input
        )
        self.add_item(label)


@dataclass(frozen=True, slots=True)
class ModalSubmission:
    """A form that came back: what it was for, the words in it, and the files as Discord describes them."""

    action: str
    prompt: str
    attachments: tuple[Any, ...]


def opens_prompt_modal(action: str) -> bool:
    """Return whether a button opens a form for words."""
    return bool(_DRAFT_PATTERN.fullmatch(action) or _EDIT_PATTERN.fullmatch(action))


def parse_edited_job_id(action: str) -> int | None:
    """Return the job whose words a button or a form changes; None when it does something else."""
    match = _EDIT_PATTERN.fullmatch(action)
    return None if match is None else int(match[1])


def parse_submission(data: Mapping[str, Any]) -> ModalSubmission | None:
    """Read a form that came back; None when it is none of ours."""
    match = _CUSTOM_ID_PATTERN.fullmatch(str(data.get("custom_id")))
    if match is None:
        return None
    components = [each["component"] for each in data["components"] if "component" in each]
    prompts = [str(each["value"]) for each in components if each.get("custom_id") == PROMPT_FIELD]
    attachment_ids = [
        number for each in components if each.get("custom_id") == PHOTOS_ACTION for number in each["values"]
    ]
    attachments = data.get("resolved", {}).get("attachments", {})
    return ModalSubmission(
        match[1], prompts[0] if prompts else "", tuple(attachments[number] for number in attachment_ids)
    )
