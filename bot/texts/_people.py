"""What people are told of what is kept of them, and of its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.domain import AccountId, LoraCode, format_code
from bot.replies import Button, Reply
from bot.texts._language import say

MAX_CODES_IN_RECEIPT = 20


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
    return Reply(say("privacy", kept=_counted(kept)))


def ask_to_forget(kept: Kept, account: AccountId, until_s: int) -> Reply:
    """Ask once before everything of a person is gone for good; the button knows whom it asks, until when."""
    yes = Button(say("delete-everything"), f"forgetme!:{account}:{until_s}")
    return Reply(say("ask-to-forget", kept=_counted(kept)), (yes,))


def forgotten(gone: Gone, at: datetime) -> Reply:
    """Give the receipt."""
    receipt = say(
        "forgotten",
        day=f"{at:%Y-%m-%d}",
        time=f"{at:%H:%M}",
        photos=len(gone.photos),
        codes=_codes(gone.codes),
        pictures=len(gone.pictures),
        jobs=len(gone.jobs),
        platforms=", ".join(each.capitalize() for each in gone.platforms) or say("forgotten-none"),
    )
    return Reply(receipt, replaces=True)


def _codes(codes: Sequence[LoraCode]) -> str:
    shown = ", ".join(format_code(code) for code in codes[:MAX_CODES_IN_RECEIPT])
    more = len(codes) - MAX_CODES_IN_RECEIPT
    if more > 0:
        return say("forgotten-codes-more", count=str(len(codes)), codes=shown, more=str(more))
    return say("forgotten-codes", count=str(len(codes)), codes=shown) if codes else "0"


def _counted(kept: Kept) -> str:
    return ", ".join(
        (
            say("kept-photos", count=kept.photos),
            say("kept-codes", count=kept.loras),
            say("pictures", count=kept.pictures),
            say("kept-drawings", count=kept.jobs),
        )
    )
