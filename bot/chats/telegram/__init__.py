"""Telegram: one thin adapter on python-telegram-bot."""

from bot.chats.telegram._chat import TelegramChat
from bot.chats.telegram._pace import Limit, Limits
from bot.chats.telegram._webhook import Webhook

__all__ = ["Limit", "Limits", "TelegramChat", "Webhook"]
