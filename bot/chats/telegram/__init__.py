"""Telegram: one thin adapter on python-telegram-bot."""

from bot.chats.telegram.adapter import TelegramChat
from bot.chats.telegram.limits import Limit, Limits
from bot.chats.telegram.webhook import Webhook

__all__ = ["Limit", "Limits", "TelegramChat", "Webhook"]
