"""`/settings`: what a person wants where they say nothing."""

from __future__ import annotations

import re
from dataclasses import replace

from bot import texts
from bot.core.accounts import AccountId, Identity, Preferences
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.messages import Reply
from bot.services import generation_options
from bot.services.context import ServiceContext
from gpu_worker.protocol import SHAPES

_SETTINGS_ACTION = re.compile(
    r"settings:([0-9]{1,15}):(size|style|notices|language|photos)(?:=([a-z0-9_-]{0,30}))?"
)


class PreferencesService:
    """Shows and changes what a person set, and puts it into a wish that says nothing about it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_settings(self, account: AccountId) -> Reply:
        """Show what is set, with buttons that change it."""
        preferences = await self._context.database.get_preferences(account)
        style = self._context.styles.get(preferences.style)
        return texts.settings_card(account, preferences, "" if style is None else style.localized_label)

    async def handle_button(self, identity: Identity, account: AccountId, action: str) -> Reply:
        """Do what a button says: `settings:5:size=portrait`, `…:style`, `…:language=it`; of account 5."""
        match = _SETTINGS_ACTION.fullmatch(action)
        if match is None or int(match[1]) != account:
            raise UserError(texts.STALE_BUTTON)
        async with self._context.locks.get_lock(
            account
        ):  # all is kept at once: two presses must not undo each other
            return await self._apply_button(identity, account, match)

    async def _apply_button(self, identity: Identity, account: AccountId, button: re.Match[str]) -> Reply:
        preferences, value = await self._context.database.get_preferences(account), button[3]
        match button[2]:
            case "size" if value in SHAPES:
                preferences = replace(preferences, size=value)
            case "style" if value is None:
                return texts.settings_styles(account, self._context.styles.search(""), preferences.style)
            case "style" if not value or self._context.styles.get(value) is not None:
                preferences = replace(preferences, style=value)
            case "notices" if value in ("sound", "silent"):
                preferences = replace(preferences, is_silent=value == "silent")
            case "photos" if value in ("forget", "keep"):
                preferences = replace(preferences, keeps_photos=value == "keep")
            case "language" if value in ("app", *texts.languages()):
                return await self._change_language(
                    identity, account, replace(preferences, language=_parse_language(value))
                )
            case _:
                raise UserError(texts.STALE_BUTTON)
        await self._context.database.save_preferences(account, preferences)
        if button[2] == "photos" and not preferences.keeps_photos:
            await self._context.database.checkpoint_wal()  # those that were kept are gone from the disk too
        return replace(await self.show_settings(account), edits_message=True)

    async def _change_language(
        self, identity: Identity, account: AccountId, preferences: Preferences
    ) -> Reply:
        """Answer in the language that was just chosen."""
        await self._context.database.save_preferences(account, preferences)
        with texts.use_language(await self._context.database.get_language(identity)):
            return replace(await self.show_settings(account), edits_message=True)

    async def apply_defaults(self, account: AccountId, params: GenerationParams) -> GenerationParams:
        """Give the wish with what its person set where it says nothing."""
        preferences = await self._context.database.get_preferences(account)
        # A style may have left its file since it was chosen.
        if not params.style and self._context.styles.get(preferences.style) is not None:
            params = replace(params, style=preferences.style)
        if preferences.size and not params.shape and params.width_px is None:
            params = generation_options.with_size(params, preferences.size)
        return params


def _parse_language(value: str) -> str:
    return "" if value == "app" else value
