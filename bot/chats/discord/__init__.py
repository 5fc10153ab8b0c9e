"""Discord: one thin adapter on discord.py. Asks for no privileged intent."""

from bot.chats.discord.adapter import DiscordAdapter
from bot.chats.discord.client import LoraCodeClient

__all__ = ["DiscordAdapter", "LoraCodeClient"]
