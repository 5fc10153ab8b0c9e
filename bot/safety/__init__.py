"""Looks whether pictures show nudity, in a child process, and does with them what the rules say."""

from bot.safety._guard import Guard, GuardedGate
from bot.safety._looker import ChildLooker, Looker, is_installed

__all__ = ["ChildLooker", "Guard", "GuardedGate", "Looker", "is_installed"]
