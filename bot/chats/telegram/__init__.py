"""Telegram: one thin adapter on python-telegram-bot."""

from bot.chats.telegram._chat import TelegramChat

__all__ = ["TelegramChat"]
