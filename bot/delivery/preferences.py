"""What a person has set for the messages they get: their language, and whether they come silently."""

from __future__ import annotations

from dataclasses import replace

from bot.core.accounts import AccountId, ChatAddress, Identity
from bot.core.messages import Reply
from bot.db import Database


async def get_language_at(database: Database, address: ChatAddress) -> str:
    """Return the language of the person who asked for something in a chat."""
    return await database.accounts.get_language(Identity(address.platform, address.user_id))


async def apply_silence(database: Database, reply: Reply, account: AccountId) -> Reply:
    """Return a message that comes without a sound if its person has set that."""
    return replace(reply, is_silent=(await database.accounts.get_preferences(account)).is_silent)
