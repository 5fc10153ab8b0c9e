"""Every setting, read once from an environment; a wrong one is one readable line."""

from bot.settings._environ import read_environ
from bot.settings._settings import SHIPPED_MODELS, Settings
from bot.settings._values import Address

__all__ = ["SHIPPED_MODELS", "Address", "Settings", "read_environ"]
