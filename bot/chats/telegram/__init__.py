"""Telegram: one thin adapter on python-telegram-bot."""

from bot.chats.telegram.adapter import TelegramAdapter
from bot.chats.telegram.limits import RateLimit, RateLimits
from bot.chats.telegram.webhook import Webhook

__all__ = ["RateLimit", "RateLimits", "TelegramAdapter", "Webhook"]
