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

from bot import texts
from bot.chats.discord.buttons import PREFIX
from bot.core.jobs import MAX_PROMPT_CHARS
from bot.core.photos import MAX_PHOTOS_HELD, PHOTOS_PER_LORA

#: Until then discord.py remembers that a form is open; what comes back later is taken all the same.
TIMEOUT_S = 3600.0
PHOTOS, WORDS = "photos", "prompt"
#: The buttons that ask for words.
DRAFT, _EDIT = "draft:write", re.compile(r"edit:([0-9]{1,15})")
_FORM = re.compile(rf"{PREFIX}({PHOTOS}|{DRAFT}|{_EDIT.pattern})")


class PhotosModal(discord.ui.Modal):
    """Asks for five photos; takes more, so that the answer can be a choice and not a shrug."""

    def __init__(self) -> None:
        super().__init__(title=texts.FORM_PHOTOS, timeout=TIMEOUT_S, custom_id=f"{PREFIX}{PHOTOS}")
        upload: discord.ui.FileUpload[PhotosModal] = discord.ui.FileUpload(
            custom_id=PHOTOS, min_values=PHOTOS_PER_LORA, max_values=MAX_PHOTOS_HELD
        )
        label: discord.ui.Label[PhotosModal] = discord.ui.Label(
            text=texts.FORM_PHOTOS_LABEL, description=texts.FORM_PHOTOS_ABOUT, component=upload
        )
        self.add_item(label)


class PromptModal(discord.ui.Modal):
    """Asks what to draw, for the button whose action is its id; `prompt` stands in it already."""

    def __init__(self, action: str, prompt: str) -> None:
        title = texts.FORM_DRAFT if action == DRAFT else texts.FORM_PROMPT
        super().__init__(title=title, timeout=TIMEOUT_S, custom_id=f"{PREFIX}{action}")
        field: discord.ui.TextInput[PromptModal] = discord.ui.TextInput(
            custom_id=WORDS,
            style=discord.TextStyle.paragraph,
            default=prompt[:MAX_PROMPT_CHARS] or None,
            max_length=MAX_PROMPT_CHARS,
        )
        label: discord.ui.Label[PromptModal] = discord.ui.Label(text=texts.FORM_PROMPT_LABEL, component=field)
        self.add_item(label)


@dataclass(frozen=True, slots=True)
class Filled:
    """A form that came back: what it was for, the words in it, and the files as Discord describes them."""

    action: str
    words: str
    files: tuple[Any, ...]


def asks_for_words(action: str) -> bool:
    """Say whether a button opens a form for words."""
    return action == DRAFT or edited(action) is not None


def edited(action: str) -> int | None:
    """Give the job whose words a button or a form changes; None when it does something else."""
    match = _EDIT.fullmatch(action)
    return None if match is None else int(match[1])


def filled(data: Mapping[str, Any]) -> Filled | None:
    """Read a form that came back; None when it is none of ours."""
    match = _FORM.fullmatch(str(data.get("custom_id")))
    if match is None:
        return None
    fields = [each["component"] for each in data["components"] if "component" in each]
    words = [str(each["value"]) for each in fields if each.get("custom_id") == WORDS]
    numbers = [number for each in fields if each.get("custom_id") == PHOTOS for number in each["values"]]
    described = data.get("resolved", {}).get("attachments", {})
    return Filled(match[1], words[0] if words else "", tuple(described[number] for number in numbers))
