"""Looks whether pictures show nudity, in a child process, and does with them what the rules say."""

from bot.media.moderation._moderator import Moderator
from bot.media.moderation._scorer import NsfwScorer, SandboxedNsfwScorer, is_installed

__all__ = ["Moderator", "NsfwScorer", "SandboxedNsfwScorer", "is_installed"]
