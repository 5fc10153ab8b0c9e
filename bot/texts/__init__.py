"""Every sentence that people read. The words are in `*.ftl`, one file per language.

Callers write `translate("key", value=…)` for a sentence. The modules, one per noun, build replies that need
more than a sentence: cards, lists, questions with buttons.

Plain text, no markup. Cards and notices may become the caption of a picture, so they stay within 1024
characters, the limit of Telegram.
"""

from __future__ import annotations

from bot.texts.language import ENGLISH as ENGLISH
from bot.texts.language import current_language as current_language
from bot.texts.language import languages as languages
from bot.texts.language import match_language as match_language
from bot.texts.language import translate as translate
from bot.texts.language import translate_to as translate_to
from bot.texts.language import use_language as use_language
