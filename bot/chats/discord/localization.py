"""Names and descriptions of commands, in every language that Discord knows and we speak."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.texts import ENGLISH, match_language, translate_to


def localized(key: str) -> app_commands.locale_str:
    """Return a text that Discord shows: in English, with the key that finds it in other languages."""
    return app_commands.locale_str(translate_to(ENGLISH, key), key=key)


class CommandTranslator(app_commands.Translator):
    """Says in a locale what `words` gave; nothing where that is English anyway."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        """Return the text in a locale; None leaves the English one."""
        key, language = string.extras.get("key"), match_language(locale.value)
        return None if key is None or language == ENGLISH else translate_to(language, str(key))
