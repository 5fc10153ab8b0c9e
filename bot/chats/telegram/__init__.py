"""Telegram: one thin adapter on python-telegram-bot."""

from bot.chats.telegram._chat import TelegramChat
from bot.chats.telegram._webhook import Webhook

__all__ = ["TelegramChat", "Webhook"]
