"""`/settings`: what a person wants where they say nothing."""

from __future__ import annotations

import re
from dataclasses import replace

from bot import texts
from bot.core.accounts import AccountId, Identity, Preferences
from bot.core.errors import UserError
from bot.core.jobs import GenerateWish
from bot.core.messages import Reply
from bot.services import generation_options
from bot.services.context import Tools
from gpu_worker.protocol import SHAPES

_ACTION = re.compile(r"settings:([0-9]{1,15}):(size|style|notices|language|photos)(?:=([a-z0-9_-]{0,30}))?")


class PersonalSettings:
    """Shows and changes what a person set, and puts it into a wish that says nothing about it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def show(self, account: AccountId) -> Reply:
        """Show what is set, with buttons that change it."""
        wanted = await self._tools.ledger.preferences_of(account)
        style = self._tools.styles.get(wanted.style)
        return texts.settings(account, wanted, "" if style is None else style.shown)

    async def press(self, who: Identity, account: AccountId, action: str) -> Reply:
        """Do what a button says: `settings:5:size=portrait`, `…:style`, `…:language=it`; of account 5."""
        match = _ACTION.fullmatch(action)
        if match is None or int(match[1]) != account:
            raise UserError(texts.STALE_BUTTON)
        async with self._tools.locks.of(account):  # all is kept at once: two presses must not undo each other
            return await self._pressed(who, account, match)

    async def _pressed(self, who: Identity, account: AccountId, button: re.Match[str]) -> Reply:
        wanted, value = await self._tools.ledger.preferences_of(account), button[3]
        match button[2]:
            case "size" if value in SHAPES:
                wanted = replace(wanted, size=value)
            case "style" if value is None:
                return texts.settings_styles(account, self._tools.styles.like(""), wanted.style)
            case "style" if not value or self._tools.styles.get(value) is not None:
                wanted = replace(wanted, style=value)
            case "notices" if value in ("sound", "silent"):
                wanted = replace(wanted, is_silent=value == "silent")
            case "photos" if value in ("forget", "keep"):
                wanted = replace(wanted, keeps_photos=value == "keep")
            case "language" if value in ("app", *texts.languages()):
                return await self._speak(who, account, replace(wanted, language=_chosen(value)))
            case _:
                raise UserError(texts.STALE_BUTTON)
        await self._tools.ledger.prefer(account, wanted)
        if button[2] == "photos" and not wanted.keeps_photos:
            await self._tools.ledger.compact()  # those that were kept are gone from the disk too
        return replace(await self.show(account), replaces=True)

    async def _speak(self, who: Identity, account: AccountId, wanted: Preferences) -> Reply:
        """Answer in the language that was just chosen."""
        await self._tools.ledger.prefer(account, wanted)
        with texts.use_language(await self._tools.ledger.language_of(who)):
            return replace(await self.show(account), replaces=True)

    async def applied(self, account: AccountId, wish: GenerateWish) -> GenerateWish:
        """Give the wish with what its person set where it says nothing."""
        wanted = await self._tools.ledger.preferences_of(account)
        # A style may have left its file since it was chosen.
        if not wish.style and self._tools.styles.get(wanted.style) is not None:
            wish = replace(wish, style=wanted.style)
        if wanted.size and not wish.shape and wish.width_px is None:
            wish = generation_options.sized(wish, wanted.size)
        return wish


def _chosen(value: str) -> str:
    return "" if value == "app" else value
