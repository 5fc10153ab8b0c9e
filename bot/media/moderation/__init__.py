"""Looks whether pictures show nudity, in a child process, and does with them what the rules say."""

from bot.media.moderation._moderator import Guard, GuardedGate
from bot.media.moderation._scorer import ChildLooker, Looker, is_installed

__all__ = ["ChildLooker", "Guard", "GuardedGate", "Looker", "is_installed"]
