"""What people are told of what is kept of them, and of its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.domain import LoraCode, format_code
from bot.replies import Button, Reply
from bot.texts._words import plural

MAX_CODES_IN_RECEIPT = 20

FORGET_TOO_LATE = "I asked that more than an hour ago, so nothing was deleted. Ask again: /forgetme"


class Kept(Protocol):
    """How much is kept of a person."""

    @property
    def photos(self) -> int: ...
    @property
    def loras(self) -> int: ...
    @property
    def pictures(self) -> int: ...
    @property
    def jobs(self) -> int: ...


class Gone(Protocol):
    """What was deleted of a person."""

    @property
    def codes(self) -> Sequence[LoraCode]: ...
    @property
    def photos(self) -> Sequence[str]: ...
    @property
    def pictures(self) -> Sequence[str]: ...
    @property
    def jobs(self) -> Sequence[int]: ...
    @property
    def platforms(self) -> Sequence[str]: ...


def privacy(kept: Kept) -> Reply:
    """Say what is kept, how long, and who sees it."""
    return Reply(
        "What I keep of you, and how long:\n"
        "Photos: until their training ends, 7 days at most; those you are still collecting, 24 hours.\n"
        "LoraCodes, pictures and their words: until you delete them. What you reported: until /forgetme.\n"
        "Your number on this platform, to know you again. Your name only if you ask for somebody's LoraCode: "
        "its owner reads it, and it goes when the sharing ends.\n"
        "Photos and pictures stay on the machine of the person who runs this bot. They are not shown to "
        "others, and nothing else learns from them. Place and time are cut out of photos when they come.\n"
        f"Now: {_counted(kept)}.\n"
        "/forgetme deletes everything at once."
    )


def ask_to_forget(kept: Kept, action: str) -> Reply:
    """Ask once before everything of a person is gone for good."""
    return Reply(
        f"Shall I forget you? This deletes {_counted(kept)}. What runs is stopped, and what others drew with "
        "your LoraCodes goes too. It cannot be undone. To keep a LoRA, /export it first.",
        (Button("Delete everything", action),),
    )


def forgotten(gone: Gone, at: datetime) -> Reply:
    """Give the receipt."""
    codes = [format_code(code) for code in gone.codes[:MAX_CODES_IN_RECEIPT]]
    more = len(gone.codes) - len(codes)
    lines = [
        f"Receipt: everything of yours was deleted on {at:%Y-%m-%d at %H:%M} UTC.",
        f"Photos: {len(gone.photos)}",
        f"LoraCodes with their files: {len(gone.codes)}"
        + (f" ({', '.join(codes)}{f' and {more} more' if more > 0 else ''})" if codes else ""),
        f"Pictures: {len(gone.pictures)}",
        f"Trainings and drawings, with their words: {len(gone.jobs)}",
        f"Links to you on: {', '.join(each.capitalize() for each in gone.platforms) or 'none'}",
        "What stays: the bare numbers of these codes, so that nobody is given them again; nothing leads from "
        "them to you. What stands in our chat is yours to delete there.",
    ]
    return Reply("\n".join(lines), replaces=True)


def _counted(kept: Kept) -> str:
    return (
        f"{kept.photos} photo{plural(kept.photos)}, {kept.loras} LoraCode{plural(kept.loras)}, "
        f"{kept.pictures} picture{plural(kept.pictures)}, {kept.jobs} drawing{plural(kept.jobs)}"
    )
