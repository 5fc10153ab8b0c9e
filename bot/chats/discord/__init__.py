"""Discord: one thin adapter on discord.py. Asks for no privileged intent."""

from bot.chats.discord._chat import DiscordChat
from bot.chats.discord._client import LoraCodeClient

__all__ = ["DiscordChat", "LoraCodeClient"]
